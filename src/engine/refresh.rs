//! Refreshing a family: draw, read, write, publish; and what a failure leads to.
//!
//! Across processes a lease decides who reads the origin, and the head's id fences whoever lost it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    budget::Budget,
    build::{Build, BuildError, streams_in_order},
    declared::Declared,
    error::{Chain, EngineError},
    runs::{BACK_OFF_MIN, Outcome, RefreshFailure, Refreshed, Refresher, Request, Wants},
    unchanged::Confirming,
};
use crate::{
    listing::{
        Family, Freshness, Head, HeadState,
        definition::{Resolved, StreamOrder},
    },
    origin::OriginError,
    store::{Drawn, DrawnFor, FinishedGeneration, Grant, Published, ReadEnd, StoreError},
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
        // What is declared now counts, not what was when somebody asked.
        let declared = self.declaration.take();
        if let Resolved::Defined(defined) = declared.definitions.resolve(&request.family.name)
            && defined.definition.declares(&request.family.choices)
        {
            request.defined = defined;
        }
        let streams = request.defined.clone();
        let streams = streams_in_order(&streams, request.first.as_ref());
        let Some(budget) = declared.budget(&request.defined.definition.origin).cloned() else {
            let error = BuildError::from(OriginError::Misdeclared("its origin is not configured".to_owned()));
            return Err(self.fail(&request, &error).await);
        };
        let mut drawn_after = None;
        loop {
            // Taken anew each time round: whoever waits for another node's lease keeps no place.
            let place = budget.place(request.wants.is_patient(), &request.hurry).await;
            match self.draw(&request, streams.len()).await {
                Ok(Drawn::Granted(grant)) => {
                    return self.run_granted(&declared, &budget, &request, &streams, grant).await;
                }
                Ok(Drawn::Unasked | Drawn::TooSoon { .. }) => {
                    drop(place);
                    match self.refreshed_above(&request, &streams, 0).await {
                        Some(refreshed) => return Ok(refreshed),
                        // Who has joined may wait for what is not there.
                        None => request.wants = Wants::Fresh,
                    }
                }
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
                    if let Wants::Later(_) | Wants::Due(_) = request.wants {
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

    /// Draws, as what is wanted allows.
    async fn draw(&self, request: &Request, count: usize) -> Result<Drawn, StoreError> {
        let coalesce_for = request.defined.definition.policy.coalesce_for;
        let drawn_for = match request.wants {
            Wants::Asked => DrawnFor::Asked,
            Wants::Later(_) | Wants::Due(_) if !coalesce_for.is_zero() => DrawnFor::Due,
            Wants::Later(_) | Wants::Due(_) | Wants::Since(_) | Wants::Fresh | Wants::Anew => {
                // Somebody has looked at what was refused.
                let insist = request.wants == Wants::Anew || request.accepts_any;
                return self.store.draw_with_lease(&request.family, count, insist).await;
            }
        };
        self.store
            .draw_coalesced(&request.family, count, drawn_for, coalesce_for)
            .await
    }

    async fn run_granted(
        &self,
        declared: &Declared,
        budget: &Budget,
        request: &Request,
        streams: &[StreamOrder<'_>],
        mut grant: Grant,
    ) -> Outcome {
        let started = Instant::now();
        let result = self.refresh(declared, budget, request, streams, &grant).await;
        if result
            .as_ref()
            .is_err_and(|error| !matches!(error, BuildError::LeaseLost))
        {
            self.settle(request, &grant, ReadEnd::Failed).await;
        }
        // Before the lease is released: whoever draws next must find the back-off, or it asks the origin again at once.
        let result = match result {
            Ok(done) => Ok(done),
            Err(error) => Err((self.fail(request, &error).await, error)),
        };
        if let Some(lease) = grant.lease.take() {
            lease.release().await;
        }
        let duration = started.elapsed();
        let (outcome, label) = match result {
            Ok(Done::Published(refreshed)) => {
                self.forget_failure(&request.family);
                self.metrics.refresh_seconds.observe(duration.as_secs_f64());
                log("listing refreshed", request, &grant, &refreshed, duration);
                (Ok(refreshed), RefreshOutcome::Published)
            }
            Ok(Done::Unchanged(refreshed)) => {
                self.forget_failure(&request.family);
                log("listing unchanged", request, &grant, &refreshed, duration);
                (Ok(refreshed), RefreshOutcome::Unchanged)
            }
            Ok(Done::Nothing) => return Ok(self.current(request, streams).await),
            Err((failure, error)) => {
                let label = match &error {
                    error if error.is_refusal() => RefreshOutcome::Refused,
                    BuildError::LeaseLost => RefreshOutcome::Fenced,
                    _ => RefreshOutcome::Failed,
                };
                (Err(failure), label)
            }
        };
        self.metrics
            .refreshes
            .get_or_create(&ByOutcome { outcome: label })
            .inc();
        outcome
    }

    /// Reads, writes and publishes, or finds that nothing has changed.
    async fn refresh(
        &self,
        declared: &Declared,
        budget: &Budget,
        request: &Request,
        streams: &[StreamOrder<'_>],
        grant: &Grant,
    ) -> Result<Done, BuildError> {
        let definition = &request.defined.definition;
        let origin = declared
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
        if !request.wants.is_demanded() && first.head().is_some() && is_frozen() {
            return Ok(Done::Nothing);
        }
        let recognised = first.recognised();
        let is_done_already = match request.wants {
            // Under the lease: nobody else can be about to.
            Wants::Due(claim) => self.store.next_due(&request.family).await? != Some(claim),
            _ => false,
        };
        // Ids are microseconds; in doubt it was read before.
        let is_answer = |head: &Head| grant.asked.is_none_or(|mark| head.as_of.0 > mark / 1000);
        let satisfied = |head: &Head| match request.wants {
            Wants::Fresh => matches!(
                definition.policy.freshness(head.as_of, grant.as_of),
                Freshness::Fresh(_)
            ),
            Wants::Later(after) => head.as_of >= after && is_answer(head),
            Wants::Due(_) => is_done_already && is_answer(head),
            // What is so for a warm-up is left out already.
            Wants::Since(_) | Wants::Asked | Wants::Anew => false,
        };
        if recognised.is_some_and(satisfied) {
            return Ok(Done::Nothing);
        }
        let next_due = definition.policy.next_due(first.head().is_none(), fastrand::f64());
        let is_coalesced = !definition.policy.coalesce_for.is_zero();
        let confirming = Confirming {
            request,
            grant,
            next_due: (!is_coalesced).then_some(next_due),
        };
        let contents: Vec<_> = kept.iter().map(|kept| confirming.content(kept)).collect();
        let build = Build {
            store: &self.store,
            origin: &*origin,
            budget,
            metrics: &self.metrics,
            latencies: &self.latencies,
            defined: &request.defined,
            family: &request.family,
            grant,
            streams: &streams,
            before: recognised.map(|head| head.total),
            accepts_any: request.accepts_any,
            recognised: &contents,
        };
        let known = confirming.version(&kept);
        let mut first = build.begin(known).await?;
        if first.is_none() {
            if let Some(unchanged) = self.confirm_all(&confirming, &kept, known).await? {
                if is_coalesced {
                    self.settle(request, grant, ReadEnd::Current(Some(next_due))).await;
                }
                return Ok(Done::Unchanged(unchanged));
            }
            // What was the same is gone meanwhile.
            first = build.begin(None).await?;
        }
        let mut all = match first.take_if(|_| build.in_memory()) {
            Some(reader) => build.all(reader).await?.map(Vec::into_iter),
            None => None,
        };
        let mut changed = false;
        let mut refreshed = Vec::new();
        for (at, kept) in kept.iter().enumerate() {
            let built = match &mut all {
                Some(all) => all.next().ok_or(BuildError::StreamLost)?,
                None => match first.take() {
                    Some(reader) => build.one(at, reader).await?,
                    None => build.one(at, build.begin_one(at).await?).await?,
                },
            };
            refreshed.push(match built.finished {
                Some(finished) => {
                    changed = true;
                    self.publish(request, grant, finished, confirming.next_due).await?
                }
                None => {
                    let confirmed = self.confirm(&confirming, kept, built.version.as_ref()).await?;
                    confirmed.ok_or(BuildError::StreamLost)?
                }
            });
        }
        let is_nothing = refreshed.iter().all(|one| request.is_nothing(one.total));
        if is_coalesced {
            let next_due = (!is_nothing).then_some(next_due);
            self.settle(request, grant, ReadEnd::Current(next_due)).await;
        } else if is_nothing {
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
            Wants::Later(_) | Wants::Due(_) | Wants::Asked => {
                if let Err(error) = self.store.postpone(&request.family, LEFT_TO_OTHERS).await {
                    tracing::debug!(error = %Chain(&error), "the family is due again later than it could be");
                }
                Ok(Done::Nothing)
            }
        }
    }

    /// Where refreshes are coalesced, the due time is set when all streams are current: one that is asked for meanwhile must
    /// not be forgotten. Where it cannot be set, the family is due when its claim ends.
    async fn settle(&self, request: &Request, grant: &Grant, end: ReadEnd) {
        let coalesce_for = request.defined.definition.policy.coalesce_for;
        if coalesce_for.is_zero() {
            return;
        }
        let settled = self.store.settle(&request.family, grant, coalesce_for, end).await;
        if let Err(error) = settled {
            tracing::debug!(error = %Chain(&error), "what was asked for is asked for still");
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
        next_due: Option<Duration>,
    ) -> Result<Refreshed, BuildError> {
        let policy = &request.defined.definition.policy;
        let (listing, generation, total) = (finished.key().clone(), finished.generation(), finished.total());
        let next_due = next_due.filter(|_| !request.is_nothing(total));
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

fn log(message: &'static str, request: &Request, grant: &Grant, refreshed: &[Refreshed], duration: Duration) {
    let first = refreshed.first();
    tracing::info!(
        listing = %request.family,
        generation = %first.map(|first| first.generation.to_string()).unwrap_or_default(),
        streams = refreshed.len(),
        items = first.map_or(0, |first| first.total),
        as_of = grant.as_of.0,
        duration_ms = duration.as_millis() as u64,
        "{message}"
    );
}
