//! Redis full, and Redis evicting: what is kept is served, what is lost is filled again or told of.

use std::time::{Duration, Instant};

use listcache::{engine::PageState, listing::Policy};
use reqwest::Method;
use serde_json::{Value, json};

use super::get;
use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop},
    shop,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_keeps_what_it_has_and_health_says_so() {
    const SHORT: &str = "/v1/listings/short:BREAD?size=30";
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), ""));
    let before = get(&service, SHORT).await;
    assert_eq!(before.status, 200);
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "100kb"]);
    eventually(async || {
        let page = get(&service, SHORT).await;
        assert_eq!((page.status, page.ids()), (200, before.ids()), "{page:?}");
        let health = get(&service, "/health/ready").await;
        assert_eq!(health.status, 200);
        if page.cache_status.contains("detail=redis-full") && health.body["redis"] == "full" {
            Ok(())
        } else {
            Err((page, health))
        }
    })
    .await;
    assert_eq!(service.metric("listcache_redis_full ").await, 1.0);
    // It is tried again less and less, not by each request.
    let refreshes = service.metric("listcache_refreshes_total{outcome=\"failed\"}").await;
    for _ in 0..50 {
        assert_eq!(get(&service, SHORT).await.status, 200);
    }
    let again = service.metric("listcache_refreshes_total{outcome=\"failed\"}").await;
    assert!(again - refreshes <= 1.0, "{refreshes} {again}");
    let put = service
        .admin(Method::PUT, "/v1/listings/promo:a")
        .json(&[json!({"id": 1})]);
    assert_eq!(put.send().await.unwrap().status(), 503);

    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually(async || {
        let page = get(&service, SHORT).await;
        assert_eq!((page.status, page.ids()), (200, before.ids()), "{page:?}");
        let health = get(&service, "/health/ready").await;
        match health.body.get("redis") {
            None => Ok(()),
            Some(_) => Err((page, health)),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_stale_page_says_that_redis_refuses_or_is_full_where_that_is_known() {
    for (setting, value, state) in [
        ("maxmemory", "100kb", PageState::RedisFull),
        ("min-replicas-to-write", "1", PageState::RedisRefuses),
    ] {
        let redis = RedisServer::start();
        let origin = shop::ScriptedOrigin::new(shop::items(3, 0));
        let policy = Policy {
            fresh_for: Duration::from_millis(200),
            ..shop::policy()
        };
        let definitions = shop::definitions(vec![shop::definition(policy)]);
        let engine = shop::engine(&redis.url(), &origin, definitions).await;
        let (bread, cake) = (shop::bread(), shop::name("category:CAKE"));
        let state_of = async |name| {
            shop::page(&engine, name, &shop::place(0, 3))
                .await
                .unwrap()
                .meta
                .freshness
                .state
        };
        // The other one first: it is stale when this one is.
        assert_eq!(state_of(&cake).await, PageState::Fresh);
        assert_eq!(state_of(&bread).await, PageState::Fresh);

        assert_eq!(redis.cli(&["CONFIG", "SET", setting, value]), "OK");
        eventually(async || match state_of(&bread).await {
            known if known == state => Ok(()),
            other => Err(other),
        })
        .await;
        // Nobody has tried to refresh this one.
        assert_eq!(state_of(&cake).await, state);
        assert_eq!(redis.cli(&["CONFIG", "SET", setting, "0"]), "OK");
        eventually(async || match state_of(&cake).await {
            PageState::Fresh => Ok(()),
            other => Err(other),
        })
        .await;
        engine.shut_down(Duration::from_secs(1)).await;
    }
}

/// Pushed listings of some 50 KB each.
const PUSHED: usize = 60;
/// Listings with an origin.
const SHELF_COUNT: usize = 40;
const SHELVES: &str = "
    with recursive shelves(shelf) as (select 0 union all select shelf + 1 from shelves where shelf < 39),
    numbers(n) as (select 1 union all select n + 1 from numbers where n < 30)
    insert into products select 1000 + shelf * 100 + n, 'shelf' || shelf, 'EUR', '', 1000 - n * 10, 0 from shelves, numbers;";

fn shelf(number: usize) -> String {
    format!("/v1/listings/plain:shelf{number}?size=30")
}

fn used_memory(redis: &RedisServer) -> u64 {
    let info = redis.cli(&["INFO", "memory"]);
    let line = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    line.unwrap().parse().unwrap()
}

/// Families that have a due time.
fn due(redis: &RedisServer) -> Vec<String> {
    let keys = redis.cli_lines(&["--scan", "--pattern", "*:due"]);
    keys.iter()
        .flat_map(|key| redis.cli_lines(&["ZRANGE", key, "0", "-1"]))
        .collect()
}

/// All that evict.
const POLICIES: [&str; 7] = [
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];

#[tokio::test(flavor = "multi_thread")]
async fn under_eviction_no_page_is_short_what_is_read_is_due_again_and_no_loss_is_silent() {
    futures_util::future::join_all(POLICIES.map(under_eviction)).await;
}

/// A shop whose listings take half as much again as there is room for.
async fn under_eviction(policy: &str) {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    shop.sql(SHELVES).await;
    let service = Service::start(&shop.config(&redis.url(), "[l1]\nttl = \"50ms\"\n"));
    let base = used_memory(&redis);
    let items: Vec<_> = (0..100).map(|id| json!({"id": id, "pad": "x".repeat(500)})).collect();
    for number in 0..PUSHED {
        let put = service.admin(Method::PUT, &format!("/v1/listings/promo:{number}"));
        assert_eq!(put.json(&items).send().await.unwrap().status(), 201);
    }
    for number in 0..SHELF_COUNT {
        assert_eq!(get(&service, &shelf(number)).await.ids().len(), 30);
    }
    let limit = base + (used_memory(&redis) - base) * 2 / 3;
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", policy]);
    redis.cli(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < Duration::from_secs(10) {
        for number in 0..SHELF_COUNT {
            let page = get(&service, &shelf(number)).await;
            match page.status {
                200 => assert_eq!(page.ids().len(), 30, "{policy}: {page:?}"),
                _ => {
                    page.is_a_clean_503();
                    refused += 1;
                }
            }
            let pushed = get(&service, &format!("/v1/listings/promo:{number}?size=100")).await;
            match pushed.status {
                200 => assert_eq!(pushed.ids().len(), 100, "{policy}"),
                404 => {}
                _ => pushed.is_a_clean_503(),
            }
        }
    }
    redis.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    // Each that is not there is told of, once. What a node still has in memory it may serve, lost or not; so each that is told of
    // is gone from Redis.
    let told = eventually(async || {
        let (lost, told) = (lost(&service).await, told_of(&service));
        match lost.iter().all(|listing| told.contains(listing)) {
            true => Ok(told),
            false => Err((policy, lost, told)),
        }
    })
    .await;
    for listing in &told {
        assert!(
            !is_whole(&redis, listing),
            "{policy}: {listing} is told lost and is there"
        );
    }
    assert!(
        told.windows(2).all(|two| two[0] != two[1]),
        "{policy}: told twice: {told:?}"
    );
    // Each that is read is scheduled, whatever became of its due time.
    let due_after = loop {
        for number in 0..SHELF_COUNT {
            let page = get(&service, &shelf(number)).await;
            match page.status {
                200 => assert_eq!(page.ids().len(), 30, "{policy}: {page:?}"),
                _ => page.is_a_clean_503(),
            }
        }
        let due = due(&redis);
        if (0..SHELF_COUNT).all(|number| due.contains(&format!("plain:shelf{number}"))) {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{policy}: {due:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let evicted = eventually(async || match service.metric("listcache_redis_evicted_total").await {
        evicted if evicted > 0.0 => Ok(evicted),
        none => Err(none),
    })
    .await;
    eprintln!(
        "{policy}: {evicted} keys evicted, {} of {PUSHED} pushed listings lost; {refused} pages refused; all due after {due_after:?}",
        told.len()
    );
    let counted = service.metric("listcache_lost_pushed_total").await;
    assert_eq!(counted, told.len() as f64, "{policy}");
    assert!(service.logs("redis evicts keys"), "{policy}");
}

/// The pushed listings that are not there.
async fn lost(service: &Service) -> Vec<String> {
    let mut lost = Vec::new();
    for number in 0..PUSHED {
        let pushed = get(service, &format!("/v1/listings/promo:{number}?size=100")).await;
        lost.extend((pushed.status != 200).then(|| format!("promo:{number}/default")));
    }
    lost.sort();
    lost
}

/// Whether Redis has both the head of a pushed listing and its items.
fn is_whole(redis: &RedisServer, listing: &str) -> bool {
    let keys = |class| redis.cli_lines(&["--scan", "--pattern", &format!("*:{class}:*{listing}")]);
    !keys("head").is_empty() && !keys("gen").is_empty()
}

/// Those of which the log tells.
fn told_of(service: &Service) -> Vec<String> {
    let log = service.log();
    let losses = log.lines().filter(|line| line.contains("its only place"));
    let listing = |line| {
        let entry: Value = serde_json::from_str(line).unwrap();
        entry["listing"].as_str().unwrap().to_owned()
    };
    let mut told: Vec<String> = losses.map(listing).collect();
    told.sort();
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_pushed_listing_is_told_of_once_however_many_ask() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    let push = async || {
        let put = service.admin(Method::PUT, "/v1/listings/promo:a");
        put.json(&json!([{"id": 1}])).send().await.unwrap().status()
    };
    let told = async || service.metric("listcache_lost_pushed_total").await;
    for (times, pushed) in [(1.0, 201), (2.0, 200)] {
        assert_eq!(push().await, pushed);
        for stream in redis.cli_lines(&["--scan", "--pattern", "*:gen:*"]) {
            redis.cli(&["unlink", &stream]);
        }
        for _ in 0..3 {
            assert_eq!(get(&service, "/v1/listings/promo:a").await.status, 404);
        }
        assert_eq!(told().await, times);
    }
}
