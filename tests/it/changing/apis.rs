//! Changes of items that an API has: it is asked for these items alone, where it can be.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

use super::tell;
use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer, ApiRequest},
    service::{Service, json_of},
};

/// Category and price of each item.
type Items = Arc<Mutex<BTreeMap<i64, (&'static str, i64)>>>;

/// An API with a list of a category, which can be narrowed to some ids, as its query or its body says.
fn api(items: &Items) -> Api {
    let items = items.clone();
    Api::start(move |request: &ApiRequest| {
        let category = request.query["category"].clone();
        let of_body = request.body["ids"]
            .as_array()
            .map(|ids| ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect());
        let of_query = request.query.get("ids").or(request.query.get("id"));
        let only: Option<Vec<String>> = of_body.or(of_query.map(|ids| ids.split(',').map(str::to_owned).collect()));
        let items = items.lock();
        let wanted = items
            .iter()
            .filter(|(id, (of, _))| *of == category && only.as_ref().is_none_or(|only| only.contains(&id.to_string())));
        let wanted: Vec<Value> = wanted
            .map(|(id, (_, price))| json!({ "id": id, "price": price }))
            .collect();
        ApiAnswer::json(Value::from(wanted).to_string())
    })
}

fn config(redis: &RedisServer, api: &Api, item_query: &str) -> String {
    format!(
        r#"
        [redis]
        url = "{}"
        [defaults]
        fresh_for = "30d"
        keep_for = "60d"
        pin_for = "60d"
        [origins.shop]
        kind = "http"
        url = "{}"
        paging = "none"
        [[listings]]
        name = "c:{{category}}"
        origin = "shop"
        query = "GET /items?category=:category"
        item_query = '''{item_query}'''
        sorts.price = {{ by = ["price"] }}
        "#,
        redis.url(),
        api.url,
    )
}

async fn prices(service: &Service, category: &str) -> Vec<(i64, i64)> {
    let path = format!("/v1/listings/c:{category}?limit=100");
    let page = json_of(service.request(Method::GET, &path)).await;
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["id"].as_i64().unwrap(), item["price"].as_i64().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_asked_for_changed_items_alone() {
    let requests = [
        "GET /items?category=:category&ids=:ids",
        "GET /items?category=:category&id=:id",
        "POST /some?category=:category\n{\"ids\": \":ids\"}",
    ];
    for item_query in requests {
        let of_number = |id: i64| (id, (if id % 2 == 0 { "even" } else { "odd" }, 100 + id * 7 % 60));
        let items: Items = Arc::new(Mutex::new((1..=120).map(of_number).collect()));
        let api = api(&items);
        let redis = RedisServer::start();
        let service = Service::start(&config(&redis, &api, item_query));
        let expected = |category: &str| {
            let items = items.lock();
            let of_it = items.iter().filter(|(_, (of, _))| *of == category);
            let mut of_it: Vec<(i64, i64)> = of_it.map(|(id, (_, price))| (*id, *price)).collect();
            of_it.sort_by_key(|(id, price)| (*price, *id));
            of_it
        };
        for category in ["even", "odd"] {
            assert_eq!(prices(&service, category).await, expected(category));
        }
        let asked = api.requests().len();
        // A price, a move to a listing that the shop names, and an end.
        items.lock().insert(8, ("even", 1));
        items.lock().insert(9, ("even", 555));
        items.lock().remove(&11);
        let told = tell(
            &service,
            json!([{ "id": 8 }, { "id": 9, "names": ["c:odd", "c:even"] }, { "id": 11 }]),
        )
        .await;
        assert_eq!(told["failed"], json!({}), "{told}");
        for category in ["even", "odd"] {
            assert_eq!(prices(&service, category).await, expected(category), "{item_query}");
        }
        let is_whole = |request: &ApiRequest| {
            !request.query.contains_key("ids") && !request.query.contains_key("id") && request.body.is_null()
        };
        let later = api.requests().split_off(asked);
        assert!(!later.is_empty() && !later.iter().any(is_whole), "{later:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_api_fails_for_some_items_they_stay_and_are_asked_for_again() {
    let items: Items = Arc::new(Mutex::new((1..=5).map(|id| (id, ("even", id))).collect()));
    let api = api(&items);
    let redis = RedisServer::start();
    let service = Service::start(&config(&redis, &api, "GET /items?category=:category&ids=:ids"));
    assert_eq!(prices(&service, "even").await.len(), 5);
    let (answers, failures) = (items.clone(), Arc::new(Mutex::new(3)));
    let left = failures.clone();
    api.script(move |request| {
        let mut left = left.lock();
        if *left > 0 {
            *left -= 1;
            return ApiAnswer::status(404);
        }
        assert!(request.query.contains_key("ids"));
        let price = answers.lock()[&3].1;
        ApiAnswer::json(json!([{ "id": 3, "price": price }]).to_string())
    });
    items.lock().insert(3, ("even", 77));
    let told = service
        .admin(Method::POST, "/v1/changes?wait=true")
        .json(&json!({ "id": 3 }));
    drop(told.send().await.unwrap());
    crate::support::eventually(async || match prices(&service, "even").await.last() {
        Some((3, 77)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(prices(&service, "even").await.len(), 5);
    assert_eq!(*failures.lock(), 0);
}
