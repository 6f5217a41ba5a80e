//! Pages over HTTP: what is asked for, the body, the headers, the states.

mod conditions;

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{
    header,
    redis_server::RedisServer,
    service::{Service, Shop},
};

const BREAD: &str = "/v1/listings/category:BREAD";

struct World {
    _redis: RedisServer,
    shop: Shop,
    service: Service,
}

async fn world() -> World {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), ""));
    World {
        _redis: redis,
        shop,
        service,
    }
}

impl World {
    async fn get(&self, path: &str) -> Response {
        self.service.request(Method::GET, path).send().await.unwrap()
    }

    async fn page(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    async fn problem(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{path}");
        response.json().await.unwrap()
    }
}

fn ids(page: &Value) -> Vec<u64> {
    page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_in_many_ways() {
    let world = world().await;
    // Prices fall as ids grow: ascending by price is descending by id.
    for (query, expect) in [
        ("?size=3", vec![30, 29, 28]),
        ("?page=2&size=3", vec![27, 26, 25]),
        ("?offset=1&limit=3", vec![29, 28, 27]),
        ("?offset=28&limit=10", vec![2, 1]),
        ("?order=desc&size=3", vec![1, 2, 3]),
        ("?order=desc&offset=11&limit=2", vec![12, 13]),
        ("?sort=number&size=2", vec![1, 2]),
        ("?sort=in_stock&size=2", vec![29, 28]),
        ("?sort=in_stock&order=desc&offset=26&limit=4", vec![29, 10, 20, 30]),
        ("?currency=USD", vec![31]),
        ("?f.brand=ACME+%26+Co&size=2", vec![30, 27]),
        ("?size=1&utm_source=x&fbclid=%zz", vec![30]),
        ("?offset=1000", vec![]),
    ] {
        let page = world.page(&format!("{BREAD}{query}")).await;
        assert_eq!(ids(&page), expect, "{query}");
        assert_eq!(page["count"], expect.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_says_where_it_stands() {
    let world = world().await;
    let page = world.page(&format!("{BREAD}?page=2&size=7")).await;
    let fields: Vec<&String> = page.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "listing",
            "sort",
            "order",
            "generation",
            "total",
            "offset",
            "limit",
            "count",
            "page",
            "pages",
            "links",
            "items"
        ]
    );
    assert_eq!(page["listing"], "category:BREAD");
    assert_eq!(
        (&page["total"], &page["page"], &page["pages"]),
        (&json!(30), &json!(2), &json!(5))
    );
    let past = world.page(&format!("{BREAD}?offset=3000")).await;
    assert_eq!(
        (&past["total"], &past["count"], &past["links"]["next"]),
        (&json!(30), &json!(0), &Value::Null)
    );
    let empty = world.page("/v1/listings/category:EMPTY").await;
    assert_eq!(
        (&empty["total"], &empty["pages"], &empty["links"]["last"]),
        (&json!(0), &json!(0), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn following_next_shows_each_item_once_whatever_is_published() {
    let world = world().await;
    for order in ["asc", "desc"] {
        for sort in ["price", "in_stock"] {
            let mut path = format!("{BREAD}?sort={sort}&order={order}&limit=7");
            let mut seen = Vec::new();
            let mut generations = Vec::new();
            loop {
                let page = world.page(&path).await;
                seen.extend(ids(&page));
                generations.push(page["generation"].clone());
                world
                    .shop
                    .sql("update products set price_cents = price_cents + id")
                    .await;
                world
                    .service
                    .admin(Method::POST, &format!("{BREAD}/refresh?wait=true"))
                    .send()
                    .await
                    .unwrap()
                    .error_for_status()
                    .unwrap();
                match page["links"]["next"].as_str() {
                    Some(next) => path = next.to_owned(),
                    None => break,
                }
            }
            generations.dedup();
            assert_eq!(generations.len(), 1, "{sort} {order}");
            seen.sort_unstable();
            assert_eq!(seen, (1..=30).collect::<Vec<u64>>(), "{sort} {order}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_links_follow_the_newest() {
    let world = world().await;
    let page = world.page("/v1/listings/plain:BREAD?limit=10").await;
    assert_eq!(
        page["links"]["next"],
        "/v1/listings/plain:BREAD?sort=price&offset=10&limit=10"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_are_told_all_at_once() {
    let world = world().await;
    let problem = world
        .problem(&format!("{BREAD}?page=01&size=+1&order=up&sort=nonsense&currency=GBP"))
        .await;
    assert_eq!(
        (&problem["status"], &problem["code"]),
        (&json!(400), &json!("bad-parameters"))
    );
    let mut named: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["parameter"].as_str().unwrap())
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["currency", "order", "page", "size", "sort"]);
    let nines = "9".repeat(60);
    for query in [
        "page=1&page=1",
        "page=",
        "size=251",
        "limit=0",
        "generation=x",
        "cursor=x",
        "sort=number&order=desc",
        "page=1&offset=0",
        "brand=nobody",
        "f.size=1",
        "facets=size",
        "page=9223372036854775807&size=250",
        &format!("page={nines}"),
    ] {
        let response = world.get(&format!("{BREAD}?{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        assert_eq!(header(&response, "cache-control"), "max-age=60");
        assert_eq!(header(&response, "cache-status"), "");
        let problem: Value = response.json().await.unwrap();
        assert!(!problem["errors"].as_array().unwrap().is_empty(), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_listing_is_refused() {
    let world = world().await;
    let page = world.page(&format!("{BREAD}?limit=5")).await;
    let next = page["links"]["next"].as_str().unwrap();
    let cursor = next.split_once("cursor=").unwrap().1;
    for other in [
        "category:EMPTY?",
        "category:BREAD?sort=number&",
        "category:BREAD?currency=USD&",
    ] {
        let problem = world.problem(&format!("/v1/listings/{other}cursor={cursor}")).await;
        assert_eq!(problem["errors"][0]["parameter"], "cursor", "{other}");
    }
    let problem = world.problem(&format!("{next}&limit=5")).await;
    assert_eq!(problem["errors"][0]["parameter"], "limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_carries_what_caches_need() {
    let world = world().await;
    let response = world.get(&format!("{BREAD}?page=2&size=7")).await;
    assert_eq!(header(&response, "content-type"), "application/json");
    assert_eq!(header(&response, "vary"), "Accept-Encoding");
    assert_eq!(header(&response, "x-total-count"), "30");
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    assert_eq!(
        header(&response, "content-location"),
        format!("{BREAD}?offset=7&limit=7")
    );
    assert!(header(&response, "etag").starts_with("W/\"1."));
    assert!(header(&response, "cache-control").ends_with(", stale-while-revalidate=30, stale-if-error=3600"));
    assert!(!header(&response, "cache-control").contains("s-maxage"));
    assert!(header(&response, "cache-status").starts_with("listcache-redis; fwd=uri-miss; stored"));
    assert!(header(&response, "link").contains("rel=\"next\""));
    assert_eq!(header(&response, "age"), "");
    assert_eq!(header(&response, "surrogate-key"), "category:BREAD");
    assert_eq!(header(&response, "cdn-cache-control"), "");
    let timing = header(&response, "server-timing");
    for part in ["l1;desc=\"miss\", redis;dur=", ", origin;dur=", ", total;dur="] {
        assert!(timing.contains(part), "{timing}");
    }
    let response = world.get(&format!("{BREAD}?page=2&size=7")).await;
    assert!(header(&response, "cache-status").starts_with("listcache-l1; hit; ttl="));
    assert!(header(&response, "server-timing").starts_with("l1;desc=\"hit\", total;dur="));
    // Another client's default is the same page under its one URL.
    let response = world
        .get(&format!("{BREAD}?page=1&size=24&sort=price&currency=EUR&order=asc"))
        .await;
    assert_eq!(header(&response, "content-location"), BREAD);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_page_is_kept_apart() {
    let world = world().await;
    let page = world.page(&format!("{BREAD}?size=5")).await;
    let generation = page["generation"].as_str().unwrap();
    let response = world.get(&format!("{BREAD}?size=5&generation={generation}")).await;
    assert_eq!(header(&response, "x-robots-tag"), "noindex");
    assert_eq!(
        header(&response, "content-location"),
        format!("{BREAD}?limit=5&generation={generation}")
    );
    assert_eq!(header(&response, "cache-control"), "max-age=60");
    assert_eq!(response.json::<Value>().await.unwrap(), page);
    let response = world
        .get(&format!("{BREAD}?offset=5&limit=5&generation=1-00000000"))
        .await;
    assert_eq!(response.status(), 410);
    assert_eq!(header(&response, "cache-control"), "max-age=60");
    assert!(header(&response, "link").ends_with("rel=\"latest-version\""));
    let problem: Value = response.json().await.unwrap();
    assert_eq!(
        problem["newest"],
        format!("{BREAD}?sort=price&currency=EUR&offset=5&limit=5")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_listing_is_404_for_a_moment() {
    let world = world().await;
    for name in ["category:NOBODY", "promo:nothing-yet", "no-definition"] {
        let response = world.get(&format!("/v1/listings/{name}")).await;
        assert_eq!(response.status(), 404, "{name}");
        assert_eq!(header(&response, "cache-control"), "max-age=5");
        assert_eq!(
            header(&response, "cache-status"),
            "listcache-redis; hit; detail=negative"
        );
        assert_eq!(header(&response, "content-type"), "application/problem+json");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_is_served_and_says_so() {
    let world = world().await;
    let path = "/v1/listings/short:BREAD";
    world.page(path).await;
    world.shop.close();
    // Fresh for a second, then stale: first while a refresh is tried, then because it failed.
    let mut details = Vec::new();
    while !details.contains(&"origin-error".to_owned()) {
        let response = world.get(path).await;
        assert_eq!(response.status(), 200);
        let status = header(&response, "cache-status");
        if let Some((before, detail)) = status.split_once("; detail=") {
            let detail = detail.split(',').next().unwrap().to_owned();
            assert!(before.contains("ttl=-"), "{status}");
            let max_age = if detail == "refreshing" {
                "max-age=2"
            } else {
                "max-age=5"
            };
            assert!(header(&response, "cache-control").starts_with(max_age), "{status}");
            details.push(detail);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_serve_yet_is_503_with_a_time() {
    let world = world().await;
    world.shop.close();
    let response = world.get(BREAD).await;
    assert_eq!(response.status(), 503);
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert!(header(&response, "retry-after").parse::<u32>().unwrap() >= 1);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "nothing-yet");
}
