//! Coalescing: concurrent loads of one key become one.
//!
//! A load belongs to no request: a client that resets its connection takes its own wait with it, never the load (a cancelled
//! leader would make the next waiter load again). It runs on the engine's runtime; or, where that costs more than the load,
//! in the task of who asked first, and on the engine's runtime from when that one goes away.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::sync::{Mutex, spawn};

/// Loads under way, by key.
pub(crate) struct Coalescer<K, V: Clone> {
    runtime: Handle,
    first_loads: bool,
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

/// The outcome of joining a load.
pub(crate) struct Joined<V> {
    /// The load's result; `None` where it panicked, which is a bug that has been logged by then.
    pub value: Option<V>,
    /// Whether somebody else had begun it.
    pub collapsed: bool,
}

/// A load to the end, with what those who joined it hear of that.
type Load<V> = BoxFuture<'static, Option<V>>;

/// A load in the task of who asked first. Dropped before its end, it goes on elsewhere.
struct Leading<V: 'static> {
    load: Option<Load<V>>,
    elsewhere: Handle,
}

impl<V: 'static> Future for Leading<V> {
    type Output = Option<V>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<V>> {
        let Some(load) = &mut self.load else {
            return Poll::Ready(None);
        };
        let value = ready!(load.as_mut().poll(context));
        self.load = None;
        Poll::Ready(value)
    }
}

impl<V: 'static> Drop for Leading<V> {
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            // Those who have joined it hear of its end.
            spawn(&self.elsewhere, load.map(|_| ()));
        }
    }
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
    pub(crate) fn new(runtime: Handle) -> Self {
        let loads = Loads {
            by_key: HashMap::new(),
            started: 0,
        };
        Self {
            runtime,
            first_loads: false,
            loads: Arc::new(Mutex::new(loads)),
        }
    }

    /// An empty table; a load runs in the task of who asked first, and is handed to `runtime` when that one goes away. It must
    /// need nothing that lives on the runtime of one caller alone, or fail without it.
    pub(crate) fn led_by_the_first(runtime: Handle) -> Self {
        Self {
            first_loads: true,
            ..Self::new(runtime)
        }
    }

    /// Waits for the load of `key` that is under way, or begins one.
    ///
    /// # Hidden contract
    /// `load` is called under the table's lock: it must only make the future.
    pub(crate) async fn join<F>(&self, key: &K, load: impl FnOnce() -> F) -> Joined<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (under_way, begun) = self.enter(key, load);
        let collapsed = begun.is_none();
        let value = match begun.and_then(|load| self.run(load)) {
            Some(leading) => leading.await,
            None => under_way.end.await.ok(),
        };
        Joined { value, collapsed }
    }

    /// Begins a load unless one is under way, and does not wait for it. Says whether it was begun.
    ///
    /// # Hidden contract
    /// As for [`Coalescer::join`].
    pub(crate) fn begin<F>(&self, key: &K, load: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (_, begun) = self.enter(key, load);
        let Some(load) = begun else {
            return false;
        };
        spawn(&self.runtime, load.map(|_| ()));
        true
    }

    /// As [`Coalescer::join`], but only until the load is overdue: `patience` after it began. `None` then; the load goes
    /// on.
    ///
    /// # Hidden contract
    /// As for [`Coalescer::join`].
    pub(crate) async fn join_within<F>(
        &self,
        key: &K,
        patience: Duration,
        load: impl FnOnce() -> F,
    ) -> Option<Joined<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let (under_way, begun) = self.enter(key, load);
        let collapsed = begun.is_none();
        let overdue = under_way.began + patience;
        let value = match (begun.and_then(|load| self.run(load)), under_way.end.peek()) {
            (Some(leading), _) => timeout_at(overdue, leading).await.ok()?,
            (None, Some(ended)) => ended.clone().ok(),
            (None, None) => timeout_at(overdue, under_way.end).await.ok()?.ok(),
        };
        Some(Joined { value, collapsed })
    }

    /// The load that is under way; where none was, what must be run for the one that now is.
    fn enter<F>(&self, key: &K, load: impl FnOnce() -> F) -> (UnderWay<V>, Option<Load<V>>)
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut loads = self.loads.lock();
        if let Some(under_way) = loads.by_key.get(key) {
            return (under_way.clone(), None);
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
        let run = async move {
            let value = AssertUnwindSafe(load).catch_unwind().await.ok();
            // Later callers begin a new load: the value is as old as the load's beginning.
            drop(leave);
            if let Some(value) = value.clone() {
                // The waiting side may have left.
                let _ = sender.send(value);
            }
            value
        };
        (begun, Some(run.boxed()))
    }

    /// Runs a load where this table's loads run: a returned future must be polled; without one the load runs by itself.
    fn run(&self, load: Load<V>) -> Option<Leading<V>> {
        if self.first_loads {
            return Some(Leading {
                load: Some(load),
                elsewhere: self.runtime.clone(),
            });
        }
        spawn(&self.runtime, load.map(|_| ()));
        None
    }

    /// Whether a load of `key` is under way.
    pub(crate) fn is_under_way(&self, key: &K) -> bool {
        self.loads.lock().by_key.contains_key(key)
    }

    /// Later callers do not join the load under way; earlier ones still get its result.
    pub(crate) fn detach(&self, key: &K) {
        self.loads.lock().by_key.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// However loads are run.
    fn both<K: Hash + Eq + Clone + Send + 'static, V: Clone + Send + Sync + 'static>() -> [Arc<Coalescer<K, V>>; 2] {
        [Coalescer::new, Coalescer::led_by_the_first].map(|make| Arc::new(make(Handle::current())))
    }

    #[tokio::test]
    async fn concurrent_loads_become_one_even_when_the_first_caller_leaves() {
        for coalescer in both() {
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
    }

    #[tokio::test]
    async fn whoever_asks_after_a_detach_loads_anew() {
        for coalescer in both() {
            let go = Arc::new(Notify::new());
            let slow = {
                let go = go.clone();
                move || async move {
                    go.notified().await;
                    1
                }
            };
            let mut first = Box::pin(coalescer.join(&"key", slow));
            assert!(first.as_mut().now_or_never().is_none());
            coalescer.detach(&"key");
            assert_eq!(coalescer.join(&"key", || async { 2 }).await.value, Some(2));
            go.notify_one();
            assert_eq!(first.await.value, Some(1));
        }
    }

    #[tokio::test]
    async fn an_overdue_load_is_waited_for_by_nobody_and_goes_on() {
        const PATIENCE: Duration = Duration::from_millis(20);
        for coalescer in both() {
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

    #[tokio::test]
    async fn a_load_that_panics_ends_for_all_who_wait() {
        for coalescer in both::<_, u32>() {
            let go = Arc::new(Notify::new());
            let panics = || {
                let go = go.clone();
                async move {
                    go.notified().await;
                    panic!("meant to");
                }
            };
            let mut first = Box::pin(coalescer.join(&"key", panics));
            assert!(first.as_mut().now_or_never().is_none());
            let mut second = Box::pin(coalescer.join(&"key", || async { 1 }));
            assert!(second.as_mut().now_or_never().is_none());
            go.notify_one();
            let (first, second) = tokio::join!(first, second);
            assert_eq!((first.value, second.value), (None, None));
            assert_eq!(coalescer.join(&"key", || async { 2 }).await.value, Some(2));
        }
    }
}
