//! Leases: one reader a family, across nodes.

use std::time::{Duration, Instant};

use listcache::store::{Drawn, Grant, Store};

use crate::support::{
    Proxy, RedisServer, eventually,
    store::{connect, failing, family, finished, granted, listing, moved, policy, publish},
};

/// Until the family can be drawn; says how long that took.
async fn time_until_free(store: &Store) -> Duration {
    let begun = Instant::now();
    eventually(
        async || match store.draws.with_lease(&family("shoes"), 1, false).await.unwrap() {
            Drawn::Granted(_) => Ok(()),
            busy => Err(busy),
        },
    )
    .await;
    begun.elapsed()
}

#[tokio::test]
async fn a_heartbeat_keeps_a_lease_and_others_wait() {
    let redis = RedisServer::start();
    let (store, other) = (connect(&redis.url()).await, connect(&redis.url()).await);
    let grant = granted(store.draws.with_lease(&family("shoes"), 2, false).await.unwrap());
    let lease = grant.lease.as_ref().unwrap();

    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        let drawn = other.draws.with_lease(&family("shoes"), 1, true).await.unwrap();
        let Drawn::Leased { last_id, left } = drawn else {
            panic!("{drawn:?} after {:?}", begun.elapsed());
        };
        assert!(last_id >= grant.generations[1].id && left <= Duration::from_millis(1200));
        let state = other.draws.lease_state(&family("shoes")).await.unwrap().unwrap();
        assert_eq!(state.generation, grant.generations[0]);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!lease.is_lost());
    // Another family is another lease.
    granted(other.draws.with_lease(&family("hats"), 1, false).await.unwrap());
}

#[tokio::test]
async fn a_head_above_last_id_was_drawn_later() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let earlier = publish(&store, &shoes, 3).await;
    let _holder = store.draws.with_lease(&shoes.family, 1, false).await.unwrap();
    let Drawn::Leased { last_id, .. } = store.draws.with_lease(&shoes.family, 1, false).await.unwrap() else {
        panic!("not leased");
    };
    assert!(earlier.generation.id <= last_id);
    assert!(publish(&store, &shoes, 3).await.generation.id > last_id);
}

#[tokio::test]
async fn a_released_lease_is_free_at_once_and_a_dropped_one_soon() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let grant = granted(store.draws.with_lease(&family("shoes"), 1, false).await.unwrap());
    grant.lease.unwrap().release().await;
    let grant = granted(store.draws.with_lease(&family("shoes"), 1, false).await.unwrap());
    drop(grant);
    assert!(time_until_free(&store).await < Duration::from_millis(1000));
}

