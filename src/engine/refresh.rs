//! Refreshing a family: draw, read, write, publish; and what a failure leads to.
//!
//! Across processes a lease decides who reads the origin, and the head's id fences whoever lost it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    build::{Build, BuildError, streams_in_order},
    error::{Chain, EngineError},
    runs::{BACK_OFF_MIN, Outcome, RefreshFailure, Refreshed, Refresher, Request, Wants},
};
use crate::{
    listing::{Family, Freshness, Head, HeadState, definition::StreamOrder},
    origin::OriginError,
    store::{Drawn, FinishedGeneration, Grant, Published, StoreError},
    telemetry::{ByOutcome, RefreshOutcome},
};

/// Between two looks at a lease that another node holds.
const LEASE_POLL: Duration = Duration::from_millis(50);
/// The longest wait after a failure.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

impl Refresher {
    pub(super) async fn run(self: Arc<Self>, mut request: Request) -> Outcome {
        let streams = request.defined.clone();
        let streams = streams_in_order(&streams, request.first.as_ref());
        let mut drawn_after = None;
        loop {
            // Taken anew each time round: whoever waits for another node's lease keeps no place.
            let place = self.place(&request).await;
            let insist = request.wants == Wants::Anew;
            match self.store.draw_with_lease(&request.family, streams.len(), insist).await {
                Ok(Drawn::Granted(grant)) => return self.run_granted(&request, &streams, grant).await,
                Ok(Drawn::BackingOff { left, error }) => {
                    self.remember_failure(&request.family, 0, left);
                    return Err(RefreshFailure {
                        error: EngineError::RefreshFailed(error.into()),
                        retry_after: left,
                    });
                }
                Ok(Drawn::Leased { last_id, left }) => {
                    drop(place);
                    // Another node reads. Whatever is drawn above this mark is as good as drawn by us; for those who
                    // only want it fresh, so is what that node reads now.
                    let mark = *drawn_after.get_or_insert(last_id);
                    if let Wants::Later(_) = request.wants {
                        request.wants = Wants::Fresh;
                    }
                    tokio::time::sleep(left.min(LEASE_POLL)).await;
                    if let Some(refreshed) = self.refreshed_above(&request, &streams, mark).await {
                        return Ok(refreshed);
                    }
                }
                Err(error) => {
                    self.remember_failure(&request.family, 0, BACK_OFF_MIN);
                    return Err(RefreshFailure {
                        error: error.into(),
                        retry_after: BACK_OFF_MIN,
                    });
                }
            }
        }
    }

