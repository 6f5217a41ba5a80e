//! The rules by which a head moves.

use std::time::Duration;

use listcache::{
    listing::{HeadState, ListingKey, Policy},
    store::{Published, Store, StoreError},
};

use crate::support::{
    Proxy, RedisServer,
    store::{connect, family, finished, granted, items, json, listing, moved, policy, publish, publish_as},
};

#[tokio::test]
async fn a_published_generation_is_read_in_one_turn() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let store = connect(&proxy.url()).await;
    let shoes = listing("shoes/price");
    let head = publish(&store, &shoes, 10).await;

    proxy.clear();
    let (found, chunks) = store.pages.read(&shoes, head.generation, None, 1..3).await.unwrap();
    assert_eq!(found, HeadState::Live(head.clone()));
    assert_eq!((head.total, head.chunk_len.get(), head.definition), (10, 4, 7));
    let expect: Vec<String> = (4..8).map(|position| json(head.generation, position)).collect();
    assert_eq!(chunks[0].items(0..4), expect.join(","));
    assert_eq!(chunks[1].len(), 2);
    let turns = proxy.turns();
    assert_eq!(turns.len(), 1);
    assert_eq!(turns[0].commands, ["HMGET", "XRANGE"]);

    proxy.clear();
    let pinned = store
        .pages
        .pinned(&shoes, head.generation, Some(None), 2..9)
        .await
        .unwrap();
    assert_eq!((pinned.head, pinned.chunks.len()), (HeadState::Live(head.clone()), 1));
    let kept = policy().keep_for + policy().pin_for;
    assert!(pinned.left.unwrap() > kept - Duration::from_secs(60) && pinned.left.unwrap() <= kept);
    let description = store.pages.describe(&shoes, head.generation).await.unwrap().unwrap();
    assert_eq!((description.total, description.chunk_len.get()), (10, 4));
    assert_eq!(proxy.turns().len(), 2);
}

#[tokio::test]
async fn an_older_generation_never_replaces_a_newer_one() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let first = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let second = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let older = finished(&store, &shoes, &first, 99).await;
    let newer = finished(&store, &shoes, &second, 10).await;

    let head = moved(store.writes.publish(newer, &policy(), None, None).await.unwrap());
    let refused = store.writes.publish(older, &policy(), None, None).await.unwrap();
    assert!(matches!(refused, Published::Older { current } if current == head.generation));

    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Live(head.clone()));
    // What was refused is not left lying.
    assert_eq!(store.pages.describe(&shoes, first.generations[0]).await.unwrap(), None);
}

#[tokio::test]
async fn a_reader_whose_lease_is_anothers_is_refused() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let mut grant = granted(store.draws.with_lease(&shoes.family, 1, false).await.unwrap());
    let lease = grant.lease.take().unwrap();
    let generation = finished(&store, &shoes, &grant, 5).await;

    let lease_key = redis.cli(&["--scan", "--pattern", "*lease*"]);
    redis.cli(&["SET", &lease_key, "another 1795291200123456-00000001"]);
    let refused = store
        .writes
        .publish(generation, &policy(), Some(&lease), None)
        .await
        .unwrap();
    assert!(matches!(refused, Published::Fenced), "{refused:?}");
    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Absent);
}

#[tokio::test]
async fn with_its_lease_a_reader_may_publish_every_stream_it_drew() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let mut grant = granted(store.draws.with_lease(&family("shoes"), 2, false).await.unwrap());
    let lease = grant.lease.take().unwrap();
    assert!(grant.generations[0].id < grant.generations[1].id);
    for sort in ["shoes/price", "shoes/name"] {
        let generation = finished(&store, &listing(sort), &grant, 5).await;
        moved(
            store
                .writes
                .publish(generation, &policy(), Some(&lease), None)
                .await
                .unwrap(),
        );
        grant.generations.remove(0);
    }
}

#[tokio::test]
async fn a_stream_that_is_not_what_was_written_is_refused() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let generation = finished(&store, &shoes, &grant, 12).await;
    redis.cli(&["XDEL", &store.pages.stream_key(&shoes, grant.generations[0]), "0-2"]);

    let refused = store.writes.publish(generation, &policy(), None, None).await.unwrap();
    assert!(matches!(refused, Published::Incomplete), "{refused:?}");
    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Absent);
}

#[tokio::test]
async fn a_publish_whose_reply_was_lost_is_done_once() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let store = connect(&proxy.url()).await;
    let shoes = listing("shoes/price");
    let before = publish(&store, &shoes, 3).await;
    let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let generation = finished(&store, &shoes, &grant, 8).await;

    proxy.lose_reply_of("EVALSHA");
    let published = store.writes.publish(generation, &policy(), None, None).await.unwrap();
    assert!(proxy.has_lost_reply());
    let Published::Moved { announcement, replaced } = published else {
        panic!("{published:?}");
    };
    assert_eq!(announcement.head.id(), grant.generations[0].id);
    assert_eq!(*replaced, HeadState::Live(before));
    assert_eq!(items(&store, &shoes, grant.generations[0]).await.len(), 8);
    let log = redis.cli(&["--scan", "--pattern", "*log"]);
    assert_eq!(redis.cli(&["XLEN", &log]), "2");
}

