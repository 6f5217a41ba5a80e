//! Announcements: heard once, in order, whatever happens to the connection.

use std::time::{Duration, Instant};

use listcache::{
    listing::{Generation, HeadState},
    store::{Heard, Store},
};
use tokio::sync::mpsc;

use crate::support::{
    Proxy, RedisServer, eventually,
    store::{connect, connect_with_prefix, listing, next_moved, policy, publish, subscribe},
};

async fn next(heard: &mut mpsc::Receiver<Heard>) -> Heard {
    let next = tokio::time::timeout(Duration::from_secs(20), heard.recv()).await;
    next.expect("nothing is heard").unwrap()
}

async fn publish_many(store: &Store, count: usize) -> Vec<Generation> {
    let mut published = Vec::new();
    for _ in 0..count {
        published.push(publish(store, &listing("shoes/price"), 1).await.generation);
    }
    published
}

async fn hear_many(heard: &mut mpsc::Receiver<Heard>, count: usize) -> Vec<Generation> {
    let mut generations = Vec::new();
    for _ in 0..count {
        generations.push(next_moved(heard).await.1);
    }
    generations
}

#[tokio::test]
async fn every_node_hears_the_new_head_itself() {
    let redis = RedisServer::start();
    let (store, other) = (connect(&redis.url()).await, connect(&redis.url()).await);
    let mut heard = subscribe(&other).await;
    let shoes = listing("a%2Fb/price.desc?currency=EUR");
    let head = publish(&store, &shoes, 9).await;
    let Heard::Announcement(announcement) = next(&mut heard).await else {
        panic!("no announcement");
    };
    assert_eq!(
        (&announcement.listing, announcement.head),
        (&shoes, HeadState::Live(head))
    );

    let deleted = store
        .writes
        .delete(std::slice::from_ref(&shoes), &policy())
        .await
        .unwrap();
    let Heard::Announcement(heard) = next(&mut heard).await else {
        panic!("no announcement");
    };
    assert_eq!((&heard.listing, heard.head), (&shoes, deleted[0].0.head.clone()));
    // Its age is told by Redis's clock.
    let written = heard.written.unwrap();
    assert!(store.now().since(written) < Duration::from_secs(20), "{written:?}");
}

#[tokio::test]
async fn a_dead_connection_loses_no_announcement() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let mut heard = subscribe(&store).await;
    publish_many(&store, 1).await;
    hear_many(&mut heard, 1).await;
    let mut published = Vec::new();
    for _ in 0..10 {
        redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        published.extend(publish_many(&store, 30).await);
    }
    // Neither missed nor heard twice, and no new epoch.
    assert_eq!(hear_many(&mut heard, 300).await, published);
}

#[tokio::test]
async fn what_is_published_while_the_node_is_cut_off_is_heard_afterwards() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let (store, cut_off) = (connect(&redis.url()).await, connect(&proxy.url()).await);
    let mut heard = subscribe(&cut_off).await;
    proxy.refuse(true);
    proxy.cut();
    // More than is read at once.
    let published = publish_many(&store, 250).await;
    proxy.refuse(false);
    assert_eq!(hear_many(&mut heard, 250).await, published);
}

#[tokio::test]
async fn a_connection_that_goes_silent_is_given_up() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let (store, cut_off) = (connect(&redis.url()).await, connect(&proxy.url()).await);
    let mut heard = subscribe(&cut_off).await;
    proxy.silence();
    let published = publish_many(&store, 3).await;
    assert_eq!(hear_many(&mut heard, 3).await, published);
}

/// Writes to the log as publish does, but tells nobody.
fn append_silently(redis: &RedisServer, store: &Store) -> Generation {
    let log = redis.cli(&["--scan", "--pattern", "*log"]);
    let newest = redis.cli_lines(&["XREVRANGE", &log, "+", "-", "COUNT", "1"]);
    let generation = Generation {
        id: store.now().0 * 1000,
        nonce: 7,
    };
    let body = format!(
        r#"{{"listing":"shoes/price","head":{{"generation":"{generation}","total":1,"chunk_len":4,"as_of":1,"definition":"7","pins_from":0}}}}"#
    );
    redis.cli(&["XADD", &log, "*", "v", "1", "after", &newest[0], "body", &body]);
    generation
}

#[tokio::test]
async fn a_message_that_got_lost_is_found_by_the_next_one() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let mut heard = subscribe(&store).await;
    publish_many(&store, 1).await;
    hear_many(&mut heard, 1).await;
    let silent = append_silently(&redis, &store);
    let published = publish_many(&store, 1).await;
    assert_eq!(hear_many(&mut heard, 2).await, [silent, published[0]]);
}

