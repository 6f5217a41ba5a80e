//! The fence and the coalescer under many orders of what their callers do. [Shuttle](https://docs.rs/shuttle) makes the orders,
//! from a seed; one that fails is printed, to be replayed.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use shuttle::{future::block_on, thread};

use super::{head_cache::HeadCache, head_table::Lookup};
use crate::{
    config::L1Config,
    engine::loads::{coalesce::Coalescer, sync::Mutex},
    listing::{Generation, Head, HeadState, ListingKey, Timestamp},
};

const ORDERS: usize = 3_000;
const SEED: u64 = 1;

fn in_many_orders(what_happens: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random_with_seed(what_happens, SEED, ORDERS);
}

fn key() -> ListingKey {
    ListingKey::parse("promo:a/default").unwrap()
}

/// A head with an id, of a history of Redis.
fn head(id: u64, history: u32) -> HeadState {
    HeadState::Live(Head {
        generation: Generation { id, nonce: history },
        total: 1,
        chunk_len: NonZeroU32::MIN,
        as_of: Timestamp(id),
        definition: 0,
        definition_version: 0,
        pins_from: 0,
        delta: None,
        codec: crate::listing::Codec::Plain,
        next_change: None,
    })
}

/// A cache that knows a first head, and what Redis has.
struct Node {
    cache: HeadCache,
    redis: Mutex<(u64, u32)>,
}

impl Node {
    fn new() -> Arc<Self> {
        let config = L1Config {
            filters_bytes_max: 1 << 20,
            ttl: Duration::from_secs(3600),
            chunks_bytes_max: 0,
            heads_max: 100,
            absent_max: 100,
            shapes_max: 100,
            read_ahead: false,
        };
        let node = Self {
            cache: HeadCache::new(&config),
            redis: Mutex::new((1, 1)),
        };
        node.fill();
        Arc::new(node)
    }

    fn fill(&self) {
        let load = self.cache.begin_load(&key());
        let (id, history) = *self.redis.lock();
        load.finish(head(id, history));
    }

    fn served(&self) -> Option<Generation> {
        match self.cache.lookup(&key()) {
            Lookup::Usable(state) => state.live().map(|head| head.generation),
            Lookup::Recheck(_) | Lookup::Unknown => None,
        }
    }
}

