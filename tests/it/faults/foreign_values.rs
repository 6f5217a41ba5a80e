//! Values in Redis that no release wrote: refilled where there is an origin, else a clean answer. Never a short page.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::get;
use crate::support::{
    Proxy, RedisServer, eventually,
    service::{Service, Shop, json_of},
};

/// Heads are read again at once, so that damage is met.
const SHORT: &str = "[l1]\nttl = \"20ms\"\n";

/// What a stranger does by redis-cli; `HEAD` and `STREAM` stand for the keys.
#[rustfmt::skip]
const DAMAGES: [&str; 44] = [
    "DEL HEAD",
    "SET HEAD garbage",
    "UNLINK HEAD, RPUSH HEAD a b c",
    "UNLINK HEAD, HSET HEAD a b",
    "UNLINK HEAD, XADD HEAD * a b",
    "HSET HEAD total abc",
    "HSET HEAD total -1",
    "HSET HEAD total 7",
    "HSET HEAD total 0",
    "HSET HEAD total 12",
    "HSET HEAD total 24",
    "HSET HEAD total 29",
    "HSET HEAD total 31",
    "HSET HEAD total 1000000000000",
    "HSET HEAD chunk_len 0",
    "HSET HEAD chunk_len 5",
    "HSET HEAD chunk_len 30",
    "HSET HEAD chunk_len 4294967295",
    "HSET HEAD id -1",
    "HSET HEAD id 1",
    "HSET HEAD id 99999999999999999999999",
    "HSET HEAD nonce deadbeef",
    "HSET HEAD nonce \u{1F35E}",
    "HSET HEAD as_of 18446744073709551615",
    "HSET HEAD definition zz",
    "HSET HEAD bytes garbage",
    "HSET HEAD definition 0000000000000001",
    "HSET HEAD pins_from 9007199254740000",
    "HSET HEAD deleted 1",
    "HSET HEAD sum 0000000000000000",
    "HDEL HEAD sum",
    "HDEL HEAD id",
    "HDEL HEAD nonce",
    "HDEL HEAD total as_of",
    "DEL STREAM",
    "SET STREAM garbage",
    "XTRIM STREAM MAXLEN = 1",
    "XDEL STREAM 0-2",
    "XDEL STREAM 0-1 0-2 0-3",
    "UNLINK STREAM, XADD STREAM 0-1 a 1 b 2",
    // As many items as the head promises, and the middle one no JSON at all.
    "UNLINK STREAM, XADD STREAM 0-1 TWELVE, XADD STREAM 0-2 TWELVE, XADD STREAM 0-3 SIX",
    "XDEL STREAM 0-3, XADD STREAM 0-4 SIX",
    "UNLINK STREAM, XADD STREAM * a 1",
    "UNLINK STREAM, SADD STREAM a",
];

/// Items of a stranger's making, in place of a word of a damage.
fn forged(word: &str) -> Option<Vec<String>> {
    let count = match word {
        "TWELVE" => 12,
        "SIX" => 6,
        _ => return None,
    };
    let json = |number: usize| {
        if number == 3 {
            "]".to_owned()
        } else {
            format!("{{\"id\":{number}}}")
        }
    };
    Some(
        (0..count)
            .flat_map(|number| [number.to_string(), json(number)])
            .collect(),
    )
}

/// Carries out a damage.
fn damage_by(redis: &RedisServer, damage: &str, head: &str, stream: &str) {
    for command in damage.split(", ") {
        let words = command.split(' ').flat_map(|word| {
            forged(word).unwrap_or_else(|| vec![word.replace("HEAD", head).replace("STREAM", stream)])
        });
        let words: Vec<String> = words.collect();
        let said = redis.cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!said.contains("ERR"), "{damage}: {said}");
    }
}

/// A category of 30 items for each damage.
const SHELVES: &str = "
    with recursive shelves(shelf) as (select 0 union all select shelf + 1 from shelves where shelf < 43),
    numbers(n) as (select 1 union all select n + 1 from numbers where n < 30)
    insert into products select 1000 + shelf * 100 + n, 'shelf' || shelf, 'EUR', '', 1000 - n * 10, 0 from shelves, numbers;";

