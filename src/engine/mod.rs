//! Decides what is served: pages from L1, Redis or the origin; refreshes; writes; subscriptions.
//!
//! A page: [`selection`] chooses the listing, [`read`] finds head ([`heads`]) and chunks ([`chunks`]) or [`fragments`], [`fills`] waits for what
//! is not there. All go by what is [`declared`]. A refresh: [`runs`] joins those who want it, [`asked`] spreads out what is asked for again and again, a [`budget`] bounds them, [`refresh`] draws, [`attempt`] publishes what [`build`] reads and writes, [`unchanged`] recognises what may stay, [`announcer`] tells everybody here.

mod coherence;
mod declared;
mod error;
mod fetching;
mod l1;
mod limits;
mod loads;
mod operations;
mod reading;
mod refreshing;
pub mod warm_up;

use std::{sync::Arc, time::Duration};

use arc_swap::Guard;
use tokio::{runtime::Handle, sync::Notify};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    coherence::{
        announcer::Announcer, checker::Checker, evictions::Evictions, followers::Subscriptions, hearing::Hearing,
    },
    declared::Declared,
    fetching::{chunks::Chunks, heads::Heads, lost_pushed::LostPushed, pushed_sorts::PushedSorts},
    l1::L1,
    loads::permits::ReadPermits,
    operations::read_counts::ReadCounts,
    reading::{
        fills::Fills, fragments::Fragments, oldest_stale::OldestStale, read_ahead::ReadAhead, without_redis::Direct,
    },
    refreshing::{
        frozen::{Frozen, WatchFreezes},
        keep_warm::KeepWarm,
        runs::Refresher,
        schedule::Schedule,
    },
    warm_up::WarmUps,
};
pub use crate::store::{ReadsNearby, Refused};
use crate::{
    config::L1Config,
    listing::{Definitions, ListingName, Policy, Timestamp, definition::Resolved},
    origin::Origins,
    store::Store,
    telemetry::Metrics,
};

#[cfg(test)]
pub(crate) use self::l1::head_table;
pub use self::{
    coherence::followers::{Event, Follower},
    declared::Declaration,
    error::{Chain, EngineError, ParameterError},
    l1::{
        items::{Form, PackedItems, PackedPiece, PageItems},
        shape::Shape,
    },
    limits::EngineLimits,
    operations::{
        inspect::{Explanation, ListingEntry, ListingState, RedisTrouble},
        rollback::{Rollback, RolledBack},
        writes::{Push, PushOutcome},
    },
    reading::{
        from_l1::Begun,
        page::{Page, PageFreshness, PageMeta, Place, Served, SkipItems, Waited},
        selection::{Asked, DeclaredParameters, Lasts, Selection},
    },
    refreshing::{
        origin_changes::OriginChanges,
        page_state::PageState,
        runs::{RefreshFailure, Refreshed, Shrink},
    },
};

/// Everything the engine stands on.
pub struct EngineParts {
    /// Redis.
    pub store: Store,
    /// The configured origins.
    pub origins: Origins,
    /// The configured listings.
    pub definitions: Definitions,
    /// How large L1 may be, and how long its heads live.
    pub l1: L1Config,
    /// Bounds on work.
    pub limits: EngineLimits,
    /// Where things are counted.
    pub metrics: Arc<Metrics>,
    /// Whether this process refreshes what is due. Commands that only look, or write one listing, do not.
    pub refreshes_due: bool,
}