    async fn run_granted(&self, request: &Request, streams: &[StreamOrder<'_>], mut grant: Grant) -> Outcome {
        let started = Instant::now();
        let result = self.refresh(request, streams, &grant).await;
        if let Some(lease) = grant.lease.take() {
            lease.release().await;
        }
        let duration = started.elapsed();
        let (outcome, label) = match result {
            Ok(Some(refreshed)) => {
                self.forget_failure(&request.family);
                self.metrics.refresh_seconds.observe(duration.as_secs_f64());
                tracing::info!(
                    listing = %request.family,
                    generation = %grant.generations.first().map(ToString::to_string).unwrap_or_default(),
                    streams = refreshed.len(),
                    items = refreshed.first().map_or(0, |first| first.total),
                    duration_ms = duration.as_millis() as u64,
                    "listing refreshed"
                );
                (Ok(refreshed), RefreshOutcome::Published)
            }
            // Somebody else had refreshed it before we held the lease.
            Ok(None) => return Ok(self.current(request, streams).await),
            Err(error) => {
                let label = match &error {
                    BuildError::Shrunk { .. } | BuildError::TooManyItems { .. } => RefreshOutcome::Refused,
                    BuildError::LeaseLost => RefreshOutcome::Fenced,
                    _ => RefreshOutcome::Failed,
                };
                (Err(self.fail(request, &error).await), label)
            }
        };
        self.metrics
            .refreshes
            .get_or_create(&ByOutcome { outcome: label })
            .inc();
        outcome
    }

    /// Reads, writes and publishes; `None` where the family turned out to be fresh already.
    async fn refresh(
        &self,
        request: &Request,
        streams: &[StreamOrder<'_>],
        grant: &Grant,
    ) -> Result<Option<Arc<[Refreshed]>>, BuildError> {
        let policy = &request.defined.definition.policy;
        let origin = self
            .origins
            .get(&request.defined.definition.origin)
            .ok_or_else(|| OriginError::Misdeclared("its origin is not configured".to_owned()))?;
        let Some(first) = streams.first() else {
            return Ok(Some(Arc::new([])));
        };
        let listing = request.family.listing(first.stored());
        let state = match self.store.read_head(&listing).await {
            // A head that nobody can read is as good as none: what is read now replaces it.
            Err(StoreError::Corrupt { .. }) => HeadState::Absent,
            read => read?,
        };
        let same_shape = |head: &&Head| Some(head.definition) == request.defined.definition.hash_of(&first.stored());
        let head = match state.live().filter(same_shape) {
            // Nor does one count whose stream was lost: it is not fresh, and nothing can shrink from it.
            Some(head) if !self.store.is_whole(&listing, head).await? => None,
            head => head,
        };
        let fresh = |head: &Head| matches!(policy.freshness(head.as_of, grant.as_of), Freshness::Fresh(_));
        let satisfied = |head: &Head| match request.wants {
            Wants::Fresh => fresh(head),
            Wants::Later(claimed_at) => head.as_of >= claimed_at,
            Wants::Anew => false,
        };
        if head.is_some_and(satisfied) {
            return Ok(None);
        }
        let build = Build {
            store: &self.store,
            origin: &*origin,
            metrics: &self.metrics,
            defined: &request.defined,
            family: &request.family,
            grant,
            streams,
            before: head.map(|head| head.total),
        };
        let next_due = self.next_due(request, state.live().is_none());
        let mut refreshed = Vec::new();
        if build.in_memory()
            && let Some(finished) = build.all_from_one_read().await?
        {
            for finished in finished {
                refreshed.push(self.publish(request, grant, finished, next_due).await?);
            }
        } else {
            for at in 0..streams.len() {
                let finished = build.one(at).await?;
                refreshed.push(self.publish(request, grant, finished, next_due).await?);
            }
        }
        if refreshed.iter().all(|one| request.is_nothing(one.total)) {
            // It may have been due while it had items.
            self.unschedule(&request.family).await;
        }
        Ok(Some(refreshed.into()))
    }

    async fn unschedule(&self, family: &Family) {
        if let Err(error) = self.store.unschedule(family).await {
            tracing::debug!(error = %Chain(&error), "the family stays due");
        }
    }

    async fn publish(
        &self,
        request: &Request,
        grant: &Grant,
        finished: FinishedGeneration,
        next_due: Duration,
    ) -> Result<Refreshed, BuildError> {
        let policy = &request.defined.definition.policy;
        let (listing, generation, total) = (finished.key().clone(), finished.generation(), finished.total());
        let next_due = (!request.is_nothing(total)).then_some(next_due);
        let published = self
            .store
            .publish(finished, policy, grant.lease.as_ref(), next_due)
            .await?;
        match published {
            Published::Moved { announcement, .. } => {
                // Applied here before anybody is answered: what this node serves next is this or newer.
                self.announcer.apply(&announcement, true);
                Ok(Refreshed {
                    listing,
                    generation,
                    total,
                })
            }
            // A later write, a delete perhaps: what is there is newer than ours, and that is all anybody asked for.
            Published::Older { current } => {
                let superseded = ByOutcome {
                    outcome: RefreshOutcome::Superseded,
                };
                self.metrics.refreshes.get_or_create(&superseded).inc();
                Ok(Refreshed {
                    listing,
                    generation: current,
                    total,
                })
            }
            Published::Fenced => Err(BuildError::LeaseLost),
            Published::Incomplete => Err(BuildError::StreamLost),
        }
    }

    /// Uniform over the period the first time, so that listings loaded together do not stay together; then ±10 %.
    fn next_due(&self, request: &Request, first: bool) -> Duration {
        let part = if first {
            fastrand::f64()
        } else {
            0.9 + 0.2 * fastrand::f64()
        };
        request.defined.definition.policy.fresh_for.mul_f64(part)
    }

    async fn fail(&self, request: &Request, error: &BuildError) -> RefreshFailure {
        if matches!(error, BuildError::LeaseLost) {
            // Another node reads by now, or may: this says nothing of the origin, and must not hold that node up.
            tracing::warn!(listing = %request.family, error = %Chain(error), "refresh given up");
            self.remember_failure(&request.family, 0, BACK_OFF_MIN);
            return RefreshFailure {
                error: error.into(),
                retry_after: BACK_OFF_MIN,
            };
        }
        let before = self.store.failure(&request.family).await.ok().flatten();
        let remembered = self.failures_in_a_row(&request.family);
        let in_a_row = before.map_or(0, |failure| failure.count).max(remembered);
        let retry_after = back_off(in_a_row);
        let text = Chain(error).to_string();
        tracing::warn!(listing = %request.family, error = text, retry_ms = retry_after.as_millis() as u64, "refresh failed");
        self.remember_failure(&request.family, in_a_row + 1, retry_after);
        // What was never filled is tried again when somebody asks for it, and by nobody else.
        let schedule = self.is_kept(request).await;
        let recorded = self.store.record_failure(&request.family, &text, retry_after, schedule);
        if let Err(error) = recorded.await {
            tracing::debug!(error = %Chain(&error), "the failure could not be recorded");
        }
        RefreshFailure {
            error: error.into(),
            retry_after,
        }
    }

    /// Whether any stream of the family has a generation that is served meanwhile.
    async fn is_kept(&self, request: &Request) -> bool {
        for stream in request.defined.definition.streams() {
            let head = self.store.read_head(&request.family.listing(stream.stored())).await;
            if head.is_ok_and(|head| head.live().is_some()) {
                return true;
            }
        }
        false
    }

    /// Whether every stream of the family has a head drawn after the mark, by whomever.
    async fn refreshed_above(
        &self,
        request: &Request,
        streams: &[StreamOrder<'_>],
        mark: u64,
    ) -> Option<Arc<[Refreshed]>> {
        let mut refreshed = Vec::new();
        for stream in streams {
            let listing = request.family.listing(stream.stored());
            match self.store.read_head(&listing).await {
                Ok(HeadState::Live(head)) if head.generation.id > mark => refreshed.push(Refreshed {
                    listing,
                    generation: head.generation,
                    total: head.total,
                }),
                _ => return None,
            }
        }
        Some(refreshed.into())
    }

    async fn current(&self, request: &Request, streams: &[StreamOrder<'_>]) -> Arc<[Refreshed]> {
        self.refreshed_above(request, streams, 0).await.unwrap_or_default()
    }
}

/// The wait after so many failures in a row before this one, ±10 %.
fn back_off(in_a_row: u32) -> Duration {
    let doubled = BACK_OFF_MIN * 2u32.saturating_pow(in_a_row.min(16));
    doubled.min(BACK_OFF_MAX).mul_f64(0.9 + 0.2 * fastrand::f64())
}