#[tokio::test]
async fn a_message_that_got_lost_is_found_within_a_second_or_so_without_any_other() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let mut heard = subscribe(&store).await;
    publish_many(&store, 1).await;
    hear_many(&mut heard, 1).await;
    let silent = append_silently(&redis, &store);
    let begun = Instant::now();
    assert_eq!(hear_many(&mut heard, 1).await, [silent]);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_flushed_redis_is_a_new_epoch() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let mut heard = subscribe(&store).await;
    publish_many(&store, 1).await;
    hear_many(&mut heard, 1).await;
    redis.cli(&["FLUSHALL"]);
    assert_eq!(next(&mut heard).await, Heard::NewEpoch);
    let published = publish_many(&store, 2).await;
    assert_eq!(hear_many(&mut heard, 2).await, published);
    // With a publish right after it, before anybody has compared.
    redis.cli(&["FLUSHALL"]);
    let published = publish_many(&store, 1).await;
    assert_eq!(next(&mut heard).await, Heard::NewEpoch);
    let published_later = publish_many(&store, 1).await;
    let heard_last = hear_many(&mut heard, 1).await;
    assert!(heard_last == published_later || heard_last == published);
}

#[tokio::test]
async fn a_restarted_redis_is_a_new_epoch() {
    let mut redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let mut heard = subscribe(&store).await;
    redis.restart_empty();
    assert_eq!(next(&mut heard).await, Heard::NewEpoch);
    eventually(async || store.heads.read(&listing("shoes/price")).await).await;
    eventually(async || store.draws.without_lease(listing("shoes/price").name(), 1).await).await;
    let published = publish_many(&store, 2).await;
    assert_eq!(hear_many(&mut heard, 2).await, published);
}

#[tokio::test]
async fn a_log_cut_beyond_what_was_heard_is_a_new_epoch() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let (store, cut_off) = (connect(&redis.url()).await, connect(&proxy.url()).await);
    let mut heard = subscribe(&cut_off).await;
    publish_many(&store, 1).await;
    hear_many(&mut heard, 1).await;
    proxy.refuse(true);
    proxy.cut();
    publish_many(&store, 5).await;
    redis.cli(&[
        "XTRIM",
        &redis.cli(&["--scan", "--pattern", "*log"]),
        "MAXLEN",
        "=",
        "3",
    ]);
    proxy.refuse(false);
    assert_eq!(next(&mut heard).await, Heard::NewEpoch);
}

#[tokio::test]
async fn a_message_of_another_release_is_told_and_no_new_epoch() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let mut heard = subscribe(&store).await;
    for message in [
        "",
        "{\"v\":2}",
        "{\"v\":1,\"partition\":200,\"entry\":\"1-1\",\"after\":\"0-0\",\"body\":{}}",
    ] {
        redis.cli(&["PUBLISH", "t:2:announcements", message]);
        assert_eq!(next(&mut heard).await, Heard::Unreadable, "{message}");
    }
    let published = publish_many(&store, 1).await;
    assert_eq!(hear_many(&mut heard, 1).await, published);
}

#[tokio::test]
async fn two_prefixes_on_one_redis_know_nothing_of_each_other() {
    let redis = RedisServer::start();
    let (one, two) = (
        connect_with_prefix(&redis.url(), "one").await,
        connect_with_prefix(&redis.url(), "two").await,
    );
    let (mut heard_one, mut heard_two) = (subscribe(&one).await, subscribe(&two).await);
    let shoes = listing("shoes/price");
    let of_one = publish(&one, &shoes, 1).await;
    assert_eq!(two.heads.read(&shoes).await.unwrap(), HeadState::Absent);
    assert!(
        two.pages
            .chunks(&shoes, of_one.generation, None, 0..1)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(two.names.list("", None, 10).await.unwrap().is_empty());
    let of_two = publish(&two, &shoes, 2).await;
    // What each hears first is its own.
    assert_eq!(next_moved(&mut heard_one).await.1, of_one.generation);
    assert_eq!(next_moved(&mut heard_two).await.1, of_two.generation);
    let foreign: Vec<String> = redis
        .cli_lines(&["--scan"])
        .into_iter()
        .filter(|key| !key.starts_with("one:") && !key.starts_with("two:"))
        .collect();
    assert_eq!(foreign, [""; 0]);
}

#[tokio::test]
async fn the_subscriber_ends_with_its_receiver() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let heard = subscribe(&store).await;
    assert_eq!(
        redis.cli(&["PUBSUB", "NUMSUB", "t:2:announcements"]),
        "t:2:announcements\n1"
    );
    drop(heard);
    eventually(async || match redis.cli(&["PUBSUB", "CHANNELS"]).as_str() {
        "" => Ok(()),
        channels => Err(channels.to_owned()),
    })
    .await;
}
