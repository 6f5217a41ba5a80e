//! Deleting: it beats whatever was under way.

use std::time::Duration;

use listcache::{listing::HeadState, store::Published};

use crate::support::{
    RedisServer,
    store::{connect, failing, finished, listing, moved, policy, publish},
};

#[tokio::test]
async fn a_deleted_listing_stays_deleted_under_a_running_writer() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let (first, second) = (publish(&store, &shoes, 5).await, publish(&store, &shoes, 6).await);
    let before = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let running = finished(&store, &shoes, &before, 7).await;

    let deleted = store
        .writes
        .delete(std::slice::from_ref(&shoes), &policy())
        .await
        .unwrap();
    assert_eq!(deleted.len(), 1);
    let (announcement, existed) = &deleted[0];
    assert!(existed);
    let HeadState::Deleted(tombstone) = announcement.head else {
        panic!("{announcement:?}");
    };
    let refused = store.writes.publish(running, &policy(), None, None).await.unwrap();
    assert!(matches!(refused, Published::Older { current } if current == tombstone));
    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Deleted(tombstone));
    for generation in [first.generation, second.generation] {
        assert_eq!(
            store
                .pages
                .pinned(&shoes, generation, Some(None), 0..1)
                .await
                .unwrap()
                .left,
            None
        );
    }
    assert!(store.names.listings_of(shoes.name()).await.unwrap().is_empty());
    let left: u64 = redis.cli(&["PTTL", &store.heads.key(&shoes)]).parse().unwrap();
    assert!(Duration::from_millis(left) > Duration::from_secs(590), "{left}");
}

#[tokio::test]
async fn a_later_writer_may_fill_it_again_and_old_pins_stay_forbidden() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    publish(&store, &shoes, 5).await;
    let deleted = store
        .writes
        .delete(std::slice::from_ref(&shoes), &policy())
        .await
        .unwrap();
    let tombstone = deleted[0].0.head.id();

    let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let written = finished(&store, &shoes, &grant, 3).await;
    let head = moved(store.writes.publish(written, &policy(), None, None).await.unwrap());
    assert_eq!(head.pins_from, tombstone);
    assert_eq!(store.heads.read(&shoes).await.unwrap(), HeadState::Live(head));
    assert_eq!(publish(&store, &shoes, 4).await.pins_from, tombstone);
}

#[tokio::test]
async fn what_was_never_there_gets_a_tombstone_too() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    let grant = store.draws.without_lease(shoes.name(), 1).await.unwrap();
    let first_fill = finished(&store, &shoes, &grant, 3).await;
    let deleted = store
        .writes
        .delete(std::slice::from_ref(&shoes), &policy())
        .await
        .unwrap();
    assert!(!deleted[0].1);
    let refused = store.writes.publish(first_fill, &policy(), None, None).await.unwrap();
    assert!(matches!(refused, Published::Older { .. }));
}

#[tokio::test]
async fn a_deleted_family_is_not_due_and_has_not_failed() {
    let redis = RedisServer::start();
    let store = connect(&redis.url()).await;
    let shoes = listing("shoes/price");
    store
        .failures
        .record(&shoes.family, failing("broken", Duration::from_secs(5)))
        .await
        .unwrap();
    assert!(store.due.time_of(&shoes.family).await.unwrap().is_some());
    store
        .writes
        .delete(std::slice::from_ref(&shoes), &policy())
        .await
        .unwrap();
    assert_eq!(store.due.time_of(&shoes.family).await.unwrap(), None);
    assert_eq!(store.failures.last(&shoes.family).await.unwrap(), None);
}
