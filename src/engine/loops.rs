//! The loops of the engine: each is a value with the things that it needs.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    changing::{ChangeFeeds, ChangeWorker, FeedTroubles, Surveys},
    coherence::{checker::Checker, evictions::Evictions, hearing::Hearing, purged::WatchPurges},
    operations::read_counts::ReadCounts,
    reading::freshness::OldestStale,
    refreshing::{
        clock::watch::ClockWatch,
        due::{
            coalesced::Coalesced, keep_warm::KeepWarm, origin_changes::OriginChanges, other_history::OtherHistory,
            schedule::Schedule,
        },
        frozen::WatchFreezes,
        means::Means,
        runs::Refresher,
    },
};
/// The things that the loops need.
pub(super) struct Loops {
    pub(super) means: Arc<Means>,
    pub(super) refresher: Arc<Refresher>,
    pub(super) coalesced: Arc<Coalesced>,
    pub(super) oldest_stale: Arc<OldestStale>,
    pub(super) surveys: Arc<Surveys>,
    pub(super) feed_troubles: Arc<FeedTroubles>,
}

impl Loops {
    /// Commands that only look, or write one listing, leave refreshes and checks to the services.
    pub(super) fn start(&self, tasks: &TaskTracker, stopping: &CancellationToken, refreshes_due: bool) {
        let stopping = || stopping.clone();
        let means = &self.means;
        let (store, declaration, metrics) = (&means.store, &means.declaration, &means.metrics);
        // Told when Redis may have lost its memory.
        let forgotten = [(); 2].map(|()| Arc::new(Notify::new()));
        let hearing = Hearing {
            heard: store.announcements(),
            announcer: means.announcer.clone(),
            store: store.clone(),
            forgotten: forgotten.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(hearing.run(stopping()));
        let read_counts = ReadCounts {
            means: means.clone(),
            oldest_stale: self.oldest_stale.clone(),
        };
        tasks.spawn(read_counts.run(stopping()));
        let watch_freezes = WatchFreezes {
            store: store.clone(),
            frozen: means.frozen.clone(),
        };
        tasks.spawn(watch_freezes.run(stopping()));
        if !refreshes_due {
            return;
        }
        let watch_purges = WatchPurges {
            store: store.clone(),
            purged: means.purged.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(watch_purges.run(stopping()));
        let checker = Checker {
            store: store.clone(),
            l1: means.l1.clone(),
            permits: means.permits.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(checker.run(stopping()));
        let evictions = Evictions {
            store: store.clone(),
            metrics: metrics.clone(),
        };
        tasks.spawn(evictions.run(stopping()));
        let schedule = Schedule {
            means: means.clone(),
            refresher: self.refresher.clone(),
            coalesced: self.coalesced.clone(),
        };
        tasks.spawn(schedule.run(stopping()));
        let watch = ClockWatch {
            means: means.clone(),
            refresher: self.refresher.clone(),
            coalesced: self.coalesced.clone(),
            told: Default::default(),
        };
        tasks.spawn(Arc::new(watch).run(stopping()));
        let worker = ChangeWorker {
            means: means.clone(),
            refresher: self.refresher.clone(),
            coalesced: self.coalesced.clone(),
            surveys: self.surveys.clone(),
        };
        tasks.spawn(Arc::new(worker).run(stopping()));
        let feeds = ChangeFeeds {
            means: means.clone(),
            surveys: self.surveys.clone(),
            troubles: self.feed_troubles.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(feeds.run(stopping()));
        let [forgotten, begun] = forgotten;
        let keep_warm = KeepWarm {
            store: store.clone(),
            declaration: declaration.clone(),
            forgotten,
        };
        tasks.spawn(keep_warm.run(stopping()));
        let other_history = OtherHistory {
            store: store.clone(),
            declaration: declaration.clone(),
            begun,
        };
        tasks.spawn(other_history.run(stopping()));
        let origin_changes = OriginChanges {
            store: store.clone(),
            declaration: declaration.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(origin_changes.run(stopping()));
    }
}
