//! Databases that tell of changes: rows that a shop writes are recorded as changes.
//!
//! An outbox and a changelog are two kinds of one source. One node at a time reads a source, under a lease. A row is done only after its change
//! is in Redis: where the node dies in between, the row is read again, and a change that is recorded twice does no harm.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    changelogs::ChangelogReading,
    outboxes::OutboxReading,
    recording::Changes,
    surveys::Surveys,
    troubles::{FeedError, FeedTroubles},
};
use crate::{
    engine::{error::Chain, refreshing::means::Means},
    origin::ChangeFeed,
    store::Lease,
};

/// Between two attempts to take the role of reading a source.
const TAKE_PERIOD: Duration = Duration::from_secs(1);
/// After a failure, and at most.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Sources that are read here, by origin. Dropping one ends the reading.
type Followed = HashMap<Box<str>, (ChangeFeed, DropGuard)>;

/// Reads the sources of all origins.
#[derive(Clone)]
pub(crate) struct ChangeFeeds {
    pub means: Arc<Means>,
    pub surveys: Arc<Surveys>,
    pub troubles: Arc<FeedTroubles>,
    pub tasks: TaskTracker,
}

/// One source under a lease.
enum Reading<'f> {
    Outbox(OutboxReading<'f>),
    Changelog(ChangelogReading<'f>),
}

impl<'f> Reading<'f> {
    fn of(origin: &'f str, feed: &'f ChangeFeed) -> Self {
        match feed {
            ChangeFeed::Outbox(outbox) => Self::Outbox(OutboxReading::new(outbox)),
            ChangeFeed::Changelog(changelog) => Self::Changelog(ChangelogReading::new(origin, changelog)),
        }
    }

    /// Records the changes of the next rows. Returns whether there are probably more.
    async fn work_off(&mut self, changes: &Changes) -> Result<bool, FeedError> {
        match self {
            Self::Outbox(outbox) => outbox.work_off(changes).await,
            Self::Changelog(changelog) => changelog.work_off(changes).await,
        }
    }

    /// Returns when there may be rows before it is time to look. Else it never returns.
    async fn notified(&mut self) {
        match self {
            Self::Outbox(outbox) => outbox.notified().await,
            Self::Changelog(_) => std::future::pending().await,
        }
    }
}

impl ChangeFeeds {
    /// Runs until the engine stops. Follows the configuration.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let mut replaced = self.means.declaration.replacements();
        let mut followed = Followed::default();
        loop {
            let origins = self.means.declaration.origins();
            let mut now = Followed::default();
            for (name, feed) in origins.change_feeds() {
                let kept = followed.remove(name).filter(|(before, _)| before.is(feed));
                let kept = kept.unwrap_or_else(|| (feed.clone(), self.follow(name, feed, &stopping)));
                now.insert(name.into(), kept);
            }
            followed = now;
            tokio::select! {
                Ok(()) = replaced.changed() => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    fn follow(&self, origin: &str, feed: &ChangeFeed, stopping: &CancellationToken) -> DropGuard {
        let listening = stopping.child_token();
        let (stopped, this) = (listening.clone(), self.clone());
        let (origin, feed): (Box<str>, _) = (origin.into(), feed.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = this.read_under_leases(&origin, &feed) => {}
                () = stopped.cancelled() => {}
            }
            this.troubles.forget(&origin);
        });
        listening.drop_guard()
    }

    async fn read_under_leases(&self, origin: &str, feed: &ChangeFeed) {
        let kind = feed.kind();
        let role = format!("{kind}:{origin}");
        loop {
            match self.means.store.draws.role(&role).await {
                Ok(Some(lease)) => self.read(origin, feed, &lease).await,
                Ok(None) => {}
                Err(error) => tracing::debug!(origin, error = %Chain(&error), "the {kind} is not read now"),
            }
            tokio::time::sleep(TAKE_PERIOD).await;
        }
    }

    /// Reads until the lease is lost.
    async fn read(&self, origin: &str, feed: &ChangeFeed, lease: &Lease) {
        let changes = Changes {
            means: self.means.clone(),
            surveys: self.surveys.clone(),
            troubles: self.troubles.clone(),
        };
        let (mut reading, mut failures) = (Reading::of(origin, feed), 0_u32);
        while !lease.is_lost() {
            let wait = match reading.work_off(&changes).await {
                Ok(more) => {
                    self.troubles.end(origin);
                    failures = 0;
                    match more {
                        true => Duration::ZERO,
                        false => feed.every(),
                    }
                }
                Err(error) => {
                    if self.troubles.note(origin) {
                        tracing::warn!(
                            origin,
                            error = %Chain(&error),
                            "the {} is not worked off: changes that it holds are not seen; pages go on",
                            feed.kind()
                        );
                    }
                    failures = failures.saturating_add(1);
                    BACK_OFF.saturating_mul(1 << failures.min(8)).min(BACK_OFF_MAX)
                }
            };
            let longest = self.troubles.all().into_iter().map(|(_, lasts)| lasts).max();
            self.means
                .metrics
                .outbox_lag_seconds
                .set(longest.unwrap_or_default().as_secs_f64());
            if wait.is_zero() {
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = reading.notified(), if failures == 0 => {}
            }
        }
    }
}
