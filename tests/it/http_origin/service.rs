//! Through the program itself: an API with a secret, and a file that is watched.

use std::{fs, io::Write};

use reqwest::Method;

use super::*;
use crate::support::{RedisServer, eventually, service::Service};

async fn page(service: &Service, path: &str) -> serde_json::Value {
    let answer = service.request(Method::GET, path).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_serves_an_api_and_shows_its_secret_to_nobody_else() {
    let redis = RedisServer::start();
    let api = Api::start(|request| match &*request.headers["authorization"] {
        "Bearer hunter2" => by_page(request, 1),
        _ => ApiAnswer::status(401),
    });
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, "Bearer hunter2\n").unwrap();
    let config = format!(
        r#"
        [redis]
        url = "{}"

        [origins.shop]
        kind = "http"
        url = "{}"
        paging = "page"
        items = "/items"
        total = "/meta/total"
        headers.accept-language = "de"

        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        query = "GET /categories/:category/products?page=:page&n=:limit"
        [listings.sorts]
        price = {{ by = ["price"] }}
        number = {{ by = ["id"] }}
        "#,
        redis.url(),
        api.url
    );
    let environment = [
        (
            "LISTCACHE_ORIGINS__SHOP__HEADERS__AUTHORIZATION_FILE",
            secret.to_str().unwrap(),
        ),
        ("RUST_LOG", "debug,hyper_util=trace,reqwest=trace"),
    ];
    let service = Service::start_with(&config, &environment);
    let all = page(&service, "/v1/listings/category:BREAD?sort=number&size=100").await;
    let expect: Vec<serde_json::Value> = catalogue()
        .iter()
        .map(|item| serde_json::from_str(item).unwrap())
        .collect();
    assert_eq!(all["items"].as_array().unwrap(), &expect);
    assert_eq!(api.requests().len(), 1, "one read serves both sorts");
    assert_eq!(api.requests()[0].headers["accept-language"], "de");

    api.script(|_| ApiAnswer::status(401));
    let refused = service
        .request(Method::GET, "/v1/listings/category:OTHER")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), 503);
    let told = refused.text().await.unwrap();
    let log = service.log();
    assert!(log.contains("answered 401 Unauthorized"), "{log}");
    assert!(!log.contains("hunter2") && !told.contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_that_changes_changes_the_pages_by_itself() {
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("products.ndjson");
    fs::write(&path, "{\"id\":1,\"category\":\"A\",\"price\":1}\n").unwrap();
    let config = format!(
        r#"
        [redis]
        url = "{}"

        [defaults]
        fresh_for = "5h"
        keep_for = "10h"
        pin_for = "10h"

        [origins.export]
        kind = "file"
        path = "{}"
        watch = true

        [[listings]]
        name = "category:{{category}}"
        origin = "export"
        sorts.price = {{ by = ["price"] }}
        "#,
        redis.url(),
        path.display()
    );
    let service = Service::start(&config);
    let ids = async || {
        let page = page(&service, "/v1/listings/category:A").await;
        let items = page["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["id"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [1]);
    let becomes = async |expect: &[u64]| {
        eventually(async || {
            let ids = ids().await;
            if ids == expect { Ok(()) } else { Err(ids) }
        })
        .await;
    };

    // Replaced.
    let beside = directory.path().join("next");
    fs::write(&beside, "{\"id\":2,\"category\":\"A\",\"price\":1}\n").unwrap();
    fs::rename(&beside, &path).unwrap();
    becomes(&[2]).await;

    // Written to.
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"id\":3,\"category\":\"A\",\"price\":2}\n").unwrap();
    drop(file);
    becomes(&[2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_says_that_nothing_changed_keeps_the_generation() {
    fn answer(request: &ApiRequest, etag: &str, items: usize) -> ApiAnswer {
        match request.headers.get("if-none-match") {
            Some(known) if known == etag => ApiAnswer::status(304),
            _ => ApiAnswer::json(list(0, items)).header("etag", etag),
        }
    }
    let redis = RedisServer::start();
    let api = Api::start(|request| answer(request, "W/\"monday\"", ITEMS));
    let config = format!(
        r#"
        [redis]
        url = "{}"

        [origins.shop]
        kind = "http"
        url = "{}"
        paging = "none"

        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        query = "GET /categories/:category"
        fresh_for = "1s"
        [listings.sorts]
        price = {{ by = ["price"] }}
        number = {{ by = ["id"] }}
        "#,
        redis.url(),
        api.url
    );
    let service = Service::start(&config);
    let first = page(&service, "/v1/listings/category:BREAD").await;
    // Read again and again, by the schedule and by readers.
    eventually(async || {
        let now = page(&service, "/v1/listings/category:BREAD").await;
        assert_eq!(now["generation"], first["generation"]);
        match api.requests().len() {
            requests if requests >= 4 => Ok(()),
            requests => Err(requests),
        }
    })
    .await;
    let whole = |request: &ApiRequest| !request.headers.contains_key("if-none-match");
    assert_eq!(api.requests().iter().filter(|request| whole(request)).count(), 1);

    api.script(|request| answer(request, "W/\"tuesday\"", ITEMS - 1));
    eventually(async || {
        let now = page(&service, "/v1/listings/category:BREAD").await;
        match now["total"].as_u64() {
            Some(total) if total == ITEMS as u64 - 1 => Ok(()),
            total => Err(total),
        }
    })
    .await;
}
