//! On which pages an item stands, and which items are its neighbours.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ChangingShop, GROUPS, SORTS, check_all, shown, tell};
use crate::support::{RedisServer, eventually, service::Service};

const CATEGORIES: [&str; 3] = ["a", "b", "c"];

async fn places(service: &Service, id: &str) -> Value {
    let answer = service
        .request(Method::GET, &format!("/v1/items/{id}"))
        .send()
        .await
        .unwrap();
    answer.error_for_status().unwrap().json().await.unwrap()
}

/// Every place is where the listing has the item, between its neighbours; and each place is told.
async fn check_places(service: &Service, shop: &ChangingShop, id: i64) {
    let found = places(service, &id.to_string()).await;
    let mut told = 0;
    for category in CATEGORIES {
        for group in GROUPS {
            for (sort, desc) in SORTS.map(|sort| (sort, false)).into_iter().chain([("stock", true)]) {
                let all = shown(service, category, group, sort, desc).await;
                for (position, _) in all.iter().enumerate().filter(|(_, (of, _))| *of == id) {
                    let order = if desc { "desc" } else { "asc" };
                    let is_place = |place: &&Value| {
                        place["listing"] == format!("category:{category}")
                            && place["sort"] == sort
                            && place["order"] == order
                            && place["variants"] == json!({ "grp": group.to_string() })
                            && place["position"] == position
                    };
                    let place = found["listings"].as_array().unwrap().iter().find(is_place);
                    let place =
                        place.unwrap_or_else(|| panic!("{category} {group} {sort} {order} {position}: {found}"));
                    let id_at = |at: Option<usize>| at.and_then(|at| all.get(at)).map(|(id, _)| id.to_string());
                    assert_eq!(
                        place["previous"].as_str().map(str::to_owned),
                        id_at(position.checked_sub(1))
                    );
                    assert_eq!(place["next"].as_str().map(str::to_owned), id_at(Some(position + 1)));
                    assert_eq!(
                        (&place["total"], &place["page"]),
                        (&json!(all.len()), &json!(position / 24 + 1))
                    );
                    let page = service
                        .request(Method::GET, place["url"].as_str().unwrap())
                        .send()
                        .await
                        .unwrap();
                    let page: Value = page.error_for_status().unwrap().json().await.unwrap();
                    assert_eq!(page["items"][position % 24]["id"], id, "{place}");
                    told += 1;
                }
            }
        }
    }
    assert_eq!(found["listings"].as_array().unwrap().len(), told, "{found}");
    let expected = shop
        .products
        .get(&id)
        .map_or(0, |product| product.categories.len() * product.offers.len() * 10);
    assert_eq!((told, &found["truncated"]), (expected, &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_found_where_it_stands_before_and_after_it_moves() {
    let mut shop = ChangingShop::with_products(90, &CATEGORIES).await;
    shop.products.get_mut(&31).unwrap().offers = vec![Some(90), Some(300), None];
    shop.write(&[31]).await;
    let redis = RedisServer::start();
    let config = shop.config(&redis, "[http]\nitem_lookup = true");
    // One of them works changes off, the other only hears of it.
    let (service, other) = (Service::start(&config), Service::start(&config));
    check_all(&service, &shop, &CATEGORIES).await;
    for id in [1, 31, 45, 90, 91] {
        check_places(&service, &shop, id).await;
    }
    check_places(&other, &shop, 31).await;
    let product = shop.products.get_mut(&31).unwrap();
    (product.offers, product.categories) = (vec![Some(250)], ["c".to_owned()].into());
    shop.products.remove(&45);
    shop.write(&[31, 45]).await;
    tell(&service, json!([{ "id": 31 }, { "id": 45 }])).await;
    check_all(&service, &shop, &CATEGORIES).await;
    check_all(&other, &shop, &CATEGORIES).await;
    for node in [&service, &other] {
        eventually(
            async || match places(node, "31").await["listings"].as_array().unwrap().len() {
                10 => Ok(()),
                many => Err(many),
            },
        )
        .await;
        for id in [31, 45, 46] {
            check_places(node, &shop, id).await;
        }
    }
    assert_eq!(
        places(&service, "nobody%2Fhas%20this").await,
        json!({ "id": "nobody/has this", "listings": [], "truncated": false })
    );
    for (path, status) in [
        ("/v1/items/%FF", StatusCode::BAD_REQUEST),
        ("/v1/items/1?sort=price", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(
            service.request(Method::GET, path).send().await.unwrap().status(),
            status,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_need_the_token_unless_the_configuration_says_otherwise() {
    let shop = ChangingShop::with_products(30, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    let stranger = service.request(Method::GET, "/v1/items/1").send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    let known = service.admin(Method::GET, "/v1/items/1").send().await.unwrap();
    assert_eq!(known.status(), StatusCode::OK);
}
