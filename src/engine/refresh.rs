//! Refreshing a family: draw, read, write, publish; and what a failure leads to.
//!
//! Across processes a lease decides who reads the origin, and the head's id fences whoever lost it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    build::{Build, BuildError, streams_in_order},
    error::{Chain, EngineError},
    runs::{BACK_OFF_MIN, Outcome, RefreshFailure, Refreshed, Refresher, Request, Wants},
    unchanged::Confirming,
};
use crate::{
    listing::{Family, Freshness, Head, HeadState, definition::StreamOrder},
    origin::OriginError,
    store::{Drawn, FinishedGeneration, Grant, Published},
    telemetry::{ByOutcome, RefreshOutcome},
};

/// Between two looks at a lease that another node holds.
const LEASE_POLL: Duration = Duration::from_millis(50);
/// A due family that only a newer definition may refresh is left to other nodes for so long.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(1);

/// What a run did under its lease.
enum Done {
    /// New generations are current.
    Published(Arc<[Refreshed]>),
    /// The origin has what is kept.
    Unchanged(Arc<[Refreshed]>),
    /// Nothing: it was fresh already, or is another's to refresh.
    Nothing,
}

impl Refresher {
    pub(super) async fn run(self: Arc<Self>, mut request: Request) -> Outcome {
        let streams = request.defined.clone();
        let streams = streams_in_order(&streams, request.first.as_ref());
        let mut drawn_after = None;
        loop {
            // Taken anew each time round: whoever waits for another node's lease keeps no place.
            let place = self.place(&request).await;
            // Somebody has looked at what was refused.
            let insist = request.wants == Wants::Anew || request.accepts_any;
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
            Ok(Done::Published(refreshed)) => {
                self.forget_failure(&request.family);
                self.metrics.refresh_seconds.observe(duration.as_secs_f64());
                log("listing refreshed", request, &refreshed, duration);
                (Ok(refreshed), RefreshOutcome::Published)
            }
            Ok(Done::Unchanged(refreshed)) => {
                self.forget_failure(&request.family);
                log("listing unchanged", request, &refreshed, duration);
                (Ok(refreshed), RefreshOutcome::Unchanged)
            }
            Ok(Done::Nothing) => return Ok(self.current(request, streams).await),
            Err(error) => {
                let label = match &error {
                    error if error.is_refusal() => RefreshOutcome::Refused,
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

    /// Reads, writes and publishes, or finds that nothing has changed.
    async fn refresh(&self, request: &Request, streams: &[StreamOrder<'_>], grant: &Grant) -> Result<Done, BuildError> {
        let definition = &request.defined.definition;
        let origin = self
            .origins
            .get(&definition.origin)
            .ok_or_else(|| OriginError::Misdeclared("its origin is not configured".to_owned()))?;
        let kept = self.kept(request, streams).await?;
        if kept
            .iter()
            .any(|kept| kept.head().is_some_and(|head| definition.is_outdated(head)))
        {
            return self.leave(request).await;
        }
        let (kept, streams) = request.left(kept, streams);
        let Some(first) = kept.first() else {
            return Ok(Done::Nothing);
        };
        let is_frozen = || self.frozen.until(&request.family.name, grant.as_of).is_some();
        if request.wants != Wants::Anew && first.head().is_some() && is_frozen() {
            return Ok(Done::Nothing);
        }
        let recognised = first.recognised();
        let satisfied = |head: &Head| match request.wants {
            Wants::Fresh => matches!(
                definition.policy.freshness(head.as_of, grant.as_of),
                Freshness::Fresh(_)
            ),
            Wants::Later(claimed_at) => head.as_of >= claimed_at,
            // What is so is left out already.
            Wants::Since(_) | Wants::Anew => false,
        };
        if recognised.is_some_and(satisfied) {
            return Ok(Done::Nothing);
        }
        let next_due = definition.policy.next_due(first.head().is_none(), fastrand::f64());
        let version = origin.version(&request.defined, &request.family.choices).await?;
        let version = version.map(|version| xxh3_64(version.as_bytes()));
        let confirming = Confirming {
            request,
            grant,
            version,
            next_due,
        };
        if let Some(unchanged) = self.same_version(&confirming, &kept).await? {
            return Ok(Done::Unchanged(unchanged));
        }
        let contents: Vec<_> = kept.iter().map(|kept| confirming.content(kept)).collect();
        let build = Build {
            store: &self.store,
            origin: &*origin,
            metrics: &self.metrics,
            latencies: &self.latencies,
            defined: &request.defined,
            family: &request.family,
            grant,
            streams: &streams,
            before: recognised.map(|head| head.total),
            accepts_any: request.accepts_any,
            version,
            recognised: &contents,
        };
        let in_memory = match build.in_memory() {
            true => build.all_from_one_read().await?,
            false => None,
        };
        let mut all = in_memory.map(Vec::into_iter);
        let mut changed = false;
        let mut refreshed = Vec::new();
        for (at, kept) in kept.iter().enumerate() {
            let built = match &mut all {
                Some(all) => all.next().ok_or(BuildError::StreamLost)?,
                None => build.one(at).await?,
            };
            refreshed.push(match built {
                Some(finished) => {
                    changed = true;
                    self.publish(request, grant, finished, next_due).await?
                }
                None => self.confirm(&confirming, kept).await?.ok_or(BuildError::StreamLost)?,
            });
        }
        if refreshed.iter().all(|one| request.is_nothing(one.total)) {
            // It may have been due while it had items.
            self.unschedule(&request.family).await;
        }
        Ok(if changed {
            Done::Published(refreshed.into())
        } else {
            Done::Unchanged(refreshed.into())
        })
    }

    /// Leaves a family to the nodes that have the newer definition of it.
    async fn leave(&self, request: &Request) -> Result<Done, BuildError> {
        match request.wants {
            Wants::Anew => Err(BuildError::Outdated),
            Wants::Fresh | Wants::Since(_) => Ok(Done::Nothing),
            Wants::Later(_) => {
                if let Err(error) = self.store.postpone(&request.family, LEFT_TO_OTHERS).await {
                    tracing::debug!(error = %Chain(&error), "the family is due again later than it could be");
                }
                Ok(Done::Nothing)
            }
        }
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

fn log(message: &'static str, request: &Request, refreshed: &[Refreshed], duration: Duration) {
    let first = refreshed.first();
    tracing::info!(
        listing = %request.family,
        generation = %first.map(|first| first.generation.to_string()).unwrap_or_default(),
        streams = refreshed.len(),
        items = first.map_or(0, |first| first.total),
        duration_ms = duration.as_millis() as u64,
        "{message}"
    );
}
