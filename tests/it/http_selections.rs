//! What a URL is known to choose: it is gone by only as long as it would be chosen again.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    eventually,
    redis_server::RedisServer,
    service::{Service, Shop, json_of},
};

async fn sort(service: &Service, path: &str) -> Result<String, StatusCode> {
    let answer = service.request(Method::GET, path).send().await.unwrap();
    match answer.status() {
        StatusCode::OK => {
            let page: Value = answer.json().await.unwrap();
            Ok(page["sort"].as_str().unwrap().to_owned())
        }
        status => Err(status),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_name_without_its_default_sort_has_another_and_has_it_again() {
    const NAME: &str = "/v1/listings/promo:bread";
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), "http = { workers = 1 }"));
    let put = async |sort: &str| {
        let path = format!("{NAME}?sort={sort}");
        let put = service.admin(Method::PUT, &path).json(&[json!({ "id": 1 })]);
        put.send().await.unwrap().error_for_status().unwrap();
    };
    let delete = async |sort: &str| {
        let path = format!("{NAME}?sort={sort}");
        let delete = service.admin(Method::DELETE, &path);
        assert_eq!(delete.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    };
    put("price").await;
    put("default").await;
    for _ in 0..3 {
        assert_eq!(sort(&service, NAME).await.unwrap(), "default");
        // By a cursor the head is not looked at.
        let first = json_of(service.request(Method::GET, &format!("{NAME}?size=1"))).await;
        let own = first["links"]["self"].as_str().unwrap();
        assert_eq!(sort(&service, own).await.unwrap(), "default");
    }
    delete("default").await;
    assert_eq!(sort(&service, NAME).await.unwrap(), "price");
    assert_eq!(sort(&service, NAME).await.unwrap(), "price");
    put("default").await;
    assert_eq!(sort(&service, NAME).await.unwrap(), "default");
    // One that was named stays what it is.
    let named = format!("{NAME}?sort=default");
    assert_eq!(sort(&service, &named).await.unwrap(), "default");
    delete("default").await;
    assert_eq!(sort(&service, &named).await, Err(StatusCode::BAD_REQUEST));
    delete("price").await;
    for path in [NAME, &named] {
        eventually(async || match sort(&service, path).await {
            Err(StatusCode::NOT_FOUND) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_enumerated_no_more_is_not_found_and_found_again_when_it_is() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let listing = r#"
[[listings]]
name = "on:{category}"
origin = "shop"
names = "select distinct category from products"
query = "select id, price_cents from products where category = :category"
fresh_for = "1s"
[listings.sorts]
price = { by = ["price_cents"] }
"#;
    let service = Service::start(&(shop.config(&redis.url(), "http = { workers = 1 }") + listing));
    const PAGE: &str = "/v1/listings/on:BREAD?size=5";
    for _ in 0..3 {
        assert_eq!(sort(&service, PAGE).await.unwrap(), "price");
    }
    shop.sql("update products set category = 'ROLLS'").await;
    eventually(async || match sort(&service, PAGE).await {
        Err(StatusCode::NOT_FOUND) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    shop.sql("update products set category = 'BREAD'").await;
    eventually(async || match sort(&service, PAGE).await {
        Ok(_) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}
