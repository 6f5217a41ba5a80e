//! Headers around a page: conditions in their order, what a CDN hears, request ids; and how little pages of many windows keep.

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    eventually, header,
    redis_server::RedisServer,
    service::{Service, Shop},
};

const BREAD: &str = "/v1/listings/category:BREAD";

#[tokio::test(flavor = "multi_thread")]
async fn conditions_stand_in_their_order() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), ""));
    let get = async || service.request(Method::GET, BREAD).send().await.unwrap();
    let first = get().await;
    let etag = header(&first, "etag").to_owned();
    let (ours, other) = (etag.as_str(), "\"x\"");
    let (before, after) = ("Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 31 Dec 2999 00:00:00 GMT");
    let date = loop {
        let response = get().await;
        if !header(&response, "last-modified").is_empty() {
            break header(&response, "last-modified").to_owned();
        }
    };
    let date = date.as_str();
    for (given, expect) in [
        (&[("If-Match", "*")][..], 200),
        (&[("If-Match", ours)], 412),
        (&[("If-Match", "*"), ("If-None-Match", ours)], 304),
        (&[("If-Match", other), ("If-None-Match", ours)], 412),
        (&[("If-Unmodified-Since", date)], 200),
        (&[("If-Unmodified-Since", before)], 412),
        (&[("If-Unmodified-Since", "no date")], 200),
        (&[("If-Match", "*"), ("If-Unmodified-Since", before)], 200),
        (&[("If-Unmodified-Since", date), ("If-None-Match", ours)], 304),
        (&[("If-None-Match", other), ("If-Modified-Since", after)], 200),
        (&[("If-None-Match", "\"a\", \"b\""), ("If-None-Match", ours)], 304),
        (&[("If-Modified-Since", after)], 304),
        (&[("If-Modified-Since", date), ("If-Modified-Since", date)], 200),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let mut request = service.request(method.clone(), BREAD);
            for (name, value) in given {
                request = request.header(*name, *value);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status().as_u16(), expect, "{method} {given:?}");
            assert_eq!(header(&response, "vary"), "Accept-Encoding");
            if expect == 304 {
                assert!(header(&response, "server-timing").starts_with("l1;desc=\"hit\""));
                assert_eq!(header(&response, "surrogate-key"), "category:BREAD");
            }
            if expect == 412 {
                assert_eq!(header(&response, "content-type"), "application/problem+json");
                assert_eq!(header(&response, "cache-control"), "no-store");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cdn_hears_what_is_configured_for_it() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let extra = "[defaults]\ncdn_max_age = \"5m\"\nsurrogate_keys = [\"shop:fi\", \"bread\"]";
    let service = Service::start(&shop.config(&redis.url(), extra));
    let ask = async |path: &str| service.request(Method::GET, path).send().await.unwrap();
    let response = ask(BREAD).await;
    assert_eq!(header(&response, "surrogate-key"), "category:BREAD shop:fi bread");
    assert_eq!(
        header(&response, "cdn-cache-control"),
        "max-age=300, stale-while-revalidate=30, stale-if-error=3600"
    );
    // Browsers hear of the life that is left.
    assert!(!header(&response, "cache-control").starts_with("max-age=300"));
    let page: Value = response.json().await.unwrap();
    let pinned = ask(page["links"]["self"].as_str().unwrap()).await;
    assert_eq!(header(&pinned, "cdn-cache-control"), "max-age=300");
    assert_eq!(header(&pinned, "cache-control"), "max-age=60");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_id() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), "[http]\naccess_log = true"));
    let ask = async |path: &str, id: Option<&str>| {
        let mut request = service.request(Method::GET, path);
        if let Some(id) = id {
            request = request.header("X-Request-Id", id);
        }
        header(&request.send().await.unwrap(), "x-request-id").to_owned()
    };
    for path in [BREAD, "/v1/nothing", "/health/live"] {
        assert_eq!(ask(path, Some("from-the-edge-7")).await, "from-the-edge-7");
    }
    let made = ask(BREAD, Some("not sane")).await;
    assert_eq!(made.len(), 16);
    assert_ne!(ask(BREAD, None).await, made);
    for id in ["from-the-edge-7", &made] {
        assert!(service.logs(id), "{id} is not in the log");
    }
    // Where nothing logs a request, nothing would know its id.
    let quiet = Service::start(&shop.config(&redis.url(), ""));
    let response = quiet.request(Method::GET, BREAD).send().await.unwrap();
    assert_eq!(header(&response, "x-request-id"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_thousand_windows_keep_nothing() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    let push = async |name: &str, total: usize| {
        let items: String = (0..total)
            .map(|n| format!("{{\"id\":{n},\"name\":\"Loaf {n}\"}}\n"))
            .collect();
        let request = service.admin(Method::PUT, &format!("/v1/listings/{name}"));
        let response = request
            .header("Content-Type", "application/x-ndjson")
            .body(items)
            .send()
            .await;
        response.unwrap().error_for_status().unwrap();
    };
    let read = async |path: String| {
        let response = service.request(Method::GET, &path).send().await.unwrap();
        response.error_for_status().unwrap().bytes().await.unwrap();
    };
    push("promo:wide", 1434).await;
    for page in 1..=6 {
        read(format!("/v1/listings/promo:wide?size=250&page={page}")).await;
    }
    // A further listing shows that what L1 keeps was told since: the number of heads is told last.
    let told_after = async |marker: &str, heads: f64| {
        push(marker, 4).await;
        read(format!("/v1/listings/{marker}")).await;
        eventually(async || match service.metric("listcache_l1_heads ").await {
            found if found >= heads => Ok(()),
            found => Err(format!("{found} heads")),
        })
        .await;
        service.metric("listcache_l1_chunk_bytes ").await
    };
    let before = told_after("promo:before", 2.0).await;
    assert!(before > 1434.0 * 30.0, "{before} bytes are not the whole listing");
    let keys = || {
        let mut keys = redis.cli_lines(&["--scan"]);
        keys.sort();
        keys
    };
    let keys_before = keys();
    for n in 0..1000 {
        let order = ["asc", "desc"][n % 2];
        read(format!(
            "/v1/listings/promo:wide?order={order}&offset={}&limit={}",
            n + n / 3,
            1 + n % 249
        ))
        .await;
    }
    assert_eq!(keys(), keys_before);
    let after = told_after("promo:after", 3.0).await;
    assert!(
        (before..before * 1.05).contains(&after),
        "{before} bytes before, {after} after"
    );
    assert_eq!(service.metric("listcache_l1_fragment_bytes ").await, 0.0);
}
