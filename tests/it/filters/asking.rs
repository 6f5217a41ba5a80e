//! What can be asked for, what is around a page, and what bad questions get.

use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{PRODUCTS, Product, Shop, ids};
use crate::support::answer::header;

async fn errors(shop: &Shop, path: &str) -> Vec<(String, String)> {
    let answer = shop.answer(path).await;
    assert_eq!(answer.status(), 400, "{path}");
    let problem: Value = answer.json().await.unwrap();
    let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
    let errors = problem["errors"].as_array().unwrap().iter();
    errors
        .map(|error| (text(error, "parameter"), text(error, "detail")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_questions_are_told_all_at_once_and_cost_nothing() {
    let shop = Shop::start_with(
        &PRODUCTS[..50],
        "",
        &format!("filter_values_max = 3\n{}", super::FILTERS),
    );
    shop.page("/v1/listings/all").await;
    let reads = shop.reads().await;
    let found = errors(
        &shop,
        "/v1/listings/all?f.size=1&f.price_cents=7&brand=x&sort=none&page=0&facets=kind,colour",
    )
    .await;
    let parameters: Vec<&str> = found.iter().map(|(parameter, _)| parameter.as_str()).collect();
    for parameter in ["f.size", "f.price_cents", "brand", "sort", "page", "facets"] {
        assert!(parameters.contains(&parameter), "{parameter}: {found:?}");
    }
    let detail = |parameter: &str| &found.iter().find(|(of, _)| of == parameter).unwrap().1;
    assert!(detail("f.size").contains("f.brand, f.kind, f.price_cents"), "{found:?}");
    assert!(detail("brand").contains("`f.brand`"), "{found:?}");
    assert!(detail("facets").contains("`colour`"), "{found:?}");
    for bad in [
        "f.brand=",
        "f.price_cents=9..1",
        "f.price_cents=..",
        "f.brand=a&f.brand=b&f.brand=c&f.brand=d",
        "sort=price&sort=price",
        "facets=kind,kind",
        "f.=x",
    ] {
        errors(&shop, &format!("/v1/listings/all?{bad}")).await;
    }
    // A pushed listing declares none.
    let put = shop.service.admin(Method::PUT, "/v1/listings/promo:1");
    assert_eq!(
        put.json(&[json!({"id": 1, "brand": "x"})])
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    let found = errors(&shop, "/v1/listings/promo:1?f.brand=x&facets=brand").await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(shop.reads().await, reads);
    // Another one does, by its name.
    let put = shop.service.admin(Method::PUT, "/v1/listings/promo:shoes");
    let shoes = json!([{"id": 1, "brand": "x"}, {"id": 2, "brand": "y"}, {"id": 3, "brand": "x"}]);
    assert_eq!(put.json(&shoes).send().await.unwrap().status(), 201);
    for (order, expected) in [("asc", [1, 3]), ("desc", [3, 1])] {
        let page = shop
            .page(&format!(
                "/v1/listings/promo:shoes?f.brand=x&order={order}&facets=brand"
            ))
            .await;
        assert_eq!(ids(&page), expected);
        assert_eq!(
            page["facets"]["brand"]["values"][0],
            json!({"value": "x", "count": 2, "selected": true})
        );
    }
    let about = shop.page("/v1/listings/promo:shoes/about").await;
    assert_eq!(
        (&about["filters"][0]["name"], &about["total"]),
        (&json!("brand"), &json!(3))
    );
    errors(&shop, "/v1/listings/promo:shoes?f.colour=red").await;
    // A value that no item has is an answer.
    let page = shop.page("/v1/listings/all?f.brand=nobody&facets=brand").await;
    assert_eq!(
        (&page["total"], &page["count"], &page["links"]["next"]),
        (&json!(0), &json!(0), &Value::Null)
    );
    let selected = page["facets"]["brand"]["values"]
        .as_array()
        .unwrap()
        .iter()
        .find(|value| value["selected"] == true);
    assert_eq!(selected, None, "no item has it, so it is no value");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_tags_and_conditions_carry_the_filters() {
    let shop = Shop::start(&PRODUCTS);
    let asked = "/v1/listings/all?f.price_cents=100..300&f.brand=Private&size=7&facets=brand";
    let answer = shop.answer(asked).await;
    let canonical = "/v1/listings/all?f.brand=Private&f.price_cents=100..300&facets=brand&limit=7";
    assert_eq!(header(&answer, "content-location"), canonical);
    let tag = header(&answer, "etag").to_owned();
    let total = header(&answer, "x-total-count").to_owned();
    assert!(
        header(&answer, "cache-status").starts_with("listcache-redis"),
        "{answer:?}"
    );
    let page: Value = answer.json().await.unwrap();
    assert_eq!(page["total"].to_string(), total);
    let links = &page["links"];
    assert!(links["self"].as_str().unwrap().contains("&facets=brand&"), "{links}");
    let next = links["next"].as_str().unwrap();
    assert!(
        next.contains("f.brand=Private&f.price_cents=100..300&cursor=") && !next.contains("facets"),
        "{links}"
    );
    assert!(links["last"].as_str().unwrap().contains("f.brand=Private"), "{links}");
    // The second time all of it is in the process, and the same page has the same tag however it is asked for.
    for url in [asked, canonical] {
        let again = shop.answer(url).await;
        assert_eq!(header(&again, "etag"), tag, "{url}");
        assert!(
            header(&again, "cache-status").starts_with("listcache-l1; hit"),
            "{again:?}"
        );
        let request = shop
            .service
            .request(Method::GET, url)
            .header(header::IF_NONE_MATCH, &tag);
        assert_eq!(request.send().await.unwrap().status(), 304, "{url}");
    }
    // Other filters, other counts, or none: other pages.
    for other in [
        "/v1/listings/all?f.brand=Private&size=7&facets=brand",
        "/v1/listings/all?f.price_cents=100..300&f.brand=Private&size=7",
        "/v1/listings/all?size=7&facets=brand",
        "/v1/listings/all?size=7",
    ] {
        assert_ne!(header(&shop.answer(other).await, "etag"), tag, "{other}");
    }
    // A cursor belongs to its filters.
    let cursor = next.split_once("cursor=").unwrap().1;
    for other in ["f.brand=National&", ""] {
        let found = errors(&shop, &format!("/v1/listings/all?sort=price&{other}cursor={cursor}")).await;
        assert!(found[0].1.contains("other filters"), "{found:?}");
    }
    // Back from beyond the end.
    let beyond = shop
        .page("/v1/listings/all?f.brand=Private&f.price_cents=100..300&size=7&page=100000")
        .await;
    let last = shop.page(beyond["links"]["prev"].as_str().unwrap()).await;
    assert_eq!(last["links"]["next"], Value::Null);
    assert!(last["count"].as_u64().unwrap() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_coding_has_the_same_page() {
    let shop = Shop::start(&PRODUCTS);
    let url = "/v1/listings/all?f.brand=Private&order=desc&size=50";
    let plain = shop.page(url).await;
    for (coding, is_packed) in [("gzip, identity;q=0", true), ("gzip", false), ("identity", false)] {
        let request = shop
            .service
            .request(Method::GET, url)
            .header(header::ACCEPT_ENCODING, coding);
        let answer = request.send().await.unwrap();
        assert_eq!(
            answer.headers().contains_key(header::CONTENT_ENCODING),
            is_packed,
            "{coding}"
        );
        let bytes = answer.bytes().await.unwrap();
        let text = match is_packed {
            true => {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut text).unwrap();
                text
            }
            false => String::from_utf8(bytes.to_vec()).unwrap(),
        };
        let page: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(page, plain, "{coding}");
    }
    let head = shop.service.request(Method::HEAD, url).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, "x-total-count")),
        (200, &*plain["total"].to_string())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_what_they_are_declared_to_be() {
    let rows = [
        r#"{"id":1,"price_cents":1,"name":"a","brand_id":7,"brand":"Seven","pos":2,"sale":1,"colours":["red","blue"],"tags":"x|y","price":{"amount":"9.50"}}"#,
        r#"{"id":2,"price_cents":2,"name":"b","brand_id":8,"brand":"Eight","pos":1,"sale":0,"colours":["red"],"tags":"y","price":{"amount":"10"}}"#,
        r#"{"id":3,"price_cents":3,"name":"c","brand_id":7,"brand":"Seven","pos":2,"sale":null,"colours":[],"tags":"","price":{"amount":"n/a"}}"#,
    ];
    let rows: Vec<Product> = rows.iter().map(|json| Product::of(json)).collect();
    let filters = r#"
        [listings.filters]
        brand_id = { label = "brand", rank = "pos" }
        sale = { as = "boolean" }
        colour = { at = "colours", many = true }
        tag = { at = "tags", separator = "|" }
        price = { at = "/price/amount", as = "number", range = true }
    "#;
    let shop = Shop::start_with(&rows, "", filters);
    for (asked, expected) in [
        ("f.brand_id=7", &[1, 3][..]),
        ("f.sale=true", &[1]),
        ("f.sale=false", &[2]),
        ("f.sale=true&f.sale=false", &[1, 2]),
        ("f.colour=red", &[1, 2]),
        ("f.colour=blue&f.brand_id=7", &[1]),
        ("f.tag=y", &[1, 2]),
        ("f.tag=x", &[1]),
        ("f.price=9.5..<10", &[1]),
        ("f.price=9.51..", &[2]),
    ] {
        assert_eq!(
            ids(&shop.page(&format!("/v1/listings/all?{asked}")).await),
            expected,
            "{asked}"
        );
    }
    let page = shop
        .page("/v1/listings/all?facets=brand_id,colour,price&f.brand_id=7")
        .await;
    assert_eq!(
        page["facets"]["brand_id"]["values"],
        json!([
            {"value": "8", "label": "Eight", "count": 1, "selected": false},
            {"value": "7", "label": "Seven", "count": 2, "selected": true},
        ])
    );
    assert_eq!(
        page["facets"]["colour"]["values"],
        json!([{"value": "blue", "count": 1, "selected": false}, {"value": "red", "count": 1, "selected": false}])
    );
    assert_eq!(
        page["facets"]["price"],
        json!({"count": 1, "min": 9.5, "max": 9.5, "steps": []})
    );
    let about = shop.page("/v1/listings/all/about").await;
    assert_eq!(
        (&about["total"], &about["first"]),
        (&json!(3), &json!("/v1/listings/all"))
    );
    assert_eq!(about["sizes"], json!({"default": 24, "max": 250}));
    assert_eq!(about["sorts"][0], json!({"name": "price", "orders": ["asc", "desc"]}));
    let of = |name: &str| {
        about["filters"]
            .as_array()
            .unwrap()
            .iter()
            .find(|filter| filter["name"] == name)
            .unwrap()
    };
    assert_eq!(
        of("brand_id"),
        &json!({"name": "brand_id", "parameter": "f.brand_id", "kind": "values", "many": false, "labels": true, "steps": []})
    );
    assert_eq!(of("price")["kind"], "ranges");
    assert_eq!(shop.answer("/v1/listings/none/about").await.status(), 404);
}
