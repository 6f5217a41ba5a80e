//! The schedule: families that are due are claimed in Redis and refreshed here.
//!
//! A claim moves the due time ahead by `CLAIM_FOR`; only a publish or a failure sets the next one, so a killed node loses nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{coalesced::Coalesced, far_off::FarOff};
use crate::{
    engine::{
        declared::names::Existence,
        error::Chain,
        refreshing::{means::Means, runs::Refresher},
    },
    listing::{Family, definition::Resolved},
    store::Claim,
};

/// Between two looks at what is due.
const PERIOD: Duration = Duration::from_millis(500);
/// Between two looks at what is due too late.
const FAR_OFF_PERIOD: Duration = Duration::from_secs(2);
/// A claimed family that nobody refreshed is due again after this.
const CLAIM_FOR: Duration = Duration::from_secs(30);
/// A frozen family is due again after this at the latest: it may be thawed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// With so many refreshes running or waiting here, no more are claimed.
const RUNNING_MAX: usize = 128;
/// How many families are claimed of each partition at a time.
const CLAIMS_A_PARTITION: usize = 2;

/// Refreshes what is due.
pub(crate) struct Schedule {
    pub means: Arc<Means>,
    pub refresher: Arc<Refresher>,
    pub coalesced: Arc<Coalesced>,
}

impl Schedule {
    /// Runs until the engine stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        // Nodes started together do not look together.
        let mut wait = PERIOD.mul_f64(fastrand::f64());
        let (mut far_off, mut look_at) = (FarOff::new(), Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => return,
            }
            let began = Instant::now();
            if began >= look_at {
                far_off.bring_forward(&self.means.store, &self.means.declaration).await;
                look_at = began + FAR_OFF_PERIOD;
            }
            self.refresh_due(&stopping).await;
            wait = PERIOD.saturating_sub(began.elapsed());
        }
    }

    async fn refresh_due(&self, stopping: &CancellationToken) {
        // Claimed families must be begun well within the claim; the rest stays due, for other nodes perhaps.
        if self.refresher.running() >= RUNNING_MAX || !self.means.store.is_up() {
            return;
        }
        let claims = match self.means.store.due.claim(CLAIMS_A_PARTITION, CLAIM_FOR).await {
            Ok(claims) => claims,
            Err(error) => return tracing::debug!(error = %Chain(&error), "due families could not be claimed"),
        };
        // Spread over the period: origins are not asked in bursts.
        let pause = PERIOD / u32::try_from(claims.len() + 1).unwrap_or(u32::MAX);
        for claim in claims {
            if stopping.is_cancelled() {
                self.hand_back(&claim.family).await;
                continue;
            }
            self.refresh_one_due(&claim).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopping.cancelled() => {}
            }
        }
    }

    /// A claimed family that is not refreshed here is due at once, for other nodes.
    async fn hand_back(&self, family: &Family) {
        if let Err(error) = self.means.store.due.postpone(family, Duration::ZERO).await {
            tracing::debug!(error = %Chain(&error), "a claimed family is due again when its claim ends");
        }
    }

    async fn refresh_one_due(&self, claim: &Claim) {
        let family = &claim.family;
        let Resolved::Defined(defined) = self.means.declaration.resolve(&family.name) else {
            self.stop_refreshing(family, "no definition fills it").await;
            return;
        };
        if !defined.definition.declares(&family.choices) {
            self.stop_refreshing(family, "its variant or filter is no longer declared")
                .await;
            return;
        }
        if let Some(until) = self.means.frozen.until(&family.name, self.means.store.now()) {
            let left = until.since(self.means.store.now());
            if let Err(error) = self.means.store.due.postpone(family, left.min(LOOK_AGAIN_AFTER)).await {
                tracing::debug!(error = %Chain(&error), "a frozen family is due again when its claim ends");
            }
            return;
        }
        let policy = &defined.definition.policy;
        if !policy.keep_warm
            && self.is_idle(family, policy.idle_stop).await
            && !self.coalesced.is_asked_for(&defined, family).await
        {
            self.stop_refreshing(family, "nobody reads it").await;
            return;
        }
        let declared = self.means.declaration.take();
        if declared.names.existence(&defined, &family.name).await == Existence::Outside {
            self.stop_refreshing(family, "its name is no longer enumerated").await;
            return;
        }
        if let Some(stream) = defined.definition.streams().next() {
            let key = family.listing(stream.stored());
            // Spawned; how it ends is logged and recorded there.
            drop(self.refresher.trigger_due(&defined, &key, claim));
        }
    }

    /// Whether nobody has read the family for so long. The time of one that was never read, as after warming up, begins when
    /// that is noticed.
    async fn is_idle(&self, family: &Family, idle_stop: Duration) -> bool {
        let idle = match self.means.store.reads.last(family).await {
            Ok(Some(last_read)) => Ok(self.means.store.now().since(last_read) >= idle_stop),
            Ok(None) => self.means.store.reads.begin_idleness(family).await.map(|()| false),
            Err(error) => Err(error),
        };
        idle.unwrap_or_else(|error| {
            tracing::debug!(error = %Chain(&error), "the last read is unknown");
            false
        })
    }

    /// It lives on until `keep_for`; the next read that finds it stale makes it due again.
    async fn stop_refreshing(&self, family: &Family, reason: &'static str) {
        tracing::info!(listing = %family, reason, "no longer refreshed");
        if let Err(error) = self.means.store.due.remove(family).await {
            tracing::debug!(error = %Chain(&error), "the family stays due");
        }
    }
}
