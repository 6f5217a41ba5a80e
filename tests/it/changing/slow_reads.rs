//! A slow full read that began before a change never brings the old state back.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use listcache::{
    engine::{Engine, EngineLimits, EngineParts},
    listing::{Change, Definition, Field, Item, ItemId, Policy},
    origin::{Items, Origin, OriginError, OriginItem, Origins, Read, SortValue},
    telemetry::{ChangeSource, Metrics},
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::support::{
    RedisServer, all_the_while, eventually,
    shop::{self, bread, definition, definitions, place, texts},
};

/// An origin that reads rows. A full read sees the state of its beginning, and ends when the test says so.
struct SlowOrigin {
    rows: Mutex<Vec<(i64, i64)>>,
    begun: AtomicU64,
    gate: Semaphore,
    is_slow: Mutex<bool>,
}

fn item((id, price): (i64, i64)) -> OriginItem {
    OriginItem {
        item: Item {
            id: ItemId::from_integer(id),
            json: format!(r#"{{"id":{id},"price":{price}}}"#).into(),
        },
        id: SortValue::Integer(id),
        keys: Box::new([SortValue::Integer(price)]),
    }
}

#[async_trait]
impl Origin for SlowOrigin {
    async fn read(&self, read: Read) -> Result<Items, OriginError> {
        let mut rows = self.rows.lock().clone();
        rows.sort_by_key(|(id, price)| (*price, *id));
        if let Some(ids) = &read.only {
            let ids: BTreeSet<&str> = ids.iter().map(ItemId::as_str).collect();
            rows.retain(|(id, _)| ids.contains(id.to_string().as_str()));
        } else if *self.is_slow.lock() {
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.gate.acquire().await.unwrap().forget();
        }
        Ok(stream::iter([Ok(rows.into_iter().map(item).collect())]).boxed())
    }

    fn reads_rows(&self, _: &Definition) -> bool {
        true
    }

    async fn names(&self, _: &str, _: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        Ok(Vec::new())
    }
}

async fn node(url: &str, origin: &Arc<SlowOrigin>, refreshes_due: bool) -> Arc<Engine> {
    let mut origins = Origins::default();
    origins.insert("shop", origin.clone());
    let policy = Policy {
        fresh_for: Duration::from_secs(3600),
        keep_for: Duration::from_secs(7200),
        ..Policy::default()
    };
    Engine::start(EngineParts {
        cdns: Vec::new(),
        store: shop::store(url).await,
        origins,
        definitions: definitions(vec![definition(policy)]),
        l1: shop::l1(),
        limits: EngineLimits {
            fill_wait: Duration::from_secs(20),
            ..EngineLimits::default()
        },
        metrics: Arc::new(Metrics::new()),
        refreshes_due,
    })
}

fn expected(origin: &SlowOrigin) -> Vec<String> {
    let mut rows = origin.rows.lock().clone();
    rows.sort_by_key(|(id, price)| (*price, *id));
    let texts = rows
        .into_iter()
        .map(|row| String::from_utf8(item(row).item.json.to_vec()).unwrap());
    texts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_began_before_a_change_never_brings_the_old_state_back() {
    let redis = RedisServer::start();
    let origin = Arc::new(SlowOrigin {
        rows: Mutex::new((0..200).map(|id| (id, 1000 + id)).collect()),
        begun: AtomicU64::new(0),
        gate: Semaphore::new(0),
        is_slow: Mutex::new(false),
    });
    // One refreshes, the other works changes off.
    let (reader, worker) = (
        node(&redis.url(), &origin, false).await,
        node(&redis.url(), &origin, true).await,
    );
    shop::fill(&reader, &bread()).await.unwrap();
    let shown = async || texts(&shop::page(&reader, &bread(), &place(0, 1000)).await.unwrap());
    assert_eq!(shown().await, expected(&origin));
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..60_u64 {
        *origin.is_slow.lock() = true;
        let refresh = {
            let reader = reader.clone();
            tokio::spawn(async move { shop::fill(&reader, &bread()).await })
        };
        eventually(async || match origin.begun.load(Ordering::SeqCst) {
            begun if begun == round + 1 => Ok(()),
            begun => Err(begun),
        })
        .await;
        // The read has seen its rows. What changes now it does not know.
        let mut changes = Vec::new();
        for _ in 0..random.usize(1..4) {
            let mut rows = origin.rows.lock();
            let at = random.usize(..rows.len());
            match random.u8(..4) {
                0 => {
                    let (id, _) = rows.swap_remove(at);
                    changes.push(Change::of_item(ItemId::from_integer(id)));
                }
                1 => {
                    let id = 1000 + i64::try_from(round).unwrap() * 10 + random.i64(..9);
                    if rows.iter().all(|(other, _)| *other != id) {
                        rows.push((id, random.i64(900..1300)));
                    }
                    // Nothing tells which listings it enters but the read itself.
                    let mut change = Change::of_item(ItemId::from_integer(id));
                    change.names = Box::new([bread()]);
                    changes.push(change);
                }
                _ => {
                    rows[at].1 = random.i64(900..1300);
                    changes.push(Change::of_item(ItemId::from_integer(rows[at].0)));
                }
            }
        }
        let token = worker.changes.record(&changes, ChangeSource::Api).await.unwrap();
        if random.bool() {
            tokio::task::yield_now().await;
        }
        origin.gate.add_permits(1);
        refresh.await.unwrap().unwrap();
        // From its publish on, before the changes are worked off by themselves.
        assert_eq!(shown().await, expected(&origin), "round {round}");
        let outcome = worker
            .changes
            .outcome_within(token, Duration::from_secs(20))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(outcome.left, 0, "{outcome:?}");
        all_the_while(Duration::from_millis(30), async || {
            assert_eq!(shown().await, expected(&origin), "round {round}");
        })
        .await;
    }
}