/// Runs each on a thread of its own, to the end.
fn together(all: Vec<Box<dyn FnOnce() + Send>>) {
    let threads: Vec<_> = all.into_iter().map(|each| thread::spawn(each)).collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn after_an_announcement_is_applied_no_older_head_is_served() {
    in_many_orders(|| {
        let node = Node::new();
        let applied = Arc::new(AtomicU64::new(0));
        let publish = || -> Box<dyn FnOnce() + Send> {
            let (node, applied) = (node.clone(), applied.clone());
            Box::new(move || {
                let (id, history) = {
                    let mut redis = node.redis.lock();
                    redis.0 += 1;
                    *redis
                };
                // Two of them may be heard in any order.
                node.cache.announce(&key(), head(id, history), false);
                applied.fetch_max(id, Ordering::SeqCst);
            })
        };
        let read = || -> Box<dyn FnOnce() + Send> {
            let (node, applied) = (node.clone(), applied.clone());
            Box::new(move || {
                for _ in 0..2 {
                    node.fill();
                    let least = applied.load(Ordering::SeqCst);
                    if let Some(served) = node.served() {
                        assert!(served.id >= least, "{served} after {least} was applied");
                    }
                }
            })
        };
        together(vec![publish(), publish(), read(), read()]);
    });
}

#[test]
fn after_an_epoch_has_begun_nothing_of_the_one_before_is_served() {
    in_many_orders(|| {
        let node = Node::new();
        let history = Arc::new(AtomicU64::new(1));
        let rewound: Box<dyn FnOnce() + Send> = {
            let (node, history) = (node.clone(), history.clone());
            Box::new(move || {
                node.cache.announce(&key(), head(9, 1), false);
                *node.redis.lock() = (2, 2);
                node.cache.begin_epoch();
                history.store(2, Ordering::SeqCst);
            })
        };
        let read = || -> Box<dyn FnOnce() + Send> {
            let (node, history) = (node.clone(), history.clone());
            Box::new(move || {
                // An epoch begins in each of the cache's shards: the readers must not be done before.
                for _ in 0..12 {
                    node.fill();
                    let least = history.load(Ordering::SeqCst);
                    if let Some(served) = node.served() {
                        assert!(u64::from(served.nonce) >= least, "{served} is of the time before");
                    }
                }
            })
        };
        together(vec![rewound, read(), read()]);
    });
}

/// Loads of what a writer changes.
struct Loads {
    coalescer: Coalescer<&'static str, u64>,
    value: Mutex<u64>,
    /// Odd while a detach is under way.
    detaches: AtomicU64,
    under_way: Mutex<Vec<u64>>,
    // Only lends its handle: the tasks are Shuttle's.
    _runtime: tokio::runtime::Runtime,
}

impl Loads {
    fn new(make: fn(tokio::runtime::Handle) -> Coalescer<&'static str, u64>) -> Arc<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Arc::new(Self {
            coalescer: make(runtime.handle().clone()),
            value: Mutex::new(0),
            detaches: AtomicU64::new(0),
            under_way: Mutex::default(),
            _runtime: runtime,
        })
    }

    async fn join(self: &Arc<Self>) -> u64 {
        let load = || {
            let loads = self.clone();
            let begun = loads.detaches.load(Ordering::SeqCst);
            async move {
                {
                    let mut under_way = loads.under_way.lock();
                    // Invariant: one load at a time, save where a detach lies between.
                    assert!(begun % 2 == 1 || !under_way.contains(&begun), "two loads at once");
                    under_way.push(begun);
                }
                let value = *loads.value.lock();
                loads.under_way.lock().retain(|other| *other != begun);
                value
            }
        };
        self.coalescer.join(&"key", load).await.value.unwrap()
    }

    fn change(&self) -> u64 {
        let changed = {
            let mut value = self.value.lock();
            *value += 1;
            *value
        };
        self.detaches.fetch_add(1, Ordering::SeqCst);
        self.coalescer.detach(&"key");
        self.detaches.fetch_add(1, Ordering::SeqCst);
        changed
    }
}

#[test]
fn a_load_is_shared_whoever_leaves_and_is_no_older_than_the_last_detach() {
    check_loads(Coalescer::new);
}

#[test]
fn the_same_where_who_asks_first_loads() {
    check_loads(Coalescer::led_by_the_first);
}

fn check_loads(make: fn(tokio::runtime::Handle) -> Coalescer<&'static str, u64>) {
    in_many_orders(move || {
        let loads = Loads::new(make);
        let changed = Arc::new(AtomicU64::new(0));
        let join = || -> Box<dyn FnOnce() + Send> {
            let (loads, changed) = (loads.clone(), changed.clone());
            Box::new(move || {
                for _ in 0..2 {
                    let least = changed.load(Ordering::SeqCst);
                    let value = block_on(loads.join());
                    assert!(value >= least, "{value}, though {least} was there before");
                }
            })
        };
        let leave: Box<dyn FnOnce() + Send> = {
            let loads = loads.clone();
            // Begins a load, and is gone before it ends.
            Box::new(move || {
                let _ = loads.join().now_or_never();
            })
        };
        let write: Box<dyn FnOnce() + Send> = {
            let (loads, changed) = (loads.clone(), changed.clone());
            Box::new(move || {
                for _ in 0..2 {
                    changed.fetch_max(loads.change(), Ordering::SeqCst);
                }
            })
        };
        together(vec![join(), join(), leave, write]);
        // The last loads end, and take themselves out.
        let value = block_on(loads.join());
        assert_eq!(value, 2);
    });
}