/// Asks a node until a whole page comes; whatever comes before must be clean.
async fn until_whole(node: &Service, path: &str, ids: &[u64], damage: &str) {
    eventually(async || {
        let page = get(node, path).await;
        if page.status == 200 {
            assert_eq!(page.ids(), ids, "{damage}: {page:?}");
            return Ok(());
        }
        page.is_a_clean_503();
        Err((damage.to_owned(), page))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_wrote_is_refilled_on_every_node_and_no_page_is_short() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    shop.sql(SHELVES).await;
    let config = shop.config(&redis.url(), SHORT);
    // The one fills, and so knows what was there before; the other meets the damage with nothing in L1.
    let (filler, fresh) = (Service::start(&config), Service::start(&config));
    let mut damaged = Vec::new();
    for (shelf, damage) in DAMAGES.into_iter().enumerate() {
        let path = format!("/v1/listings/plain:shelf{shelf}");
        let page = get(&filler, &format!("{path}?size=30")).await;
        let ids: Vec<u64> = (1..=30).rev().map(|n| 1000 + shelf as u64 * 100 + n).collect();
        assert_eq!(page.ids(), ids);
        let explain = filler.admin(Method::GET, &format!("{path}/explain"));
        let explained = json_of(explain).await;
        let key = |of: &str| explained[of].as_str().unwrap().to_owned();
        damage_by(&redis, damage, &key("head_key"), &key("stream_key"));
        let pinned = format!(
            "{path}?generation={}&limit=5",
            page.body["generation"].as_str().unwrap()
        );
        damaged.push((damage, path, pinned, ids));
    }
    for node in [&fresh, &filler] {
        for (damage, path, pinned, ids) in &damaged {
            let old = get(node, pinned).await;
            match old.status {
                200 => assert_eq!(old.ids(), ids[..5], "{damage}"),
                410 => {}
                _ => old.is_a_clean_503(),
            }
            until_whole(node, &format!("{path}?size=30"), ids, damage).await;
            until_whole(node, &format!("{path}?offset=20"), &ids[20..], damage).await;
        }
    }
    // In the end what lies there is ours again.
    for (damage, path, _, ids) in &damaged {
        let refresh = fresh.admin(Method::POST, &format!("{path}/refresh?wait=true"));
        let refreshed = refresh.send().await.unwrap();
        assert_eq!(refreshed.status(), 200, "{damage}: {}", refreshed.text().await.unwrap());
        until_whole(&fresh, &format!("{path}?size=30"), ids, damage).await;
    }
    for node in [&fresh, &filler] {
        assert!(!node.log().contains("panicked"), "{}", node.log());
    }
}

/// A listing whose name is known to exist may be empty, and then it is a page without items. Damage must not look like it.
#[tokio::test(flavor = "multi_thread")]
async fn no_damage_looks_like_a_listing_without_items() {
    const BREAD: &str = "/v1/listings/category:BREAD?size=30";
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let config = shop.config(&redis.url(), SHORT);
    let (filler, fresh) = (Service::start(&config), Service::start(&config));
    let ids: Vec<u64> = (1..=30).rev().collect();
    for damage in [
        "HSET HEAD total 0",
        "HSET HEAD total 0, UNLINK STREAM",
        "HSET HEAD total 7",
        "HSET HEAD deleted 1",
        "HDEL HEAD id",
        "XTRIM STREAM MAXLEN = 0",
        "UNLINK STREAM, XADD STREAM 0-1 TWELVE, XADD STREAM 0-2 TWELVE, XADD STREAM 0-3 SIX",
    ] {
        // The page may come from memory where Redis is slow, and then the head is mended a moment later.
        let explained: Value = eventually(async || {
            until_whole(&filler, BREAD, &ids, damage).await;
            let explain = filler.admin(Method::GET, "/v1/listings/category:BREAD/explain");
            // Damaged as it may be, it is explained or refused.
            let explained: Value = explain.send().await.unwrap().json().await.unwrap();
            if explained["stream_key"].is_string() {
                Ok(explained)
            } else {
                Err(explained)
            }
        })
        .await;
        let key = |of: &str| explained[of].as_str().unwrap().to_owned();
        let head = key("head_key");
        damage_by(&redis, damage, &head, &key("stream_key"));
        for node in [&fresh, &filler] {
            until_whole(node, BREAD, &ids, damage).await;
        }
    }
    assert!(fresh.logs("unreadable value in redis"), "{}", fresh.log());
    // This one is.
    let empty = get(&fresh, "/v1/listings/category:EMPTY").await;
    assert_eq!((empty.status, empty.ids().len()), (200, 0), "{empty:?}");
}

/// Each answer comes from memory, and the reading that goes on behind it is the one that meets the damage.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_head_is_mended_however_slow_redis_is() {
    const SLOWER_THAN_AN_ANSWER: Duration = Duration::from_millis(20);
    const BREAD: &str = "/v1/listings/plain:BREAD?size=30";
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&proxy.url(), SHORT));
    let ids: Vec<u64> = (2..=31).rev().collect();
    until_whole(&service, BREAD, &ids, "none yet").await;
    proxy.delay(SLOWER_THAN_AN_ANSWER);
    let head = redis.cli(&["--scan", "--pattern", "*:head:plain:BREAD/price"]);
    assert!(!head.is_empty());
    for damage in ["SET HEAD garbage", "HSET HEAD total 7", "HDEL HEAD id"] {
        damage_by(&redis, damage, &head, "");
        eventually(async || {
            until_whole(&service, BREAD, &ids, damage).await;
            let mended = redis.cli(&["TYPE", &head]) == "hash" && redis.cli(&["HGET", &head, "total"]) == "31";
            if mended && !redis.cli(&["HGET", &head, "id"]).is_empty() {
                Ok(())
            } else {
                Err(damage)
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_listing_under_a_strangers_value_is_pushed_and_deleted_again() {
    const PUSHED: &str = "/v1/listings/promo:a";
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), SHORT));
    let put = async |id: u64| {
        let put = service
            .admin(Method::PUT, PUSHED)
            .json(&[serde_json::json!({"id": id})]);
        put.send().await.unwrap().status().as_u16()
    };
    assert_eq!(put(1).await, 201);
    let head = redis.cli(&["--scan", "--pattern", "*:head:promo:a/default"]);
    for (id, damage) in [
        (2, "SET HEAD garbage"),
        (3, "HSET HEAD total x"),
        (4, "HSET HEAD id -1"),
    ] {
        redis.cli(&damage.replace("HEAD", &head).split(' ').collect::<Vec<_>>());
        eventually(async || match get(&service, PUSHED).await {
            served if served.status == 200 => Err(served),
            gone => {
                gone.is_a_clean_503();
                assert!(service.logs("unreadable value in redis"), "{damage}");
                Ok(())
            }
        })
        .await;
        assert!([200, 201].contains(&put(id).await), "{damage}");
        assert_eq!(get(&service, PUSHED).await.ids(), [id], "{damage}");
    }
    redis.cli(&["SET", &head, "garbage"]);
    let delete = service.admin(Method::DELETE, PUSHED).send().await.unwrap();
    assert_eq!(delete.status(), 204);
    assert_eq!(get(&service, PUSHED).await.status, 404);
    assert_eq!(redis.cli(&["HGET", &head, "deleted"]), "1", "a tombstone lies there");
}
