//! Redis loses some of its history, or all of it, under load: it is noticed soon, and no page is mixed or short.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use super::get;
use crate::support::{
    Proxy, RedisServer, eventually,
    service::{Service, Shop},
};

const PUSHED: usize = 5;
const ITEMS: usize = 30;
/// Every loss must be noticed within this.
const NOTICED: Duration = Duration::from_secs(5);
const BREAD: &str = "/v1/listings/category:BREAD?size=30";

fn path(listing: usize) -> String {
    format!("/v1/listings/promo:{listing}?size={ITEMS}")
}

/// Publishes a listing all of whose items say which revision they are of; its generation.
async fn publish(node: &Service, listing: usize, revision: u64) -> Result<String, u16> {
    let items: Vec<_> = (0..ITEMS).map(|id| json!({"id": id, "revision": revision})).collect();
    let put = node.admin(Method::PUT, &format!("/v1/listings/promo:{listing}"));
    let answer = put.json(&items).send().await.unwrap();
    match answer.status().as_u16() {
        200 | 201 => {
            let answer: Value = answer.json().await.unwrap();
            Ok(answer["generation"].as_str().unwrap().to_owned())
        }
        other => Err(other),
    }
}

/// Reads on and on: every page is whole and of one revision, or there is none.
async fn read_on(node: &Service, stop: &AtomicBool, pages: &AtomicU64) {
    while !stop.load(Ordering::SeqCst) {
        for listing in 0..PUSHED {
            let page = get(node, &path(listing)).await;
            match page.status {
                200 => {
                    let items = page.body["items"].as_array().unwrap();
                    assert_eq!(
                        (items.len(), &page.body["total"]),
                        (ITEMS, &ITEMS.into()),
                        "short: {page:?}"
                    );
                    assert!(
                        items.iter().all(|item| item["revision"] == items[0]["revision"]),
                        "mixed: {page:?}"
                    );
                    pages.fetch_add(1, Ordering::SeqCst);
                }
                404 => {}
                _ => page.is_a_clean_503(),
            }
        }
        let bread = get(node, BREAD).await;
        match bread.status {
            200 => assert_eq!(bread.ids(), (1..=30).rev().collect::<Vec<u64>>()),
            _ => bread.is_a_clean_503(),
        }
    }
}

/// What a node serves of the pushed listings: generations, or none.
async fn generations(node: &Service) -> Vec<Option<String>> {
    let mut generations = Vec::new();
    for listing in 0..PUSHED {
        let page = get(node, &path(listing)).await;
        generations.push(page.body["generation"].as_str().map(str::to_owned));
    }
    generations
}

struct Setting {
    proxy: Proxy,
    node: Service,
    _shop: Shop,
}

/// A node before a Redis that is reached through a proxy, with everything published and read.
async fn setting(redis: &RedisServer) -> Setting {
    let proxy = Proxy::start(&redis.url());
    let shop = Shop::new().await;
    // Heads live long: what is noticed is noticed by the history, not by their age.
    let node = Service::start(&shop.config(&proxy.url(), "[l1]\nttl = \"5m\"\n"));
    for listing in 0..PUSHED {
        publish(&node, listing, 0).await.unwrap();
    }
    assert_eq!(get(&node, BREAD).await.status, 200);
    generations(&node).await;
    Setting {
        proxy,
        node,
        _shop: shop,
    }
}

/// Brings the fault about under load; until the node serves what `expect` says, and how long that took.
async fn lose(setting: &Setting, fault: impl AsyncFnOnce(), expect: impl AsyncFn() -> Vec<Option<String>>) {
    let (stop, pages) = (AtomicBool::new(false), AtomicU64::new(0));
    let node = &setting.node;
    let losing = async {
        while pages.load(Ordering::SeqCst) < 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let epochs = node.metric("listcache_epochs_total").await;
        fault().await;
        let begun = Instant::now();
        eventually(async || {
            let (served, expected) = (generations(node).await, expect().await);
            let bread = get(node, BREAD).await;
            if served == expected && bread.status == 200 {
                Ok(())
            } else {
                Err((served, expected, bread.status))
            }
        })
        .await;
        let took = begun.elapsed();
        assert!(node.metric("listcache_epochs_total").await > epochs);
        let inconsistent = node.metric("listcache_l1_inconsistent_total").await;
        // More heads than the checker looks at while it makes up its mind about one.
        let checked = async || node.metric("listcache_l1_checked_total").await;
        let enough = checked().await + 10.0;
        eventually(async || match checked().await {
            checked if checked >= enough => Ok(()),
            checked => Err(checked),
        })
        .await;
        let after = node.metric("listcache_l1_inconsistent_total").await;
        stop.store(true, Ordering::SeqCst);
        eprintln!(
            "noticed and mended in {took:?}; the checker found {inconsistent} meanwhile, {} after",
            after - inconsistent
        );
        assert!(took < NOTICED, "{took:?}");
        assert_eq!(after, inconsistent);
        // And all goes on.
        for listing in 0..PUSHED {
            let generation = publish(node, listing, 99).await.unwrap();
            let page = get(node, &path(listing)).await;
            assert_eq!(page.body["generation"], generation, "{page:?}");
        }
    };
    tokio::join!(losing, read_on(node, &stop, &pages), read_on(node, &stop, &pages));
    assert!(!node.log().contains("panicked"), "{}", node.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_is_noticed() {
    let redis = RedisServer::start();
    let setting = setting(&redis).await;
    let flush = async || assert_eq!(redis.cli(&["FLUSHALL"]), "OK");
    lose(&setting, flush, async || vec![None; PUSHED]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_without_data_is_noticed() {
    let mut redis = RedisServer::start();
    let setting = setting(&redis).await;
    let restart = async || redis.restart_empty();
    lose(&setting, restart, async || vec![None; PUSHED]).await;
}

/// A second server, which has followed the first one until now, and does no more.
pub(super) async fn lagging_replica(master: &RedisServer) -> RedisServer {
    let replica = RedisServer::start_tcp();
    let address = master.tcp_url();
    let port = address.rsplit(':').next().unwrap();
    master.cli(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    replica.cli(&["REPLICAOF", "127.0.0.1", port]);
    eventually(async || {
        let info = replica.cli(&["INFO", "replication"]);
        let keys = (master.cli(&["DBSIZE"]), replica.cli(&["DBSIZE"]));
        if info.contains("master_link_status:up") && keys.0 == keys.1 {
            Ok(())
        } else {
            Err((info, keys))
        }
    })
    .await;
    replica.cli(&["REPLICAOF", "NO", "ONE"]);
    replica
}

async fn promoted(grown: bool) {
    let master = RedisServer::start_tcp();
    let setting = setting(&master).await;
    let replica = lagging_replica(&master).await;
    // The master goes on; of this the replica knows nothing.
    for listing in 0..PUSHED {
        publish(&setting.node, listing, 1).await.unwrap();
    }
    generations(&setting.node).await;
    let shop = Shop::new().await;
    let other = Service::start(&shop.config(&replica.url(), ""));
    if grown {
        // Its log has grown past everything that the node has heard.
        for revision in 2..8 {
            for listing in 0..PUSHED - 1 {
                publish(&other, listing, revision).await.unwrap();
            }
        }
    }
    let promote = async || setting.proxy.redirect(&replica.url());
    lose(&setting, promote, async || generations(&other).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lags_behind_is_promoted() {
    promoted(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_log_has_grown_past_what_was_heard_is_promoted() {
    promoted(true).await;
}
