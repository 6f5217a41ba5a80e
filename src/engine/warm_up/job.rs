//! Jobs: several processes may work on one warm-up, and one may take up what another left when it was killed.
//!
//! A job is a time in a record in Redis: when it began, by Redis's clock. All processes that run the same command find the record.
//! A listing that was read from its origin since then is done, on whichever node: its head says so itself, so no list can be wrong.
//! Two processes that come to the same family at once are told apart by its lease, as any refreshes are.

use std::time::Duration;

use super::warm_ups::WarmUps;
use crate::{
    engine::error::{Chain, EngineError},
    listing::{Timestamp, WarmScope},
    store::{Store, WarmUpRecord},
};

/// How long a job that nobody works on can still be taken up, unless its beginner said otherwise.
pub const RESUMABLE_FOR: Duration = Duration::from_secs(3600);
/// Between two renewals of the record.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// A process that renewed the record within this is at work, most likely.
const AT_WORK_WITHIN: Duration = Duration::from_secs(15);

/// A job that this process works on.
pub struct WarmUpJob {
    store: Store,
    id: u64,
    record: WarmUpRecord,
    resumable_for: Duration,
}

/// How this process came to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It begins.
    Begun,
    /// Another process was at work on it a moment ago.
    AtWork,
    /// The last process that worked on it stopped, or was killed, about so long ago.
    BrokenOff(Duration),
}

impl WarmUps {
    /// Joins the job of a scope, or begins it. A job that is broken off can be taken up for `resumable_for`.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`] and its kin.
    pub async fn begin(
        &self,
        scope: &WarmScope,
        skip_fresh: bool,
        anew: bool,
        resumable_for: Duration,
    ) -> Result<WarmUpJob, EngineError> {
        let (store, id) = (self.means.store.clone(), scope.job(skip_fresh));
        let record = store.warm_ups().begin(id, resumable_for, anew).await?;
        Ok(WarmUpJob {
            store,
            id,
            record,
            resumable_for,
        })
    }
}

impl WarmUpJob {
    /// When it began: families that were read since then are done.
    pub fn began(&self) -> Timestamp {
        self.record.began
    }

    /// How this process came to it.
    pub fn joined(&self) -> Joined {
        match self.record.last_seen {
            None => Joined::Begun,
            Some(ago) if ago <= AT_WORK_WITHIN => Joined::AtWork,
            Some(ago) => Joined::BrokenOff(ago),
        }
    }

    /// Says that this process is still at work on it.
    pub(super) async fn renew(&self) {
        let records = self.store.warm_ups();
        let renewed = records.renew(self.id, self.began(), self.resumable_for);
        if let Err(error) = renewed.await {
            tracing::debug!(error = %Chain(&error), "the warm-up's record was not renewed");
        }
    }

    /// This process stops before the job is done. The next one takes it up, and does not find this one at work. Where
    /// others are at work, their next renewal says so again.
    pub async fn leave(&self) {
        let at_work = AT_WORK_WITHIN + Duration::from_millis(1);
        let left = self.resumable_for.saturating_sub(at_work);
        if let Err(error) = self.store.warm_ups().renew(self.id, self.began(), left).await {
            tracing::debug!(error = %Chain(&error), "the warm-up's record was not shortened");
        }
    }

    /// The job is done: the next one of the same scope begins anew.
    pub async fn end(&self) {
        if let Err(error) = self.store.warm_ups().end(self.id, self.began()).await {
            tracing::warn!(error = %Chain(&error), "the warm-up's record stays: for {} s the same command finds it done", self.resumable_for.as_secs());
        }
    }
}
