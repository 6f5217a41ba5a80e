//! A run: draws under a lease, makes its [`Attempt`], and says what it came to.
//!
//! Across processes a lease decides who reads the origin, and the head's id fences a node that lost it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    attempt::{Attempt, Done},
    build::streams_in_order,
    build_error::BuildError,
    failures::BACK_OFF_MIN,
    means::Means,
    page_state::PageState,
    request::{Outcome, RefreshFailure, Refreshed, Request, Wants},
};
use crate::{
    engine::{
        declared::{Declared, budget::Budget},
        error::EngineError,
    },
    listing::{
        HeadState,
        definition::{Resolved, StreamOrder},
    },
    origin::OriginError,
    store::{Drawn, DrawnFor, Grant, StoreError},
    telemetry::{ByOutcome, RefreshOutcome},
};

/// Between two looks at a lease that another node holds.
const LEASE_POLL: Duration = Duration::from_millis(50);

/// One run.
pub(crate) struct Refresh {
    pub means: Arc<Means>,
    pub request: Request,
}

impl Refresh {
    /// Refreshes the family, or finds that another node has done it.
    pub(crate) async fn run(mut self) -> Outcome {
        // The current declaration counts, not that of the time of the request.
        let declared = self.means.declaration.take();
        if let Resolved::Defined(defined) = declared.definitions.resolve(&self.request.family.name)
            && defined.definition.declares(&self.request.family.choices)
        {
            self.request.defined = defined;
        }
        let defined = self.request.defined.clone();
        let streams = streams_in_order(&defined, self.request.first.as_ref());
        let Some(budget) = declared.budget(&defined.definition.origin) else {
            let error = BuildError::from(OriginError::Misdeclared("its origin is not configured".to_owned()));
            return Err(self.means.failures.fail(&self.request, &error).await);
        };
        let mut drawn_after = None;
        let mut insists = false;
        loop {
            // Taken again in each round: a run that waits for another node's lease keeps no place.
            let place = budget.place(self.request.wants.is_patient(), &self.request.hurry).await;
            match self.draw(streams.len(), insists).await {
                Ok(Drawn::Granted(grant)) => {
                    return self.run_granted(&declared, budget, &streams, grant).await;
                }
                Ok(Drawn::Unasked | Drawn::TooSoon { .. }) => {
                    drop(place);
                    match self.refreshed_above(&streams, 0).await {
                        Some(refreshed) => return Ok(refreshed),
                        // Callers that have joined may wait for a listing that is not there.
                        None => self.request.wants = Wants::Fresh,
                    }
                }
                Ok(Drawn::BackingOff { .. }) if !insists && self.is_of_another_definition().await => insists = true,
                Ok(Drawn::BackingOff { left, error }) => {
                    self.remember(left, PageState::OriginError);
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
                    if let Wants::Later(_) | Wants::Due(_) = self.request.wants {
                        self.request.wants = Wants::Fresh;
                    }
                    tokio::time::sleep(left.min(LEASE_POLL)).await;
                    if let Some(refreshed) = self.refreshed_above(&streams, mark).await {
                        return Ok(refreshed);
                    }
                }
                Err(error) => {
                    self.remember(BACK_OFF_MIN, PageState::after(&error));
                    return Err(RefreshFailure {
                        error: error.into(),
                        retry_after: BACK_OFF_MIN,
                    });
                }
            }
        }
    }

    fn remember(&self, retry_after: Duration, shows: PageState) {
        self.means.failures.remember(&self.request, retry_after, shows);
    }

    /// Whether the failure that is recorded is another definition's: it was changed since, or another node has another. This one is
    /// tried then, unless it has failed here itself: else nodes with two definitions would ask the origin in turn without a pause.
    async fn is_of_another_definition(&self) -> bool {
        let (means, family) = (&self.means, &self.request.family);
        let definition = &self.request.defined.definition;
        if means.failures.backing_off(definition, family).is_some() {
            return false;
        }
        let failure = means.store.failures.last(family).await.ok().flatten();
        let recorded = failure.and_then(|failure| failure.definition);
        recorded.is_some_and(|recorded| recorded != definition.hash_of_all())
    }

