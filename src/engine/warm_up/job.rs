//! Jobs: a warm-up that several processes may work on, and that another may take up where one was killed.
//!
//! A job is when it began, by Redis's clock, in a record that all who run the same command find. What was read from its
//! origin since is done, whoever did it: heads say so themselves, so there is no list that could be wrong. Two who come to
//! the same family at once are told apart by its lease, as any refreshes are.

use std::time::Duration;

use crate::{
    engine::{Engine, EngineError, error::Chain},
    listing::{Timestamp, WarmScope},
    store::WarmUpRecord,
};

/// How long a job that nobody works on can still be taken up, unless whoever began it said otherwise.
pub const RESUMABLE_FOR: Duration = Duration::from_secs(3600);
/// Between two renewals of the record.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// Whose record was renewed within this is at work, most likely.
const AT_WORK_WITHIN: Duration = Duration::from_secs(15);

/// A job that this process works on.
#[derive(Clone, Copy, Debug)]
pub struct WarmUpJob {
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

impl WarmUpJob {
    /// When it began: what was read since is done.
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
}

impl Engine {
    /// Joins the job of a scope, or begins it. Where it is broken off it can be taken up for so long.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`] and its kin.
    pub async fn begin_warm_up(
        &self,
        scope: &WarmScope,
        skip_fresh: bool,
        anew: bool,
        resumable_for: Duration,
    ) -> Result<WarmUpJob, EngineError> {
        let id = scope.job(skip_fresh);
        let record = self.store.begin_warm_up(id, resumable_for, anew).await?;
        Ok(WarmUpJob {
            id,
            record,
            resumable_for,
        })
    }

    /// Says that somebody is still at work on it.
    pub(super) async fn renew_warm_up(&self, job: &WarmUpJob) {
        if let Err(error) = self.store.renew_warm_up(job.id, job.began(), job.resumable_for).await {
            tracing::debug!(error = %Chain(&error), "the warm-up's record was not renewed");
        }
    }

    /// This process stops before the job is done: the next one takes it up, and does not take this one for still at work. Where
    /// others are at work, their next renewal says so again.
    pub async fn leave_warm_up(&self, job: &WarmUpJob) {
        let left = job
            .resumable_for
            .saturating_sub(AT_WORK_WITHIN + Duration::from_millis(1));
        if let Err(error) = self.store.renew_warm_up(job.id, job.began(), left).await {
            tracing::debug!(error = %Chain(&error), "the warm-up's record was not shortened");
        }
    }

    /// The job is done: the next one of the same scope begins anew.
    pub async fn end_warm_up(&self, job: &WarmUpJob) {
        if let Err(error) = self.store.end_warm_up(job.id, job.began()).await {
            tracing::warn!(error = %Chain(&error), "the warm-up's record stays: the same command within the hour finds it done");
        }
    }
}
