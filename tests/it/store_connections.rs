//! Redis away, stopped or slow: calls fail in time, and all is well again without a restart.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use listcache::{
    listing::HeadState,
    store::{Store, StoreError, StoreOptions},
    telemetry::Metrics,
};

use crate::support::{
    Proxy, RedisServer, eventually,
    store::{connect, listing, options, publish, schedule},
};

#[tokio::test]
async fn without_redis_a_call_fails_at_once_and_later_all_is_well() {
    let mut redis = RedisServer::start();
    let metrics = Arc::new(Metrics::new());
    let store = Store::connect(options(&redis.url()), metrics.clone()).await.unwrap();
    let shoes = listing("shoes/price");
    publish(&store, &shoes, 1).await;
    assert!(store.is_up());
    assert_eq!(metrics.redis_up.get(), 1);

    redis.kill();
    eventually(async || if store.is_up() { Err("up") } else { Ok(()) }).await;
    // The quickest of some: a busy machine may hold up any of them.
    let mut quickest = Duration::MAX;
    for _ in 0..20 {
        let begun = Instant::now();
        let failed = store.heads.read(&shoes).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
        quickest = quickest.min(begun.elapsed());
    }
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
    assert!(store.draws.without_lease(shoes.name(), 1).await.is_err());
    assert_eq!(metrics.redis_up.get(), 0);
    assert!(metrics.redis_errors.get() >= 2);

    redis.restart_empty();
    assert_eq!(
        eventually(async || store.heads.read(&shoes).await).await,
        HeadState::Absent
    );
    eventually(async || store.draws.without_lease(shoes.name(), 1).await).await;
    publish(&store, &shoes, 1).await;
    assert_eq!(metrics.redis_up.get(), 1);
}

#[tokio::test]
async fn a_stopped_redis_costs_each_call_its_time_out_until_it_is_given_up() {
    let redis = RedisServer::start();
    let options = StoreOptions {
        read_timeout: Duration::from_millis(100),
        ..options(&redis.url())
    };
    let store = Store::connect(options, Arc::new(Metrics::new())).await.unwrap();
    let shoes = listing("shoes/price");
    redis.pause();
    let begun = Instant::now();
    while store.is_up() {
        assert!(store.heads.read(&shoes).await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    // Given up: nothing waits any more.
    let begun = Instant::now();
    for _ in 0..50 {
        assert!(store.heads.read(&shoes).await.is_err());
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    redis.resume();
    eventually(async || store.heads.read(&shoes).await).await;
    eventually(async || store.draws.without_lease(shoes.name(), 1).await).await;
}

#[tokio::test]
async fn a_thread_that_is_busy_is_no_redis_that_does_not_answer() {
    let redis = RedisServer::start();
    // Long enough for Redis itself to answer in time, whatever else this machine does.
    let read_timeout = Duration::from_millis(100);
    let options = StoreOptions {
        read_timeout,
        ..options(&redis.url())
    };
    let store = Store::connect(options, Arc::new(Metrics::new())).await.unwrap();
    let shoes = listing("shoes/price");
    let head = publish(&store, &shoes, 1).await;
    // All on the one thread of this test: a task waits longer for its turn than a read may take.
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..30 {
        others.spawn(async {
            loop {
                let turn = Instant::now();
                while turn.elapsed() < Duration::from_millis(10) {
                    std::hint::spin_loop();
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Live(head.clone()));
        assert!(begun.elapsed() > read_timeout, "it was not busy");
    }
}

#[tokio::test]
async fn an_idle_store_notices_a_silent_server() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let store = connect(&proxy.url()).await;
    let (opened, silenced) = (proxy.connections(), Instant::now());
    proxy.silence();
    // Nobody calls: the slots find out by themselves, and each opens another connection.
    eventually(async || match proxy.connections() - opened {
        3 => Ok(()),
        opened => Err(opened),
    })
    .await;
    assert!(silenced.elapsed() < Duration::from_secs(6), "{:?}", silenced.elapsed());
    eventually(async || store.heads.read(&listing("shoes/price")).await).await;
}

#[tokio::test]
async fn killed_clients_and_forgotten_scripts_are_no_failure() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    publish(&store, &shoes, 1).await;
    redis.cli(&["SCRIPT", "FLUSH"]);
    publish(&store, &shoes, 2).await;
    redis.cli(&["SCRIPT", "FLUSH"]);
    schedule(&store, &shoes.family, Duration::ZERO).await;
    let claimed = eventually(async || {
        let claimed = store.due.claim(5, Duration::from_secs(60)).await.unwrap();
        if claimed.is_empty() { Err("none") } else { Ok(claimed) }
    });
    assert_eq!(claimed.await[0].family, shoes.family);
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
    eventually(async || store.draws.without_lease(shoes.name(), 1).await).await;
    eventually(async || store.heads.read(&shoes).await).await;
}

#[tokio::test]
async fn over_tcp_as_well() {
    let redis = RedisServer::start_tcp();
    let proxy = Proxy::start_tcp(&redis.tcp_url());
    let store = connect(&proxy.url()).await;
    let shoes = listing("shoes/price");
    let head = publish(&store, &shoes, 50).await;
    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Live(head.clone()));
}
