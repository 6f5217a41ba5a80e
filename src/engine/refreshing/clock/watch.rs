//! The watch: instants that have come are claimed in Redis, and followed here.
//!
//! Each node knows the first instant of all and wakes up when it comes; the one whose claim comes first follows it. A claim moves the
//! instant ahead by `CLAIM_FOR`: what is not followed by then, because a node died or the origin is away, is claimed again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{
        error::{Chain, EngineError},
        refreshing::{
            due::coalesced::Coalesced,
            means::Means,
            patching::patch::{Patch, Patched},
            runs::Refresher,
        },
    },
    listing::{
        Family, HeadState, Timestamp,
        definition::{Defined, Resolved},
    },
    store::StoreError,
    telemetry::{ByPatchOutcome, PatchOutcome},
};

/// Between two looks for the first instant.
const PERIOD: Duration = Duration::from_millis(500);
/// An instant that nobody has followed is claimed again after this.
const CLAIM_FOR: Duration = Duration::from_secs(5);
/// A frozen family is looked at again after this at the latest.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Families that are claimed of each partition at a time.
const CLAIMS_A_PARTITION: usize = 1;
/// No more families are claimed while so many are followed: they are left for other nodes.
const FOLLOWED_MAX: usize = 64;
/// Failures are told so often.
const TELL_PERIOD: Duration = Duration::from_secs(60);

/// Follows instants.
pub(crate) struct ClockWatch {
    pub means: Arc<Means>,
    pub refresher: Arc<Refresher>,
    pub coalesced: Arc<Coalesced>,
    pub told: Mutex<Option<Instant>>,
}

impl ClockWatch {
    /// Runs until the engine stops.
    pub(crate) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let mut following: JoinSet<()> = JoinSet::new();
        let mut wait = PERIOD.mul_f64(fastrand::f64());
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => return,
            }
            while following.try_join_next().is_some() {}
            wait = match self.look(&mut following).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "instants could not be looked at");
                    PERIOD
                }
            };
        }
    }

    /// Follows what has come. Returns the time until the next look.
    async fn look(self: &Arc<Self>, following: &mut JoinSet<()>) -> Result<Duration, StoreError> {
        let (store, declared) = (&self.means.store, self.means.declaration.take());
        let mut definitions = declared.definitions.defined.iter();
        if !store.is_up() || definitions.all(|definition| definition.next_change_query.is_none()) {
            return Ok(PERIOD);
        }
        let Some(first) = store.instants().first().await? else {
            return Ok(PERIOD);
        };
        let left = first.since(store.now());
        if !left.is_zero() {
            return Ok(left.min(PERIOD));
        }
        if following.len() >= FOLLOWED_MAX {
            return Ok(PERIOD / 10);
        }
        let families = store.instants().claim(CLAIMS_A_PARTITION, CLAIM_FOR).await?;
        let is_claimed = !families.is_empty();
        for family in families {
            let watch = self.clone();
            following.spawn_on(async move { watch.follow(&family).await }, &self.means.runtime);
        }
        // Where another node has claimed them, or this one's clock is ahead, there is nothing to take for a moment.
        Ok(if is_claimed { Duration::ZERO } else { PERIOD / 50 })
    }

    async fn follow(&self, family: &Family) {
        let outcome = match self.try_to_follow(family).await {
            Ok(None) => return,
            Ok(Some(outcome)) => outcome,
            Err(error) => {
                self.tell(family, &error);
                PatchOutcome::Failed
            }
        };
        let by_outcome = ByPatchOutcome { outcome };
        self.means.metrics.clock_changes.get_or_create(&by_outcome).inc();
    }

    async fn try_to_follow(&self, family: &Family) -> Result<Option<PatchOutcome>, EngineError> {
        let (means, instants) = (&self.means, self.means.store.instants());
        let defined = match means.declaration.resolve(&family.name) {
            Resolved::Defined(defined) if defined.definition.declares(&family.choices) => defined,
            _ => {
                instants.forget(family).await?;
                return Ok(None);
            }
        };
        if let Some(until) = means.frozen.until(&family.name, means.store.now()) {
            let left = until.since(means.store.now());
            instants.postpone(family, left.min(LOOK_AGAIN_AFTER)).await?;
            return Ok(None);
        }
        let now = means.store.now();
        let known = instants.of(family).await?;
        let passed = known.as_ref().map(|known| known.passed(now)).unwrap_or_default();
        let Some(last) = passed.iter().map(|change| change.at).max() else {
            // Lost, or never written: anything may have changed by now.
            return self.read(&defined, family, now, "an instant has come").await;
        };
        if passed.iter().any(|change| change.id.is_none()) {
            return self.read(&defined, family, last, "an instant has come").await;
        }
        let patch = Patch {
            by_clock: true,
            ..Patch::nothing(means.clone(), family.clone())
        };
        match patch.run().await? {
            Patched::Published => Ok(Some(PatchOutcome::Published)),
            Patched::Unchanged => Ok(Some(PatchOutcome::Unchanged)),
            Patched::NotKept => {
                instants.forget(family).await?;
                Ok(None)
            }
            Patched::Left(_) => {
                instants.postpone(family, LOOK_AGAIN_AFTER).await?;
                Ok(None)
            }
            Patched::NeedsRefresh(why) => self.read(&defined, family, last, why).await,
        }
    }

    /// Has the family read in full, unless it was since the instant.
    async fn read(
        &self,
        defined: &Defined,
        family: &Family,
        since: Timestamp,
        why: &str,
    ) -> Result<Option<PatchOutcome>, EngineError> {
        let means = &self.means;
        let Some(stream) = defined.definition.streams().next() else {
            return Ok(None);
        };
        let listing = family.listing(stream.stored());
        if !matches!(means.store.heads.read(&listing).await?, HeadState::Live(_)) {
            // The next request reads it anew.
            means.store.instants().forget(family).await?;
            return Ok(None);
        }
        tracing::debug!(listing = %family, why, "a listing is read in full at an instant");
        let coalesce_for = defined.definition.policy.coalesce_for;
        if !coalesce_for.is_zero() {
            let asked = [(defined.clone(), family.clone())];
            self.coalesced.ask(&asked, coalesce_for).await?;
            return Ok(Some(PatchOutcome::Refreshed));
        }
        let before = Timestamp(since.0.saturating_sub(1));
        let run = self.refresher.trigger_after(defined, &listing, before).await;
        match run.map_err(|_| EngineError::broken_load())? {
            Ok(_) => Ok(Some(PatchOutcome::Refreshed)),
            Err(failure) => Err(failure.error),
        }
    }

    fn tell(&self, family: &Family, error: &EngineError) {
        let now = Instant::now();
        let mut told = self.told.lock();
        if told.is_some_and(|told| told + TELL_PERIOD > now) {
            return tracing::debug!(listing = %family, error = %Chain(error), "an instant waits for the next attempt");
        }
        *told = Some(now);
        tracing::warn!(
            listing = %family,
            error = %Chain(error),
            "an instant of next_change_query has come and cannot be followed; pages are served as they were, and it is tried again every few seconds"
        );
    }
}