#[tokio::test]
async fn a_holder_that_is_cut_off_knows_it_and_is_replaced_within_two_seconds() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let (cut_off, other) = (connect(&proxy.url()).await, connect(&redis.url()).await);
    let shoes = listing("shoes/price");
    let mut grant = granted(cut_off.draws.with_lease(&shoes.family, 1, false).await.unwrap());
    let lease = grant.lease.take().unwrap();
    let written = finished(&cut_off, &shoes, &grant, 5).await;

    proxy.hold();
    assert!(time_until_free(&other).await < Duration::from_secs(2));
    assert!(lease.is_lost());
    let newer = publish(&other, &shoes, 6).await;

    proxy.release();
    let late = eventually(async || match cut_off.heads.read(&shoes).await {
        Ok(head) => Ok(head),
        Err(error) => Err(error),
    });
    assert_eq!(late.await.id(), newer.generation.id);
    let refused = cut_off
        .writes
        .publish(written, &policy(), Some(&lease), None)
        .await
        .unwrap();
    assert!(
        !matches!(refused, listcache::store::Published::Moved { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn nobody_releases_anothers_lease() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let grant = granted(store.draws.with_lease(&family("shoes"), 1, false).await.unwrap());
    let lease = grant.lease.unwrap();
    let key = redis.cli(&["--scan", "--pattern", "*lease*"]);
    let others = "another 1795291200123456-00000001";
    redis.cli(&["SET", &key, others]);
    eventually(async || if lease.is_lost() { Ok(()) } else { Err("not lost") }).await;
    lease.release().await;
    assert_eq!(redis.cli(&["GET", &key]), others);
}

#[tokio::test]
async fn after_a_failure_only_who_insists_may_draw() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    for count in 1..=2 {
        store
            .failures
            .record(&shoes.family, failing("the origin is away", Duration::from_secs(30)))
            .await
            .unwrap();
        let failure = store.failures.last(&shoes.family).await.unwrap().unwrap();
        assert_eq!((failure.error.as_str(), failure.count), ("the origin is away", count));
        assert_eq!(failure.retry_at, failure.at.after(Duration::from_secs(30)));
        assert_eq!(store.due.time_of(&shoes.family).await.unwrap(), Some(failure.retry_at));
    }
    match store.draws.with_lease(&shoes.family, 1, false).await.unwrap() {
        Drawn::BackingOff { left, error } => {
            assert!(left <= Duration::from_secs(30) && left > Duration::from_secs(20));
            assert_eq!(error, "the origin is away");
        }
        drawn => panic!("{drawn:?}"),
    }
    let mut grant = granted(store.draws.with_lease(&shoes.family, 1, true).await.unwrap());
    let lease = grant.lease.take().unwrap();
    let written = finished(&store, &shoes, &grant, 1).await;
    moved(
        store
            .writes
            .publish(written, &policy(), Some(&lease), None)
            .await
            .unwrap(),
    );
    assert_eq!(store.failures.last(&shoes.family).await.unwrap(), None);
}

#[tokio::test]
async fn ids_ascend_over_nodes_and_an_emptied_redis() {
    let mut redis = RedisServer::start();
    let (store, other) = (connect(&redis.url()).await, connect(&redis.url()).await);
    let shoes = listing("shoes/price");
    let mut last = 0;
    for _ in 0..20 {
        for node in [&store, &other] {
            let grant = node.draws.without_lease(shoes.name(), 3).await.unwrap();
            for generation in grant.generations {
                assert!(generation.id > last);
                last = generation.id;
            }
            assert!(grant.as_of.since(node.now()) < Duration::from_secs(1));
        }
    }
    // Far ahead of the clock: only what this node has seen can keep the next id above it.
    redis.cli(&["SET", &redis.cli(&["--scan", "--pattern", "*last"]), "8000000000000000"]);
    last = store.draws.without_lease(shoes.name(), 1).await.unwrap().generations[0].id;
    redis.restart_empty();
    let grant = eventually(async || store.draws.without_lease(shoes.name(), 1).await).await;
    assert!(grant.generations[0].id > last);
}

/// Redis's clock was set back by an hour: a lease and a back-off of before seem to last until it has caught up.
#[tokio::test]
async fn after_the_clock_was_set_back_neither_a_lease_nor_a_back_off_lasts_longer() {
    const HOUR_MS: u64 = 3_600_000;
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = family("shoes");
    let find = |class: &str| {
        redis
            .cli_lines(&["--scan", "--pattern", &format!("*:{class}:shoes")])
            .pop()
    };
    let key = |class: &str| find(class).unwrap();
    let first = eventually_granted(&store).await;
    let lease = key("lease");
    first.lease.unwrap().release().await;
    // Another node's lease: no heartbeat of ours gives it its right life back.
    redis.cli(&["SET", &lease, "another-node 1", "PX", &HOUR_MS.to_string()]);
    let Drawn::Leased { left, .. } = store.draws.with_lease(&shoes, 1, false).await.unwrap() else {
        panic!("another node's lease was ignored");
    };
    assert!(left <= Duration::from_millis(1200), "{left:?}");
    let grant = eventually_granted(&store).await;
    store
        .failures
        .record(&shoes, failing("no", Duration::from_secs(20)))
        .await
        .unwrap();
    grant.lease.unwrap().release().await;
    let refused = store.draws.with_lease(&shoes, 1, false).await.unwrap();
    assert!(matches!(refused, Drawn::BackingOff { .. }), "{refused:?}");
    let failure = store.failures.last(&shoes).await.unwrap().unwrap();
    let ahead = |at: listcache::listing::Timestamp| (at.0 + HOUR_MS).to_string();
    redis.cli(&[
        "HSET",
        &key("fail"),
        "at",
        &ahead(failure.at),
        "retry_at",
        &ahead(failure.retry_at),
    ]);
    granted(store.draws.with_lease(&shoes, 1, false).await.unwrap());
}

/// A lease, when it is free.
async fn eventually_granted(store: &Store) -> Grant {
    eventually(
        async || match store.draws.with_lease(&family("shoes"), 1, false).await.unwrap() {
            Drawn::Granted(grant) => Ok(grant),
            busy => Err(busy),
        },
    )
    .await
}
