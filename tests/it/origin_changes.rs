//! When an origin tells that it changed, what was read from it before is due.

use std::time::Duration;

use futures_util::future::join_all;
use listcache::{
    engine::OriginChanges,
    listing::{Family, Timestamp},
};
use tokio_util::task::TaskTracker;

use crate::support::{
    RedisServer,
    shop::{self, ScriptedOrigin, definition, definitions, items, name, policy},
};

/// More than are looked at in one turn.
const NAMES: usize = 1100;

#[tokio::test(flavor = "multi_thread")]
async fn every_family_read_from_the_origin_before_is_due_and_no_other() {
    let redis = RedisServer::start();
    let origin = ScriptedOrigin::new(items(1, 0));
    let mut two_sorts = definition(policy());
    two_sorts.sorts.push(shop::sort("name"));
    let engine = shop::engine(&redis.url(), &origin, definitions(vec![two_sorts])).await;
    let store = shop::store(&redis.url()).await;
    let names: Vec<_> = (0..NAMES).map(|number| name(&format!("category:{number}"))).collect();
    for names in names.chunks(100) {
        for filled in join_all(names.iter().map(|name| shop::fill(&engine, name))).await {
            filled.unwrap();
        }
    }
    shop::push(&engine, &name("pushed:1"), items(1, 0)).await.unwrap();
    let due = async |name: &_| {
        store
            .due
            .time_of(&Family::plain(Clone::clone(name)))
            .await
            .unwrap()
            .unwrap()
    };

    let before: Vec<Timestamp> = join_all(names.iter().take(20).map(due)).await;
    let changes = OriginChanges {
        store: store.clone(),
        declaration: engine.declaration.clone(),
        tasks: TaskTracker::new(),
    };
    let of = async |origin, time| changes.families_are_due(origin, time).await.unwrap();
    assert_eq!(of("shop", Timestamp(0)).await, 0, "they were read after that");
    assert_eq!(of("other", store.now().after(Duration::from_secs(60))).await, 0);
    assert_eq!(join_all(names.iter().take(20).map(due)).await, before);

    let now = store.now().after(Duration::from_secs(60));
    let found = of("shop", now).await;
    // A family whose sorts are parted by a turn's end is found twice.
    assert!((NAMES..NAMES + 5).contains(&found), "{found}");
    for time in join_all(names.iter().map(due)).await {
        assert!(time <= store.now().after(Duration::from_secs(1)), "{time:?}");
    }
    assert_eq!(store.due.time_of(&Family::plain(name("pushed:1"))).await.unwrap(), None);
}
