//! Values in Redis that no release wrote: refilled where there is an origin, else a clean answer. Never a short page.

use reqwest::Method;
use serde_json::Value;

use super::{BREAD, get};
use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop},
};

/// Heads are read again at once, so that damage is met.
const SHORT: &str = "[l1]\nttl = \"20ms\"\n";
/// All 30 items, of three chunks.
const ALL: &str = "/v1/listings/category:BREAD?size=30";

/// What a stranger does by redis-cli; `HEAD` and `STREAM` stand for the keys.
#[rustfmt::skip]
const DAMAGES: [&str; 32] = [
    "DEL HEAD",
    "SET HEAD garbage",
    "UNLINK HEAD, RPUSH HEAD a b c",
    "UNLINK HEAD, HSET HEAD a b",
    "UNLINK HEAD, XADD HEAD * a b",
    "HSET HEAD total abc",
    "HSET HEAD total -1",
    "HSET HEAD total 7",
    "HSET HEAD total 0",
    "HSET HEAD total 31",
    "HSET HEAD total 1000000000000",
    "HSET HEAD chunk_len 0",
    "HSET HEAD chunk_len 5",
    "HSET HEAD chunk_len 4294967295",
    "HSET HEAD id -1",
    "HSET HEAD id 1",
    "HSET HEAD id 99999999999999999999999",
    "HSET HEAD nonce deadbeef",
    "HSET HEAD nonce \u{1F35E}",
    "HSET HEAD as_of 18446744073709551615",
    "HSET HEAD definition zz",
    "HSET HEAD kept garbage",
    "HDEL HEAD nonce",
    "HDEL HEAD total as_of",
    "DEL STREAM",
    "SET STREAM garbage",
    "XTRIM STREAM MAXLEN = 1",
    "XDEL STREAM 0-2",
    "XDEL STREAM 0-1 0-2 0-3",
    "UNLINK STREAM, XADD STREAM 0-1 a 1 b 2",
    "UNLINK STREAM, XADD STREAM * a 1",
    "UNLINK STREAM, SADD STREAM a",
];

async fn explained(service: &Service) -> Value {
    let explain = service.admin(Method::GET, &format!("{BREAD}/explain"));
    explain.send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_wrote_is_refilled_on_every_node_and_no_page_is_short() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let config = shop.config(&redis.url(), SHORT);
    // The one writes, and so knows every head; the other has read none of the chunks.
    let nodes = [Service::start(&config), Service::start(&config)];
    let ids: Vec<u64> = (1..=30).rev().collect();
    for damage in DAMAGES {
        let refresh = nodes[0].admin(Method::POST, &format!("{BREAD}/refresh?wait=true"));
        let refreshed = refresh.send().await.unwrap();
        assert_eq!(
            refreshed.status(),
            200,
            "before {damage}: {}",
            refreshed.text().await.unwrap()
        );
        let before = explained(&nodes[0]).await;
        let pinned = get(&nodes[0], &format!("{BREAD}?size=5")).await;
        let pinned = pinned.body["links"]["next"].as_str().unwrap().to_owned();
        for command in damage.split(", ") {
            let command = command
                .replace("HEAD", before["head_key"].as_str().unwrap())
                .replace("STREAM", before["stream_key"].as_str().unwrap());
            let said = redis.cli(&command.split(' ').collect::<Vec<_>>());
            assert!(!said.contains("ERR"), "{damage}: {said}");
        }
        for node in nodes.iter().rev() {
            eventually(async || {
                for path in [ALL, &pinned] {
                    let page = get(node, path).await;
                    match page.status {
                        200 if path == ALL => assert_eq!(page.ids(), ids, "{damage}"),
                        200 => assert_eq!(page.ids(), ids[5..10], "{damage}"),
                        410 if path != ALL => {}
                        _ => page.is_a_clean_503(),
                    }
                }
                let page = get(node, ALL).await;
                if page.status == 200 {
                    Ok(())
                } else {
                    Err((damage, page))
                }
            })
            .await;
        }
    }
    for node in &nodes {
        assert!(!node.log().contains("panicked"));
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
                assert!([404, 503].contains(&gone.status), "{damage}: {gone:?}");
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
}
