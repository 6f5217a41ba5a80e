//! Redis away: at start, killed, stopped, flushed.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use super::{Answer, BREAD, IMPATIENT, get};
use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop},
};

/// Heads live so short that pages soon ask Redis.
const SHORT: &str = "[l1]\nttl = \"100ms\"\n";
const PUSHED: &str = "/v1/listings/promo:a";
/// Of the pages below, what is asked for before Redis goes away, and what is not.
const LAST_CHUNK: &str = "/v1/listings/category:BREAD?offset=24&limit=6";

#[test]
fn a_redis_that_is_stopped_at_start_is_a_clear_error_within_a_bounded_time() {
    let redis = RedisServer::start();
    redis.pause();
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_listcache"))
        .args(["serve", "--listen", "127.0.0.1:0", "--redis", &redis.url()])
        .current_dir(redis.socket().parent().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("no redis server answers at"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// Answers while Redis is away: what is in L1, and what is not.
async fn check_while_away(service: &Service, pinned: &str) {
    for _ in 0..20 {
        for path in [BREAD, "/v1/listings/category:BREAD?offset=3&limit=15", PUSHED, pinned] {
            let page = get(service, path).await;
            page.came_at_once();
            assert_eq!(page.status, 200, "{path}: {page:?}");
            assert!(page.cache_status.contains("detail=redis-down"), "{path}: {page:?}");
            assert!(page.cache_control.starts_with("max-age=5"), "{path}: {page:?}");
        }
    }
    for path in [
        LAST_CHUNK,
        "/v1/listings/category:BREAD?sort=number",
        "/v1/listings/category:BREAD?currency=USD",
        "/v1/listings/category:BREAD?sort=number&f.brand=Other",
        "/v1/listings/category:EMPTY",
        "/v1/listings/plain:BREAD",
        "/v1/listings/short:BREAD",
        "/v1/listings/promo:other",
        "/v1/listings/promo:other?sort=price",
        "/v1/listings/promo:other/events",
    ] {
        let answer = get(service, path).await;
        answer.is_a_clean_503();
        answer.came_at_once();
    }
    // A crowd waits no longer than one.
    let crowd =
        (0..100).map(|number| async move { get(service, &format!("/v1/listings/promo:crowd{number}?size=7")).await });
    for answer in futures_util::future::join_all(crowd).await {
        answer.is_a_clean_503();
        answer.came_at_once();
    }
    let unknown = get(service, "/v1/listings/category:NOBODY").await;
    assert_eq!(unknown.status, 404, "the definition's names are no matter of redis");
    assert_eq!(
        get(service, "/health/ready").await.status,
        200,
        "others are not better off"
    );
}

/// Writes while Redis is away fail as cleanly; nobody who writes is kept for long.
async fn check_writes_while_away(service: &Service) {
    for (method, path) in [
        (Method::PUT, PUSHED),
        (Method::DELETE, PUSHED),
        (Method::POST, "/v1/listings/category:BREAD/refresh"),
        (Method::POST, "/v1/listings/category:BREAD/refresh?wait=true"),
        (Method::GET, "/v1/listings"),
        (Method::GET, "/v1/listings/category:BREAD/explain"),
    ] {
        let begun = Instant::now();
        let request = service.admin(method.clone(), path).json(&[json!({"id": 9})]);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 503, "{method} {path}");
        assert!(response.headers().contains_key("retry-after"), "{method} {path}");
        assert!(
            begun.elapsed() < Duration::from_millis(2500),
            "{method} {path}: {:?}",
            begun.elapsed()
        );
    }
}

/// Until every page is served as ever, those of L1 and those of Redis; how long that took.
async fn until_recovered(service: &Service) -> Duration {
    let begun = Instant::now();
    eventually(async || {
        for path in [BREAD, LAST_CHUNK, "/v1/listings/category:BREAD?sort=in_stock"] {
            let page = get(service, path).await;
            assert!([200, 503].contains(&page.status), "{page:?}");
            if page.status != 200 || page.cache_status.contains("redis-down") {
                return Err(page);
            }
        }
        let put = service.admin(Method::PUT, PUSHED).json(&[json!({"id": 1})]);
        let put = put.send().await.unwrap().status();
        if put.is_success() {
            Ok(())
        } else {
            Err(get(service, PUSHED).await)
        }
    })
    .await;
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn l1_goes_on_while_redis_is_away_and_all_is_well_soon_after_it_is_back() {
    let mut redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), SHORT).replace("[redis]", IMPATIENT));
    let put = service.admin(Method::PUT, PUSHED).json(&[json!({"id": 1})]);
    assert_eq!(put.send().await.unwrap().status(), 201);

    for kill in [false, true] {
        until_recovered(&service).await;
        // A new generation, of whose last chunk L1 has nothing: what has not changed stays there.
        shop.sql("update products set sold_out = sold_out + 2 where id = 1")
            .await;
        let refresh = service.admin(Method::POST, &format!("{BREAD}/refresh?wait=true"));
        assert_eq!(refresh.send().await.unwrap().status(), 200);
        let page = get(&service, BREAD).await;
        assert_eq!(page.ids().len(), 24, "{page:?}");
        let pinned = page.body["links"]["self"].as_str().unwrap().to_owned();
        assert_eq!(get(&service, &pinned).await.status, 200);
        assert_eq!(get(&service, PUSHED).await.status, 200);

        if kill {
            redis.kill();
        } else {
            redis.pause();
        }
        // Until the heads are too old nobody asks Redis; from the first moment on nobody waits.
        eventually(async || {
            let mut news: Vec<Answer> = Vec::new();
            for path in [BREAD, PUSHED, &pinned] {
                let page = get(&service, path).await;
                assert_eq!(page.status, 200, "{page:?}");
                page.came_at_once();
                if !page.cache_status.contains("redis-down") {
                    news.push(page);
                }
            }
            if news.is_empty() { Ok(()) } else { Err(news) }
        })
        .await;
        check_while_away(&service, &pinned).await;
        check_writes_while_away(&service).await;
        if kill {
            redis.restart_empty();
        } else {
            redis.resume();
        }
        let took = until_recovered(&service).await;
        eprintln!(
            "redis {}: recovered in {took:?}",
            if kill { "killed" } else { "stopped" }
        );
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    let log = service.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_filled_again() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), ""));
    let put = service.admin(Method::PUT, PUSHED).json(&[json!({"id": 1})]);
    assert_eq!(put.send().await.unwrap().status(), 201);
    let before = get(&service, "/v1/listings/category:BREAD?size=30").await;
    assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
    let begun = Instant::now();
    eventually(async || {
        // Whole meanwhile too, and what L1 does not hold is filled on the way.
        for path in [
            "/v1/listings/category:BREAD?size=30",
            "/v1/listings/category:BREAD?sort=number&size=30",
        ] {
            let page = get(&service, path).await;
            assert_eq!((page.status, page.ids().len()), (200, 30), "{page:?}");
        }
        let page = get(&service, "/v1/listings/category:BREAD?size=30").await;
        assert_eq!(page.ids(), before.ids());
        if page.body["generation"] == before.body["generation"] {
            Err(page)
        } else {
            Ok(())
        }
    })
    .await;
    eprintln!("filled again in {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // What was pushed had its only place there.
    eventually(async || match get(&service, PUSHED).await {
        gone if gone.status == 404 => Ok(()),
        still => Err(still),
    })
    .await;
    let put = service.admin(Method::PUT, PUSHED).json(&[json!({"id": 2})]);
    assert_eq!(put.send().await.unwrap().status(), 201);
    assert_eq!(get(&service, PUSHED).await.ids(), [2]);
}