/// The engine. Shared by all workers in an `Arc`.
pub struct Engine {
    store: Store,
    /// The declaration.
    pub declaration: Arc<Declaration>,
    l1: Arc<L1>,
    permits: ReadPermits,
    heads: Arc<Heads>,
    chunks: Chunks,
    fragments: Fragments,
    read_ahead: ReadAhead,
    pushed_sorts: Arc<PushedSorts>,
    lost_pushed: Arc<LostPushed>,
    subscriptions: Arc<Subscriptions>,
    /// Warms listings up.
    pub warm_ups: WarmUps,
    announcer: Arc<Announcer>,
    refresher: Arc<Refresher>,
    fills: Fills,
    direct: Direct,
    oldest_stale: Arc<OldestStale>,
    frozen: Arc<Frozen>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Engine {
    /// Starts the engine on the current runtime: it hears announcements from here on.
    pub fn start(parts: EngineParts) -> Arc<Self> {
        let EngineParts {
            store,
            origins,
            definitions,
            l1: l1_config,
            limits,
            metrics,
            refreshes_due,
        } = parts;
        let runtime = Handle::current();
        let read_ahead = ReadAhead::new(l1_config.read_ahead, metrics.clone());
        let l1 = Arc::new(L1::new(&l1_config));
        let permits = ReadPermits::new(limits.redis_reads_max, limits.redis_waiters_max);
        let declaration = Declaration::new(definitions, origins, limits.clone(), runtime.clone());
        let declaration = Arc::new(declaration);
        let lost_pushed = Arc::new(LostPushed::new(store.clone(), declaration.clone(), metrics.clone()));
        let heads = Arc::new(Heads::new(
            store.clone(),
            l1.clone(),
            lost_pushed.clone(),
            permits.clone(),
            runtime.clone(),
        ));
        let chunks = Chunks::new(store.clone(), l1.clone(), permits.clone(), runtime.clone());
        let fragments = Fragments::new(l1.clone(), metrics.clone(), runtime.clone());
        let pushed_sorts = Arc::new(PushedSorts::new(
            store.clone(),
            permits.clone(),
            lost_pushed.clone(),
            l1_config.ttl,
        ));
        let subscriptions = Arc::new(Subscriptions::new(limits.followers_max, metrics.clone()));
        let announcer = Arc::new(Announcer::new(
            heads.clone(),
            pushed_sorts.clone(),
            lost_pushed.clone(),
            subscriptions.clone(),
            metrics.clone(),
        ));
        let frozen = Arc::new(Frozen::default());
        let refresher = Arc::new(Refresher::new(
            store.clone(),
            declaration.clone(),
            frozen.clone(),
            announcer.clone(),
            metrics.clone(),
            &limits,
            runtime.clone(),
        ));
        let fills = Fills::new(
            store.clone(),
            permits.clone(),
            refresher.clone(),
            announcer.clone(),
            heads.clone(),
            &l1_config,
            runtime.clone(),
        );
        let warm_ups = WarmUps {
            store: store.clone(),
            declaration: declaration.clone(),
            refresher: refresher.clone(),
            frozen: frozen.clone(),
        };
        let engine = Arc::new(Self {
            warm_ups,
            store,
            declaration,
            l1,
            permits,
            heads,
            chunks,
            fragments,
            read_ahead,
            pushed_sorts,
            lost_pushed,
            subscriptions,
            announcer,
            refresher,
            fills,
            direct: Direct::new(runtime),
            oldest_stale: Arc::default(),
            metrics,
            tasks: TaskTracker::new(),
            frozen,
            stopping: CancellationToken::new(),
        });
        engine.start_loops(refreshes_due);
        engine
    }

    /// Commands that only look, or write one listing, leave refreshes and checks to the services.
    fn start_loops(&self, refreshes_due: bool) {
        let (tasks, stopping) = (&self.tasks, || self.stopping.clone());
        let (store, declaration, metrics) = (&self.store, &self.declaration, &self.metrics);
        // Told when Redis may have lost its memory.
        let forgotten = Arc::new(Notify::new());
        let hearing = Hearing {
            heard: store.announcements(),
            announcer: self.announcer.clone(),
            store: store.clone(),
            forgotten: forgotten.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(hearing.run(stopping()));
        let read_counts = ReadCounts {
            store: store.clone(),
            declaration: declaration.clone(),
            l1: self.l1.clone(),
            announcer: self.announcer.clone(),
            oldest_stale: self.oldest_stale.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(read_counts.run(stopping()));
        let watch_freezes = WatchFreezes {
            store: store.clone(),
            frozen: self.frozen.clone(),
        };
        tasks.spawn(watch_freezes.run(stopping()));
        if !refreshes_due {
            return;
        }
        let checker = Checker {
            store: store.clone(),
            l1: self.l1.clone(),
            permits: self.permits.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(checker.run(stopping()));
        let evictions = Evictions {
            store: store.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(evictions.run(stopping()));
        let schedule = Schedule {
            store: store.clone(),
            declaration: declaration.clone(),
            frozen: self.frozen.clone(),
            refresher: self.refresher.clone(),
        };
        tasks.spawn(schedule.run(stopping()));
        let keep_warm = KeepWarm {
            store: store.clone(),
            declaration: declaration.clone(),
            forgotten,
        };
        tasks.spawn(keep_warm.run(stopping()));
        let origin_changes = OriginChanges {
            store: store.clone(),
            declaration: declaration.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(origin_changes.run(stopping()));
    }

    /// Ends live subscriptions; they would hold up a drain.
    pub fn close_subscriptions(&self) {
        self.subscriptions.close();
    }

    /// Stops background work and waits for it, at most so long. A refresh cut off leaves nothing behind: its lease lapses.
    pub async fn shut_down(&self, within: Duration) {
        self.close_subscriptions();
        self.stopping.cancel();
        self.tasks.close();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!("background work did not end in time");
        }
    }

    /// As long as what is returned lives, pages that are asked for on the runtime this is called on are read from Redis there:
    /// for workers of one thread.
    pub fn read_nearby(&self) -> ReadsNearby {
        self.store.read_nearby()
    }

    /// Where things are counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    pub(crate) fn declared(&self) -> Guard<Arc<Declared>> {
        self.declaration.get()
    }

    pub(crate) fn resolve(&self, name: &ListingName) -> Resolved {
        self.declaration.resolve(name)
    }

    pub(crate) fn fill_wait(&self, policy: &Policy) -> Duration {
        self.declaration.fill_wait(policy)
    }

    pub(crate) fn frozen_until(&self, name: &ListingName) -> Option<Timestamp> {
        self.frozen.until(name, self.store.now())
    }
}
