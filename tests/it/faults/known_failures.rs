//! Failures that caches of this kind are known for, each by its name. Where another test is about it already, it is named
//! here:
//!
//! - an invalidation during a load leaves the old value: `engine::head_table`'s unit tests, and
//!   `coherence::after_an_announcement_is_applied_no_older_head_is_served`
//! - a purge that still serves stale: `two_nodes::after_a_delete_pins_are_gone_on_both_nodes_within_a_second`
//! - a background refresh writes back what was deleted: `two_nodes::what_is_deleted_during_a_refresh_stays_deleted`

use reqwest::Method;
use serde_json::json;

use super::get;
use crate::support::{
    Proxy, RedisServer, eventually,
    service::{Service, Shop, json_of},
};

const PATIENT: &str = "[l1]\nttl = \"5m\"\n";
const PROMO: &str = "/v1/listings/promo:a";

async fn publish(node: &Service, revision: u64) -> String {
    let put = node
        .admin(Method::PUT, PROMO)
        .json(&[json!({"id": 1, "revision": revision})]);
    let answer = json_of(put).await;
    answer["generation"].as_str().unwrap().to_owned()
}

async fn until_served(node: &Service, generation: &str) {
    eventually(async || match get(node, PROMO).await {
        page if page.body["generation"] == generation => Ok(()),
        page => Err(page),
    })
    .await;
}

fn reads(proxy: &Proxy, command: &str) -> usize {
    let has = |turn: &&crate::support::proxy::Turn| turn.commands.iter().any(|name| name == command);
    proxy.turns().iter().filter(has).count()
}

/// Announcements bring the head: a hundred of them must not send every node to Redis a hundred times.
#[tokio::test(flavor = "multi_thread")]
async fn every_node_re_reads_on_each_announcement() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let shop = Shop::new().await;
    let writer = Service::start(&shop.config(&redis.url(), PATIENT));
    let reader = Service::start(&shop.config(&proxy.url(), PATIENT));
    publish(&writer, 0).await;
    assert_eq!(get(&reader, PROMO).await.status, 200);
    proxy.clear();
    let mut last = String::new();
    for revision in 1..=100 {
        last = publish(&writer, revision).await;
    }
    until_served(&reader, &last).await;
    let heads = reads(&proxy, "HMGET");
    // The checker looks four times a second.
    assert!(heads < 50, "{heads} heads read for 100 announcements");
}

/// A message about an older generation that comes late, as a retried or reordered one does, undoes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_older_clear() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let node = Service::start(&shop.config(&redis.url(), PATIENT));
    publish(&node, 0).await;
    let log = redis.cli(&["--scan", "--pattern", "*:log"]);
    let entry = |newest: &[String]| {
        let at = |name: &str| newest[newest.iter().position(|field| field == name).unwrap() + 1].clone();
        (newest[0].clone(), at("after"), at("body"))
    };
    let (id, after, body) = entry(&redis.cli_lines(&["XREVRANGE", &log, "+", "-", "COUNT", "1"]));
    let newest = publish(&node, 1).await;
    let partition: String = log.chars().filter(char::is_ascii_digit).skip(1).collect();
    let partition: u8 = partition.parse().unwrap();
    let message = format!(r#"{{"v":1,"partition":{partition},"entry":"{id}","after":"{after}","body":{body}}}"#);
    let channel = redis.cli(&["PUBSUB", "CHANNELS"]);
    for _ in 0..10 {
        assert_eq!(redis.cli(&["PUBLISH", &channel, &message]), "1");
        assert_eq!(get(&node, PROMO).await.body["generation"], newest);
    }
    // The same told as a new entry of the log, which nobody can tell from a true one.
    redis.cli(&["XADD", &log, "*", "v", "1", "after", "0-0", "body", &body]);
    let last = publish(&node, 2).await;
    until_served(&node, &last).await;
}

/// Only the way in is cut: what the node sends still arrives, what it should hear does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_only_cut() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let shop = Shop::new().await;
    let writer = Service::start(&shop.config(&redis.url(), PATIENT));
    let reader = Service::start(&shop.config(&proxy.url(), PATIENT));
    let before = publish(&writer, 0).await;
    until_served(&reader, &before).await;
    proxy.mute(true);
    let after = publish(&writer, 1).await;
    let page = get(&reader, PROMO).await;
    assert_eq!((page.status, &page.body["generation"]), (200, &json!(before)));
    proxy.mute(false);
    until_served(&reader, &after).await;
    assert_eq!(reader.metric("listcache_l1_inconsistent_total").await, 0.0);
}
