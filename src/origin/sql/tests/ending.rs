//! Reads that are ended: too slow, or wanted by nobody any more.

use std::time::{Duration, Instant};

use futures_util::StreamExt;

use crate::origin::{
    Origin, OriginError, ReadOrder,
    sql::SqlOrigin,
    testing::{TestDatabase, any_order, by, collect, definition, read},
};

/// Rows without end: for reads that must be ended.
const ENDLESS: &str = "with recursive n(id) as (select 1 union all select id + 1 from n) select id from n";

#[tokio::test]
async fn a_read_that_takes_too_long_is_ended() {
    let shop = TestDatabase::create("select 1").await;
    let origin = SqlOrigin::open(&shop.url(), Duration::from_millis(200)).unwrap();
    let read = || read(definition("all", ENDLESS), "all", &[], ReadOrder::By(by(&["id desc"])));
    let started = Instant::now();
    // More than there are connections, one after the other: each is free again.
    for _ in 0..10 {
        let error = collect(&origin, read()).await.unwrap_err();
        assert!(matches!(error, OriginError::TimedOut), "{error:?}");
    }
    let error = origin
        .names(&format!("select max(id) from ({ENDLESS})"), &["id".into()])
        .await
        .unwrap_err();
    assert!(matches!(error, OriginError::TimedOut), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(30));
    let names = origin.names("select 1", &["id".into()]).await.unwrap();
    assert_eq!(names, [["1"]]);
}

#[tokio::test]
async fn a_dropped_stream_ends_its_read() {
    let shop = TestDatabase::create("select 1").await;
    let origin = shop.origin();
    for _ in 0..20 {
        let mut items = origin
            .read(read(definition("all", ENDLESS), "all", &[], any_order(&[])))
            .await
            .unwrap();
        let first = items.next().await.unwrap().unwrap();
        assert_eq!(first[0].item.json, "{\"id\":1}");
        drop(items);
        // This one yields nothing before it is dropped.
        let sorted = read(definition("all", ENDLESS), "all", &[], ReadOrder::By(by(&["id desc"])));
        let mut items = origin.read(sorted).await.unwrap();
        let none = tokio::time::timeout(Duration::from_millis(5), items.next()).await;
        assert!(none.is_err());
    }
    // Were they still running, they would hold all connections.
    assert_eq!(origin.names("select 1", &["id".into()]).await.unwrap(), [["1"]]);
}
