//! Coalescing: concurrent loads of one key become one.
//!
//! The load is spawned on the engine's runtime and belongs to no request: a client that resets its connection takes its
//! own wait with it, never the load (a cancelled leader would make the next waiter load again).

use std::{collections::HashMap, future::Future, hash::Hash, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::Shared};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::sync::{Mutex, spawn};

/// Loads under way, by key.
pub struct Coalescer<K, V: Clone> {
    runtime: Handle,
    loads: Arc<Mutex<Loads<K, V>>>,
}

struct Loads<K, V: Clone> {
    by_key: HashMap<K, UnderWay<V>>,
    started: u64,
}

#[derive(Clone)]
struct UnderWay<V: Clone> {
    number: u64,
    began: Instant,
    end: Shared<oneshot::Receiver<V>>,
}

/// What came of joining a load.
pub struct Joined<V> {
    /// The load's result; `None` where it panicked, which is a bug that has been logged by the runtime.
    pub value: Option<V>,
    /// Whether somebody else had begun it.
    pub collapsed: bool,
}

/// Takes the load out of the table when it ends, however it ends.
struct Leave<K: Hash + Eq, V: Clone> {
    loads: Arc<Mutex<Loads<K, V>>>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq, V: Clone> Drop for Leave<K, V> {
    fn drop(&mut self) {
        let mut loads = self.loads.lock();
        if loads
            .by_key
            .get(&self.key)
            .is_some_and(|load| load.number == self.number)
        {
            loads.by_key.remove(&self.key);
        }
    }
}

impl<K, V> Coalescer<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty table; loads run on `runtime`.
    pub fn new(runtime: Handle) -> Self {
        let loads = Loads {
            by_key: HashMap::new(),
            started: 0,
        };
        Self {
            runtime,
            loads: Arc::new(Mutex::new(loads)),
        }
    }

    /// Waits for the load of `key` that is under way, or begins one.
    ///
    /// # Hidden contract
    /// `load` is called under the table's lock: it must only make the future.
    pub async fn join<F>(&self, key: &K, load: impl FnOnce() -> F) -> Joined<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (load, collapsed) = self.enter(key, load);
        Joined {
            value: load.end.await.ok(),
            collapsed,
        }
    }

    /// Begins a load unless one is under way, and does not wait for it. Says whether it was begun.
    ///
    /// # Hidden contract
    /// As for [`Coalescer::join`].
    pub fn begin<F>(&self, key: &K, load: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (_, is_under_way) = self.enter(key, load);
        !is_under_way
    }

    /// As [`Coalescer::join`], but only until the load is overdue: `patience` after it began, whoever began it. `None` then; the load goes
    /// on.
    ///
    /// # Hidden contract
    /// As for [`Coalescer::join`].
    pub async fn join_within<F>(&self, key: &K, patience: Duration, load: impl FnOnce() -> F) -> Option<Joined<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (load, collapsed) = self.enter(key, load);
        let value = match load.end.peek() {
            Some(ended) => ended.clone().ok(),
            None => timeout_at(load.began + patience, load.end).await.ok()?.ok(),
        };
        Some(Joined { value, collapsed })
    }

    fn enter<F>(&self, key: &K, load: impl FnOnce() -> F) -> (UnderWay<V>, bool)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut loads = self.loads.lock();
        if let Some(under_way) = loads.by_key.get(key) {
            return (under_way.clone(), true);
        }
        let (sender, receiver) = oneshot::channel();
        loads.started += 1;
        let leave = Leave {
            loads: self.loads.clone(),
            key: key.clone(),
            number: loads.started,
        };
        let begun = UnderWay {
            number: loads.started,
            began: Instant::now(),
            end: receiver.shared(),
        };
        loads.by_key.insert(key.clone(), begun.clone());
        let load = load();
        spawn(&self.runtime, async move {
            let value = load.await;
            // Whoever comes from here on begins anew: the value is as old as the load's beginning.
            drop(leave);
            // Nobody may be waiting any more.
            let _ = sender.send(value);
        });
        (begun, false)
    }

    /// How many loads are under way.
    pub fn len(&self) -> usize {
        self.loads.lock().by_key.len()
    }

    /// Whoever asks from here on does not join the load under way; those who wait for it still get its result.
    pub fn detach(&self, key: &K) {
        self.loads.lock().by_key.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn concurrent_loads_become_one_even_when_the_first_caller_leaves() {
        let coalescer = Arc::new(Coalescer::new(Handle::current()));
        let loads = Arc::new(AtomicU32::new(0));
        let go = Arc::new(Notify::new());
        let load = || {
            let (loads, go) = (loads.clone(), go.clone());
            move || async move {
                loads.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
                7
            }
        };
        // The leader begins the load and goes away.
        let leader = coalescer.join(&"key", load());
        assert!(leader.now_or_never().is_none());
        let follower = coalescer.join(&"key", load());
        go.notify_one();
        let joined = follower.await;
        assert_eq!((joined.value, joined.collapsed), (Some(7), true));
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn whoever_asks_after_a_detach_loads_anew() {
        let coalescer = Coalescer::new(Handle::current());
        let go = Arc::new(Notify::new());
        let slow = {
            let go = go.clone();
            move || async move {
                go.notified().await;
                1
            }
        };
        let (first, _) = coalescer.enter(&"key", slow);
        coalescer.detach(&"key");
        assert_eq!(coalescer.join(&"key", || async { 2 }).await.value, Some(2));
        go.notify_one();
        assert_eq!(first.end.await, Ok(1));
    }

    #[tokio::test]
    async fn an_overdue_load_is_waited_for_by_nobody_and_goes_on() {
        const PATIENCE: Duration = Duration::from_millis(20);
        let coalescer = Coalescer::new(Handle::current());
        let go = Arc::new(Notify::new());
        let slow = || {
            let go = go.clone();
            move || async move {
                go.notified().await;
                1
            }
        };
        let began = Instant::now();
        assert!(coalescer.join_within(&"key", PATIENCE, slow()).await.is_none());
        assert!(began.elapsed() >= PATIENCE);
        // It is the load that is overdue, not the wait of each.
        let late = coalescer.join_within(&"key", PATIENCE, slow());
        assert!(matches!(late.now_or_never(), Some(None)));
        let waiting = coalescer.join(&"key", slow());
        go.notify_one();
        let joined = waiting.await;
        assert_eq!((joined.value, joined.collapsed), (Some(1), true));
        let quick = coalescer.join_within(&"key", PATIENCE, || async { 2 }).await;
        assert_eq!(quick.unwrap().value, Some(2));
    }
}
