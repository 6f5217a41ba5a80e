//! What a page costs Redis: nothing where it is in L1, one turn of request and reply where the listing was seen before.

use std::time::Duration;

use listcache::{
    config::L1Config,
    engine::{Engine, PageState, Place},
    listing::{Cursor, Order},
};
use reqwest::{Method, StatusCode};

use crate::support::{
    Proxy, RedisServer, eventually,
    service::Service,
    shop::{self, ScriptedOrigin, definitions, engine, engine_with, items, page, place, push, select},
};

/// Calls of the commands that read listings, by the server's own count.
fn listing_reads(redis: &RedisServer) -> u64 {
    let stats = redis.cli(&["INFO", "commandstats"]);
    ["xrange", "xrevrange", "hmget"]
        .iter()
        .filter_map(|command| {
            let line = stats
                .lines()
                .find(|line| line.starts_with(&format!("cmdstat_{command}:")))?;
            line.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok()
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_l1_asks_redis_nothing() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(Vec::new());
    // Heads outlive the test.
    let patient = L1Config {
        ttl: Duration::from_secs(600),
        ..shop::l1()
    };
    let node = engine_with(&redis.url(), &origin, definitions(Vec::new()), patient).await;
    let name = shop::name("pushed:x");
    push(&node, &name, items(100, 0)).await.unwrap();
    page(&node, &name, &place(0, 100)).await.unwrap();
    // Heartbeats read logs, not listings; anything else would show here.
    let before = listing_reads(&redis);
    for offset in 0..100 {
        for limit in [1, 7, 12, 24, 50] {
            for order in [Order::Asc, Order::Desc] {
                let selection = select(&node, &name, order).await.unwrap();
                let page = shop::read(&node, &selection, &place(offset, limit)).await.unwrap();
                assert!(page.meta.served.l1_hit);
            }
        }
    }
    assert_eq!(listing_reads(&redis), before);
    // One range read for a page whose chunks are not here.
    push(&node, &name, items(100, 1)).await.unwrap();
    let before = listing_reads(&redis);
    page(&node, &name, &place(7, 50)).await.unwrap();
    assert_eq!(listing_reads(&redis), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_one_read_of_its_listing_wherever_it_comes_from() {
    // All chunks are found in L1, or none.
    for l1 in ["chunks_max = '64MiB'", "chunks_max = '1KiB'"] {
        let redis = RedisServer::start();
        let config = format!(
            "redis = {{ url = '{}' }}\npushed = {{ names = ['*'] }}\nl1 = {{ ttl = '5m', {l1} }}\n",
            redis.url()
        );
        let mut service = Service::start(&config);
        let items: String = (0..100).map(|id| format!("{{\"id\":{id}}}\n")).collect();
        let pushing = service.admin(Method::PUT, "/v1/listings/bread").body(items);
        let pushing = pushing.header("content-type", "application/x-ndjson").send();
        assert_eq!(pushing.await.unwrap().status(), StatusCode::CREATED);
        for at in 0..20 {
            let path = format!("/v1/listings/bread?size=10&page={}", at % 10 + 1);
            let asked = service.request(Method::GET, &path);
            let (asked, expect) = match at % 5 {
                0 => (asked.header("if-match", "\"other\""), StatusCode::PRECONDITION_FAILED),
                _ => (asked, StatusCode::OK),
            };
            assert_eq!(asked.send().await.unwrap().status(), expect);
        }
        // Counts are told at the end.
        service.terminate();
        assert!(service.ended().success());
        let popular = redis.cli_lines(&["--scan", "--pattern", "*:popular"]);
        assert_eq!(redis.cli(&["ZSCORE", &popular[0], "bread"]), "20", "{l1}");
    }
}

/// Waits until a reader has heard an announcement: what it loaded before it listened, it does not keep.
async fn listens(reader: &Engine, writer: &Engine) {
    let other = shop::name("pushed:other");
    let mut follower = reader.inspector.follow(&other, None).await.unwrap();
    eventually(async || {
        push(writer, &other, items(1, 0)).await.unwrap();
        tokio::time::timeout(Duration::from_millis(100), follower.next()).await
    })
    .await;
}

/// Turns in which heads or chunks were asked for.
fn turns_of_reads(proxy: &Proxy) -> usize {
    let reads =
        |turn: &&crate::support::proxy::Turn| turn.commands.iter().any(|name| name == "HMGET" || name == "XRANGE");
    proxy.turns().iter().filter(reads).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_from_redis_takes_one_turn_where_the_listing_was_seen_and_two_where_not() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let origin = ScriptedOrigin::new(Vec::new());
    // Heads are forgotten as fresh knowledge at once, and stay known for speculation.
    let forgetful = L1Config {
        ttl: Duration::ZERO,
        ..shop::l1()
    };
    let writer = engine(&redis.url(), &origin, definitions(Vec::new())).await;
    let name = shop::name("pushed:x");
    push(&writer, &name, items(100, 0)).await.unwrap();
    let reader = engine_with(&proxy.url(), &origin, definitions(Vec::new()), forgetful).await;

    listens(&reader, &writer).await;

    let selection = select(&writer, &name, Order::Asc).await.unwrap();
    // Where the machine is slow a head's reading is overdue, and the page comes without it: then it says nothing of turns,
    // and is asked for again when the reading has ended. As long as it goes on, whoever asks joins it, and begins none.
    let turns = async |at: &Place| {
        loop {
            let before = turns_of_reads(&proxy);
            let page = shop::read(&reader, &selection, at).await.unwrap();
            if page.meta.freshness.state != PageState::RedisDown {
                return (turns_of_reads(&proxy) - before, page);
            }
            eventually(async || {
                let joined = shop::read(&reader, &selection, at).await.unwrap();
                let is_late = joined.meta.freshness.state == PageState::RedisDown;
                (!is_late).then_some(()).ok_or("a late reading")
            })
            .await;
        }
    };
    assert_eq!(turns(&place(0, 24)).await.0, 2, "never seen: the head, then the chunks");
    let (count, seen) = turns(&place(24, 24)).await;
    assert_eq!(count, 1, "seen: head and chunks in one");
    assert_eq!(turns(&place(0, 24)).await.0, 1, "chunks here, the head too old");
    let cursor = Cursor {
        generation: seen.meta.generation,
        offset: 60,
        limit: seen.meta.limit,
        order: Order::Asc,
        total: seen.meta.total,
        chunk_len: seen.meta.chunk_len,
        filters: 0,
    };
    let pinned = Place::Cursor(cursor.encode(&selection.key));
    assert_eq!(turns(&pinned).await.0, 1, "pinned by cursor");
}