#[tokio::test]
async fn writers_that_race_leave_the_newest_generation() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let writers = (0..8).map(|_| async {
        for _ in 0..10 {
            let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
            let generation = finished(&store, &shoes, &grant, 5).await;
            match store.writes.publish(generation, &policy(), None, None).await.unwrap() {
                Published::Moved { .. } => {}
                Published::Older { current } => assert!(current.id > grant.generations[0].id),
                refused => panic!("{refused:?}"),
            }
        }
    });
    futures_util::future::join_all(writers).await;

    let last = redis.cli(&["GET", &redis.cli(&["--scan", "--pattern", "*last"])]);
    let head = store.heads.read(&shoes).await.unwrap();
    assert_eq!(head.id().to_string(), last);
    assert_eq!(items(&store, &shoes, head.live().unwrap().generation).await.len(), 5);
}

/// A policy that keeps so many halves of a generation, and as many generations published with it.
async fn keeping(store: &Store, redis: &RedisServer, listing: &ListingKey, halves: u64) -> Policy {
    publish_as(store, listing, 4, &policy()).await;
    let bytes = redis.cli(&["HGET", &store.heads.key(listing), "bytes"]);
    let each: u64 = bytes.split(' ').next().unwrap().parse().unwrap();
    assert!(each > 100, "{bytes}");
    Policy {
        pinned_bytes_max: each * halves / 2,
        ..policy()
    }
}

#[tokio::test]
async fn generations_beyond_the_bound_are_unlinked() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let policy = keeping(&store, &redis, &listing("socks/price"), 7).await;
    let mut published = Vec::new();
    for _ in 0..8 {
        published.push(publish_as(&store, &shoes, 4, &policy).await.generation);
        let streams = redis.cli_lines(&["--scan", "--pattern", "*:gen:*shoes/price"]);
        assert_eq!(streams.len(), published.len().min(4), "{streams:?}");
    }
    let kept = redis.cli_lines(&["--scan", "--pattern", "*:kept:shoes/price"]);
    assert_eq!(redis.cli(&["ZCARD", &kept[0]]), "3");
    for (at, generation) in published.iter().enumerate() {
        let left = store
            .pages
            .pinned(&shoes, *generation, Some(None), 0..1)
            .await
            .unwrap()
            .left;
        assert_eq!(left.is_some(), at >= 4, "{at}");
        // Only the current one outlives its pins.
        assert_eq!(left > Some(policy.pin_for), at == 7, "{at}");
    }
}

#[tokio::test]
async fn what_has_expired_does_not_take_another_ones_place() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let policy = keeping(&store, &redis, &listing("socks/price"), 5).await;
    let short = Policy {
        pin_for: Duration::from_millis(1),
        ..policy.clone()
    };
    let first = publish_as(&store, &shoes, 4, &policy).await.generation;
    let second = publish_as(&store, &shoes, 4, &policy).await.generation;
    publish_as(&store, &shoes, 4, &short).await;
    crate::support::eventually(async || match store.pages.describe(&shoes, second).await.unwrap() {
        None => Ok(()),
        Some(description) => Err(description),
    })
    .await;
    publish_as(&store, &shoes, 4, &policy).await;
    assert!(store.pages.describe(&shoes, first).await.unwrap().is_some());
}

#[tokio::test]
async fn an_empty_listing_is_a_head_without_a_stream() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    publish(&store, &shoes, 5).await;
    let head = publish(&store, &shoes, 0).await;
    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Live(head.clone()));
    assert_eq!(head.total, 0);
    let described = store.pages.describe(&shoes, head.generation).await.unwrap().unwrap();
    assert_eq!(described.total, 0);
    publish(&store, &shoes, 3).await;
}

#[tokio::test]
async fn a_full_server_says_so_and_keeps_what_it_has() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let head = publish(&store, &shoes, 9).await;
    let grant = store.draws.without_lease(shoes.name(), 2).await.unwrap();
    let written = finished(&store, &shoes, &grant, 9).await;
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);

    let full = store.writes.publish(written, &policy(), None, None).await;
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");
    let mut writer = store
        .writes
        .begin(&shoes, grant.generations[1], grant.as_of, 7, &policy());
    let item = crate::support::store::item("a", "1");
    for _ in 0..10 {
        writer.append(item.clone()).await.unwrap();
    }
    let full = writer.finish().await;
    assert!(matches!(full, Err(StoreError::Full { .. })), "{full:?}");

    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Live(head.clone()));
    assert_eq!(items(&store, &shoes, head.generation).await.len(), 9);
}

#[tokio::test]
async fn an_unreadable_head_is_corrupt_until_the_next_publish() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    redis.cli(&["HSET", &store.heads.key(&shoes), "id", "x", "bytes", "?"]);
    assert!(matches!(
        store.heads.read(&shoes).await,
        Err(StoreError::Corrupt { .. })
    ));
    let head = publish(&store, &shoes, 3).await;
    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Live(head.clone()));
}
