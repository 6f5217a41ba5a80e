//! Running the service: health, drain, limits, the admin socket, the list and the explanation.

use std::io::{Read, Write};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    eventually,
    redis_server::RedisServer,
    service::{Service, Shop, json_of},
};

const BREAD: &str = "/v1/listings/category:BREAD";

fn service(redis: &RedisServer, shop: &Shop, extra: &str) -> Service {
    Service::start(&shop.config(&redis.url(), extra))
}

async fn status(service: &Service, path: &str) -> u16 {
    service
        .request(Method::GET, path)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// Asks until the service is ready.
async fn ready(service: &Service) {
    eventually(async || match status(service, "/health/ready").await {
        200 => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_says_so_first_then_finishes_what_runs() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let mut service = service(&redis, &shop, "");
    ready(&service).await;
    // A request under way: its head is not complete until the drain has begun.
    let mut under_way = service.connect();
    under_way
        .write_all(format!("GET {BREAD} HTTP/1.1\r\nHost: x\r\n").as_bytes())
        .unwrap();
    service.terminate();
    let draining = loop {
        let response = service.request(Method::GET, "/health/ready").send().await.unwrap();
        if response.status() == 503 {
            break response;
        }
    };
    assert_eq!(draining.json::<Value>().await.unwrap()["detail"], "draining");
    under_way.write_all(b"\r\n").unwrap();
    let mut answer = Vec::new();
    under_way.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("]}"), "{answer}");
    assert!(service.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_socket_takes_metrics_and_writes_away_from_the_public_one() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    // A port that is free now, most likely still when the service binds it.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let service = service(&redis, &shop, &format!("[admin]\nlisten = \"127.0.0.1:{port}\"\n"));
    assert_eq!(status(&service, "/metrics").await, 404);
    assert_eq!(status(&service, BREAD).await, 200);
    let put = service
        .admin(Method::PUT, "/v1/listings/promo:a")
        .json(&[json!({"id": 1})]);
    assert_eq!(put.send().await.unwrap().status(), 405);
    let metrics = reqwest::get(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
    assert!(
        metrics.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("listcache_pages_total{layer=\"origin\"} 1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_goes_on_where_it_stopped() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = service(&redis, &shop, "");
    for name in ["a", "b%2Fc", "d"] {
        let put = service.admin(Method::PUT, &format!("/v1/listings/promo:{name}"));
        put.json(&[json!({"id": 1})])
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap();
    }
    let mut path = "/v1/listings?prefix=promo:&limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let list = json_of(service.admin(Method::GET, &path)).await;
        for listing in list["listings"].as_array().unwrap() {
            names.push(listing["listing"].as_str().unwrap().to_owned());
            assert_eq!(
                (&listing["sort"], &listing["total"], &listing["state"]),
                (&json!("default"), &json!(1), &json!("fresh"))
            );
            assert!(listing["age_ms"].is_u64() && listing["generation"].is_string());
        }
        match list["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["promo:a", "promo:b/c", "promo:d"]);

    // A prefix is of names as people write them, not as keys hold them.
    let list = service.admin(Method::GET, "/v1/listings?prefix=promo:b/");
    let list = json_of(list).await;
    assert_eq!(list["listings"][0]["listing"], "promo:b/c");
    assert_eq!(list["listings"].as_array().unwrap().len(), 1);
    assert_eq!(status(&service, "/v1/listings").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_explained() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = service(&redis, &shop, "");
    let page = json_of(service.request(Method::GET, BREAD)).await;
    let response = service
        .admin(Method::GET, &format!("{BREAD}/explain"))
        .send()
        .await
        .unwrap();
    let explained: Value = response.json().await.unwrap();
    assert_eq!(explained["generation"], page["generation"]);
    assert_eq!(
        (&explained["total"], &explained["chunk_len"], &explained["chunks"]),
        (&json!(30), &json!(12), &json!(3))
    );
    assert_eq!(explained["state"], "fresh");
    assert_eq!(explained["l1"]["generation"], page["generation"]);
    for member in ["head_key", "stream_key", "fresh_until"] {
        assert!(explained[member].is_string(), "{member}: {explained}");
    }
    for member in ["bytes", "lease", "next_refresh", "last_error"] {
        assert!(explained.get(member).is_some(), "{member}: {explained}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_is_cut() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = service(&redis, &shop, "[http]\nhead_timeout = \"200ms\"\n");
    let mut slow = service.connect();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_url_is_414_and_endless_headers_are_refused() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = service(&redis, &shop, "");
    let answer = service.raw_get(&format!("{BREAD}?x={}", "y".repeat(9000)));
    assert!(answer.starts_with("HTTP/1.1 414 "), "{answer}");
    assert!(answer.contains("\"code\":\"uri-too-long\""), "{answer}");
    let many = "X-A: b\r\n".repeat(200);
    let answer = service.raw(&format!(
        "GET {BREAD} HTTP/1.1\r\nHost: x\r\n{many}Connection: close\r\n\r\n"
    ));
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_is_a_line_a_request() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = service(&redis, &shop, "[http]\naccess_log = true\n");
    assert_eq!(status(&service, &format!("{BREAD}?size=3")).await, 200);
    eventually(async || match service.log() {
        log if log.contains("category:BREAD?size=3") => Ok(()),
        log => Err(log),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = service(&redis, &shop, "");
    let description = json_of(service.request(Method::GET, "/openapi.json")).await;
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(description["paths"]["/v1/listings/{name}"]["get"]["parameters"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_of_the_configuration_that_was_read_last() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let config = shop.config(&redis.url(), "");
    let service = Service::start(&config);
    let declared = async || {
        let description = json_of(service.request(Method::GET, "/openapi.json")).await;
        let declared = description["components"]["parameters"].as_object().unwrap().keys();
        declared.map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(declared().await, "currency f.brand facets sort");
    service.reconfigure(&config.replace("brand = {}", "price = { at = \"price_cents\", range = true }"));
    eventually(async || match declared().await {
        declared if declared == "currency f.price facets sort" => Ok(()),
        declared => Err(declared),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_paused_goes_on() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = service(&redis, &shop, "");
    assert_eq!(status(&service, BREAD).await, 200);
    service.stop();
    let request = service.request(Method::GET, BREAD).send();
    let (response, ()) = tokio::join!(request, async { service.cont() });
    assert_eq!(response.unwrap().status(), 200);
}
