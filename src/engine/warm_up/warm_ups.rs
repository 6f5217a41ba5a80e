//! The way into warm-ups, for commands and for a service that starts.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    attempt::{Attempts, Effort, Step},
    job::WarmUpJob,
    plan::{self, Plan},
    run::{Ended, Run},
    targets::{self, RecordedReads, Target},
    verify::{self, Difference, Verified},
};
use crate::{
    engine::{
        error::EngineError,
        refreshing::{means::Means, runs::Refresher},
    },
    listing::{Generation, ListingKey, WarmScope},
};

/// How many families of recorded reads are asked for; beyond them the order matters little.
const POPULAR_MAX: usize = 100_000;

/// Warms listings up.
pub struct WarmUps {
    pub(crate) means: Arc<Means>,
    pub(crate) refresher: Arc<Refresher>,
}

impl WarmUps {
    /// The reads that the nodes have counted.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`].
    pub async fn recorded_reads(&self) -> Result<RecordedReads, EngineError> {
        Ok(RecordedReads::new(self.means.store.reads.popular(POPULAR_MAX).await?))
    }

    /// The families that a warm-up is for, in the order of the definitions.
    ///
    /// # Errors
    /// [`EngineError::NothingYet`] where an enumeration could not be read.
    pub async fn targets(&self, scope: &WarmScope, reads: &RecordedReads) -> Result<Vec<Target>, EngineError> {
        targets::targets(&self.means.declaration, scope, reads).await
    }

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
        WarmUpJob::begin(&self.means.store, scope, skip_fresh, anew, resumable_for).await
    }

    /// Warms targets in their order. Tells of each of them once, unless it was left. Ends when what was begun has ended.
    pub async fn run(
        &self,
        job: Option<&WarmUpJob>,
        targets: Vec<Target>,
        effort: &Effort,
        stop: &CancellationToken,
        tell: &mut (dyn FnMut(&Target, &Step) + Send),
    ) -> Ended {
        let attempts = Attempts {
            refresher: &self.refresher,
            since: job.map_or_else(|| self.means.store.now(), WarmUpJob::began),
            effort,
        };
        Run::new(attempts, job).run(targets, stop, tell).await
    }

    /// Finds out what a warm-up of these targets will come to. Reads the origins at the warm-up's own concurrency.
    ///
    /// # Errors
    /// [`EngineError::RefreshFailed`] where an origin cannot be read; Redis's own.
    pub async fn plan(&self, targets: &[Target], effort: &Effort) -> Result<Plan, EngineError> {
        plan::plan(&self.means.store, &self.means.declaration.origins(), targets, effort).await
    }

    /// Compares what the heads of a target's listings promise with what their streams hold.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`].
    pub async fn verify(
        &self,
        target: &Target,
        read: impl Fn(&ListingKey) -> Option<(Generation, u64)>,
    ) -> Result<(Verified, Vec<Difference>), EngineError> {
        verify::verify(&self.means.store, target, read).await
    }
}
