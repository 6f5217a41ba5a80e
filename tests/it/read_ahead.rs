//! The page that follows, read behind the one that was asked for, where `l1.read_ahead` says so.

use reqwest::Method;

use crate::support::{eventually, redis_server::RedisServer, service::Service};

const PAGES: usize = 4;
const SIZE: usize = 24;

/// A service that knows nothing of a listing which lies in Redis, of three full pages and a last one of a single item.
async fn newcomer(redis: &RedisServer, l1: &str) -> Service {
    let config = format!(
        "[redis]\nurl = \"{}\"\n[pushed]\nnames = [\"*\"]\n[l1]\nttl = \"5m\"\n{l1}",
        redis.url()
    );
    let body: String = (0..(PAGES - 1) * SIZE + 1)
        .map(|number| format!("{{\"id\":{},\"name\":\"Loaf\"}}\n", 1000 + number))
        .collect();
    let pushed = Service::start(&config)
        .admin(Method::PUT, "/v1/listings/bread")
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send()
        .await
        .unwrap();
    assert!(pushed.status().is_success());
    Service::start(&config)
}

/// Whether the page came from L1.
async fn is_hit(service: &Service, page: usize, coding: &str) -> bool {
    let path = format!("/v1/listings/bread?page={page}&size={SIZE}");
    let request = service.request(Method::GET, &path).header("accept-encoding", coding);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let status = answer.headers()["cache-status"].to_str().unwrap();
    assert!(status.contains("listcache-l1"), "{status}");
    status.contains("listcache-l1; hit")
}

async fn bytes_in_l1(service: &Service) -> f64 {
    service.metric("listcache_l1_chunk_bytes ").await
}

/// Walks over all pages of a listing: each but the first is a hit.
async fn walk(coding: &str) {
    let redis = RedisServer::start();
    let service = newcomer(&redis, "").await;
    assert!(!is_hit(&service, 1, coding).await);
    // What is in L1 is told now and then.
    let of_a_page = eventually(async || match bytes_in_l1(&service).await {
        0.0 => Err("nothing is told yet"),
        bytes => Ok(bytes),
    })
    .await;

    let service = newcomer(&redis, "read_ahead = true\n").await;
    for page in 1..=PAGES {
        assert_eq!(is_hit(&service, page, coding).await, page > 1, "page {page}, {coding}");
        // Nothing follows the last one.
        let ahead = page.min(PAGES - 1);
        assert_eq!(
            service.metric("listcache_read_ahead_total ").await,
            ahead as f64,
            "page {page}"
        );
        // All items are as long as each other; the last page has one.
        let least = of_a_page * (page + 1).min(PAGES - 1) as f64;
        eventually(async || {
            let bytes = bytes_in_l1(&service).await;
            let is_there = if page < PAGES - 1 {
                bytes >= least
            } else {
                bytes > least
            };
            is_there.then_some(()).ok_or(bytes)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_that_follows_is_there_when_it_is_asked_for() {
    tokio::join!(walk("identity"), walk("gzip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_ahead_unless_it_is_wanted() {
    let redis = RedisServer::start();
    let service = newcomer(&redis, "").await;
    for page in 1..=PAGES {
        assert!(!is_hit(&service, page, "identity").await, "page {page}");
    }
    assert_eq!(service.metric("listcache_read_ahead_total ").await, 0.0);
}