    /// Draws, as what is wanted allows; `insists`: in spite of a back-off.
    async fn draw(&self, count: usize, insists: bool) -> Result<Drawn, StoreError> {
        let (store, request) = (&self.means.store, &self.request);
        let coalesce_for = request.defined.definition.policy.coalesce_for;
        let drawn_for = match request.wants {
            Wants::Asked if !insists => DrawnFor::Asked,
            Wants::Due(claim) if !coalesce_for.is_zero() && !insists => DrawnFor::Due(Some(claim)),
            Wants::Later(_) if !coalesce_for.is_zero() && !insists => DrawnFor::Due(None),
            _ => {
                // Somebody has looked at what was refused.
                let insist = insists || request.wants == Wants::Anew || request.accepts_any;
                return match coalesce_for.is_zero() {
                    true => store.draws.with_lease(&request.family, count, insist).await,
                    // It tells whether a refresh was asked for, which this one answers.
                    false => store.draws.uncoalesced(&request.family, count, insist).await,
                };
            }
        };
        store
            .draws
            .coalesced(&request.family, count, drawn_for, coalesce_for)
            .await
    }

    async fn run_granted(
        &self,
        declared: &Declared,
        budget: &Budget,
        streams: &[StreamOrder<'_>],
        mut grant: Grant,
    ) -> Outcome {
        let started = Instant::now();
        let Self { means, request } = self;
        let attempt = Attempt {
            means,
            declared,
            budget,
            request,
            grant: &grant,
        };
        let result = attempt.make(streams).await;
        // Before the lease is released: the next draw must find the back-off, or the origin is asked again at once.
        let result = match result {
            Ok(done) => Ok(done),
            Err(error) => Err((means.failures.fail(request, &error).await, error)),
        };
        if let Some(lease) = grant.lease.take() {
            lease.release().await;
        }
        let duration = started.elapsed();
        let (outcome, label) = match result {
            Ok(Done::Published(refreshed)) => {
                means.failures.forget(&request.family);
                means.metrics.refresh_seconds.observe(duration.as_secs_f64());
                log("listing refreshed", request, &grant, &refreshed, duration);
                (Ok(refreshed), RefreshOutcome::Published)
            }
            Ok(Done::Unchanged(refreshed)) => {
                means.failures.forget(&request.family);
                log("listing unchanged", request, &grant, &refreshed, duration);
                (Ok(refreshed), RefreshOutcome::Unchanged)
            }
            Ok(Done::Nothing) => return Ok(self.current(streams).await),
            Ok(Done::NoSuchName) => {
                means.failures.forget(&request.family);
                // Anybody can ask for such names.
                tracing::debug!(listing = %request.family, "the origin has no items of this name");
                let failure = RefreshFailure {
                    error: EngineError::NotFound,
                    retry_after: Duration::ZERO,
                };
                (Err(failure), RefreshOutcome::NoSuchName)
            }
            Err((failure, error)) => {
                let label = match &error {
                    error if error.is_refusal() => RefreshOutcome::Refused,
                    BuildError::LeaseLost => RefreshOutcome::Fenced,
                    _ => RefreshOutcome::Failed,
                };
                (Err(failure), label)
            }
        };
        means
            .metrics
            .refreshes
            .get_or_create(&ByOutcome { outcome: label })
            .inc();
        outcome
    }

    /// Whether every stream of the family has a head drawn after the mark, by whomever.
    async fn refreshed_above(&self, streams: &[StreamOrder<'_>], mark: u64) -> Option<Arc<[Refreshed]>> {
        let mut refreshed = Vec::new();
        for stream in streams {
            let listing = self.request.family.listing(stream.stored());
            match self.means.store.heads.read(&listing).await {
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

    async fn current(&self, streams: &[StreamOrder<'_>]) -> Arc<[Refreshed]> {
        self.refreshed_above(streams, 0).await.unwrap_or_default()
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
