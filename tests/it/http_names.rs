//! Names on the wire: any text goes in by PUT and comes back under the one spelling of its URL.

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    redis_server::RedisServer,
    service::{Service, Shop, json_of},
};

#[tokio::test(flavor = "multi_thread")]
async fn any_name_comes_back_as_it_was_given() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    for (segment, name) in [
        ("promo:a%2Fb", "promo:a/b"),
        ("promo:a+b", "promo:a+b"),
        ("promo:50%25&more=1;x,y", "promo:50%&more=1;x,y"),
        ("promo:%F0%9F%8D%9E", "promo:🍞"),
        ("promo:%D7%9C%D7%97%D7%9D", "promo:לחם"),
        ("promo:%7B07%7D%3F%23", "promo:{07}?#"),
        ("promo:Case", "promo:Case"),
        ("promo:case", "promo:case"),
        ("promo:%22%5C%3C", "promo:\"\\<"),
    ] {
        let path = format!("/v1/listings/{segment}");
        let item = serde_json::json!({ "id": name });
        let response = service.admin(Method::PUT, &path).json(&[item]).send().await.unwrap();
        assert_eq!(response.status(), 201, "{segment}");
        let page = json_of(service.request(Method::GET, &path)).await;
        assert_eq!(page["listing"], name);
        assert_eq!(page["items"][0]["id"], name);
        let own = page["links"]["self"].as_str().unwrap();
        let response = service.request(Method::GET, own).send().await.unwrap();
        assert_eq!(response.json::<Value>().await.unwrap(), page, "{own}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_name_is_400_from_the_raw_path() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    let long = "x".repeat(257);
    for segment in [
        "%FF", "%C3%28", "%", "%2", "%zz", "%2E", "%2e%2E", "a%00b", "a%0A", "%C2%85", &long,
    ] {
        let answer = service.raw_get(&format!("/v1/listings/{segment}"));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{segment}: {answer}");
        assert!(answer.contains("application/problem+json"), "{segment}: {answer}");
        assert!(answer.contains("\"code\":\"bad-name\""), "{segment}: {answer}");
    }
    let longest = "x".repeat(256);
    assert!(
        service
            .raw_get(&format!("/v1/listings/{longest}"))
            .starts_with("HTTP/1.1 404 ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_route_is_a_problem_too() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    for target in [
        "/",
        "/v2",
        "/v1/listings/",
        "/v1/listings/a/b",
        "//v1/listings/a",
        "/v1/listings/a/events/x",
    ] {
        let answer = service.raw_get(target);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{target}: {answer}");
        assert!(answer.contains("unknown-route"), "{target}: {answer}");
    }
    let answer = service.raw("PATCH /v1/listings/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(
        answer.to_lowercase().contains("allow: get, head, put, delete, options"),
        "{answer}"
    );
}

/// A name that is read as other values than it was made of would show another listing's items: it is left out, and the log says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_enumerated_name_that_does_not_read_back_is_left_out_and_told() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    shop.sql(
        "insert into products values
             (40, 'FOOD/DRINK', 'EUR', 'TEA', 100, 0), (41, 'FOOD', 'EUR', 'DRINK/TEA', 100, 0), (42, 'FOOD', 'EUR', 'JAM', 100, 0);",
    )
    .await;
    let two_values = r#"
[[listings]]
name = "shelf:{category}/{brand}"
origin = "shop"
names = "select distinct category, brand from products where category like 'FOOD%'"
query = "select id, price_cents from products where category = :category and brand = :brand"
[listings.sorts]
price = { by = ["price_cents"] }
"#;
    let service = Service::start(&(shop.config(&redis.url(), "") + two_values));
    let page = json_of(service.request(Method::GET, "/v1/listings/shelf:FOOD%2FJAM")).await;
    assert_eq!(page["items"][0]["id"], 42);
    // Two rows make this name. It is read as the second's values.
    let page = json_of(service.request(Method::GET, "/v1/listings/shelf:FOOD%2FDRINK%2FTEA")).await;
    assert_eq!(page["items"][0]["id"], 41);
    let log = service.log();
    let told = log.lines().find(|line| line.contains("enumerated names were left out"));
    let told = told.unwrap_or_else(|| panic!("not told: {log}"));
    for part in ["WARN", "FOOD/DRINK/TEA", "DRINK/TEA", r#""names":1"#] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
