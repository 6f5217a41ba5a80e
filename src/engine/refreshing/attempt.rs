//! An attempt under a lease: from what is kept to what is published, or confirmed.

use std::{sync::Arc, time::Duration};

use super::{
    belief::Standing,
    build::Build,
    build_error::BuildError,
    clock::asking::Asking,
    means::Means,
    patching::{kept::KeptChanges, rows::RowReader},
    request::{Refreshed, Request, Wants},
    unchanged::{Confirming, KeptStream},
};
use crate::{
    engine::{
        declared::{Declared, budget::Budget},
        error::Chain,
    },
    listing::{Freshness, Head, definition::StreamOrder},
    origin::{Origin, OriginError},
    store::{FinishedGeneration, Grant, NextChangeIs, Publication, Published, ReadEnd},
    telemetry::{ByOutcome, RefreshOutcome},
};

/// A due family that only a newer definition may refresh is left to other nodes for so long.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(1);

/// So often a read follows changes that were recorded while it followed others; then it is published, and read again.
const FOLLOWED_ROUNDS: u32 = 3;
/// So often it follows later generations of earlier reads.
const ROUNDS_MAX: u32 = 16;

/// A family is due again so soon where a node dies between two of its streams: one may show items that the other does not.
const DUE_HALF_WAY: Duration = Duration::from_secs(30);

/// When a family is due next, once one of its streams is current.
pub(crate) fn due_after(next_due: Duration, is_last: bool) -> Duration {
    match is_last {
        true => next_due,
        false => next_due.min(DUE_HALF_WAY),
    }
}

/// The outcome of an attempt.
pub(crate) enum Done {
    /// New generations are current.
    Published(Arc<[Refreshed]>),
    /// The origin has what is kept.
    Unchanged(Arc<[Refreshed]>),
    /// Nothing: it was fresh already, or is another's to refresh.
    Nothing,
    /// The origin has no items of a name that exists by its items alone, and nothing is kept of it.
    NoSuchName,
}

/// One attempt to refresh a family.
pub(crate) struct Attempt<'a> {
    pub means: &'a Means,
    pub declared: &'a Declared,
    pub budget: &'a Budget,
    pub request: &'a Request,
    pub grant: &'a Grant,
}

impl Attempt<'_> {
    /// Reads, writes and publishes these streams, or finds that there is nothing to do.
    pub(crate) async fn make(&self, streams: &[StreamOrder<'_>]) -> Result<Done, BuildError> {
        let done = self.refresh(streams).await;
        if done
            .as_ref()
            .is_err_and(|error| !matches!(error, BuildError::LeaseLost))
        {
            self.settle(ReadEnd::Failed).await;
        }
        done
    }

    async fn refresh(&self, streams: &[StreamOrder<'_>]) -> Result<Done, BuildError> {
        let definition = &self.request.defined.definition;
        let kept = KeptStream::read(&self.means.store, self.request, streams).await?;
        if kept
            .iter()
            .any(|kept| kept.head().is_some_and(|head| definition.is_outdated(head)))
        {
            return self.leave().await;
        }
        let (kept, streams) = KeptStream::left(self.request, kept, streams, self.grant.as_of);
        match kept.first() {
            Some(first) if !self.is_unnecessary(first).await? => self.read(&kept, &streams).await,
            _ => Ok(Done::Nothing),
        }
    }

    /// Whether what is kept is what is wanted.
    async fn is_unnecessary(&self, first: &KeptStream) -> Result<bool, BuildError> {
        let (request, grant) = (self.request, self.grant);
        let is_frozen = || self.means.frozen.until(&request.family.name, grant.as_of).is_some();
        if !request.wants.is_demanded() && first.head().is_some() && is_frozen() {
            return Ok(true);
        }
        let Some(head) = first.recognised() else {
            return Ok(false);
        };
        // Ids are microseconds; in doubt it was read before.
        let is_answer = grant.asked.is_none_or(|mark| head.as_of.0 > mark / 1000);
        Ok(match request.wants {
            Wants::Fresh => self.is_fresh(head),
            Wants::Later(after) => head.is_read_since(after, grant.as_of) && is_answer,
            // Under the lease: nobody else can be about to.
            Wants::Due(claim) => is_answer && self.means.store.due.time_of(&request.family).await? != Some(claim),
            // For a warm-up such streams are left out already.
            Wants::Since(_) | Wants::Asked | Wants::Anew => false,
        })
    }

    fn is_fresh(&self, head: &Head) -> bool {
        let (policy, now) = (&self.request.defined.definition.policy, self.grant.as_of);
        matches!(policy.freshness(head.as_of, now), Freshness::Fresh(_)) && !head.is_overtaken(now)
    }

    /// Reads the origin, unless it says that nothing has changed.
    async fn read(&self, kept: &[KeptStream], streams: &[StreamOrder<'_>]) -> Result<Done, BuildError> {
        let (means, request) = (self.means, self.request);
        let definition = &request.defined.definition;
        let origin = self
            .declared
            .origins
            .get(&definition.origin)
            .ok_or_else(|| OriginError::Misdeclared("its origin is not configured".to_owned()))?;
        let first = kept.first();
        let is_first = first.is_none_or(|first| first.head().is_none());
        let next_due = definition.policy.next_due(is_first, fastrand::f64());
        let asking = Asking {
            means,
            origin: &*origin,
            defined: &request.defined,
            family: &request.family,
        };
        // Before the items: an instant in between is still to come for this answer.
        let answered = asking.ask(self.grant.as_of).await?;
        asking.expect(&answered).await?;
        let mut confirming = Confirming {
            means,
            request,
            grant: self.grant,
            next_due: (!self.is_coalesced()).then_some(next_due),
            is_certain: origin.versions_are_certain(),
            next_change: answered.first(),
        };
        let contents: Vec<_> = kept.iter().map(|kept| confirming.content(kept)).collect();
        let heads: Vec<_> = kept.iter().map(KeptStream::recognised).collect();
        let build = Build {
            means,
            origin: &*origin,
            budget: self.budget,
            request,
            grant: self.grant,
            streams,
            standing: &Standing::new(means, request, kept, self.grant.as_of),
            recognised: &contents,
            kept: &heads,
        };
        let known = confirming.version(kept);
        let mut first = build.begin(known).await?;
        if first.is_none() {
            if let Some(unchanged) = confirming.confirm_all(kept, known).await? {
                asking.write(&answered).await;
                self.settle(ReadEnd::Current(Some(next_due))).await;
                return Ok(Done::Unchanged(unchanged));
            }
            // The unchanged generation is gone meanwhile.
            first = build.begin(None).await?;
        }
        let mut all = match first.take_if(|_| build.in_memory()) {
            Some(reader) => build.all(reader).await?.map(Vec::into_iter),
            None => None,
        };
        let is_kept = kept.iter().any(|kept| kept.head().is_some());
        let mut changes = self.changes(&*origin);
        let mut changed = false;
        let mut refreshed = Vec::new();
        for (at, kept) in kept.iter().enumerate() {
            let is_last = at + 1 == streams.len();
            confirming.next_due = (!self.is_coalesced()).then(|| due_after(next_due, is_last));
            let built = match &mut all {
                Some(all) => all.next().ok_or(BuildError::StreamLost)?,
                None => match first.take() {
                    Some(reader) => build.one(at, reader).await?,
                    None => build.one(at, build.begin_one(at).await?).await?,
                },
            };
            refreshed.push(match built.finished {
                Some(finished) if request.leaves_nothing(finished.total(), is_kept) => {
                    return self.no_such_name().await;
                }
                Some(finished) => {
                    changed = true;
                    let next = (confirming.next_due, answered.next_change());
                    self.publish(finished, &streams[at], &mut changes, next).await?
                }
                None => {
                    let confirmed = confirming.confirm(kept, built.version.as_ref(), true).await?;
                    confirmed.ok_or(BuildError::StreamLost)?
                }
            });
        }
        asking.write(&answered).await;
        let is_nothing = refreshed.iter().all(|one| request.is_nothing(one.total));
        self.settle(ReadEnd::Current((!is_nothing).then_some(next_due))).await;
        if is_nothing && !self.is_coalesced() {
            // It may have been due while it had items.
            self.unschedule().await;
        }
        Ok(if changed {
            Done::Published(refreshed.into())
        } else {
            Done::Unchanged(refreshed.into())
        })
    }

    async fn no_such_name(&self) -> Result<Done, BuildError> {
        if self.is_coalesced() && self.request.wants != Wants::Fresh {
            self.settle(ReadEnd::Current(None)).await;
        } else {
            // It may have been due while it had items.
            self.unschedule().await;
        }
        Ok(Done::NoSuchName)
    }

    /// Leaves a family to the nodes that have the newer definition of it.
    async fn leave(&self) -> Result<Done, BuildError> {
        match self.request.wants {
            Wants::Anew => Err(BuildError::Outdated),
            Wants::Fresh | Wants::Since(_) => Ok(Done::Nothing),
            Wants::Later(_) | Wants::Due(_) | Wants::Asked => {
                let due = &self.means.store.due;
                if let Err(error) = due.postpone(&self.request.family, LEFT_TO_OTHERS).await {
                    tracing::debug!(error = %Chain(&error), "the family is due again later than it could be");
                }
                Ok(Done::Nothing)
            }
        }
    }

    /// Where refreshes are coalesced, the due time is set when all streams are current: one that is asked for meanwhile must
    /// not be forgotten. Where it cannot be set, the family is due when its claim ends.
    async fn settle(&self, end: ReadEnd) {
        if !self.is_coalesced() {
            return;
        }
        let (store, family) = (&self.means.store, &self.request.family);
        let coalesce_for = self.request.defined.definition.policy.coalesce_for;
        if let Err(error) = store.coalesced.settle(family, self.grant, coalesce_for, end).await {
            tracing::debug!(error = %Chain(&error), "a requested refresh stays pending");
        }
    }

    fn is_coalesced(&self) -> bool {
        !self.request.defined.definition.policy.coalesce_for.is_zero()
    }

    async fn unschedule(&self) {
        if let Err(error) = self.means.store.due.remove(&self.request.family).await {
            tracing::debug!(error = %Chain(&error), "the family stays due");
        }
    }

    /// The changes since this read was drawn.
    fn changes<'s>(&'s self, origin: &'s dyn Origin) -> KeptChanges<'s> {
        let Request { defined, family, .. } = self.request;
        let reader = origin.reads_rows(&defined.definition).then_some(RowReader {
            means: self.means,
            origin,
            defined,
            family,
        });
        let drawn = self.grant.generations.first().map_or(0, |first| first.id);
        let lag = self.declared.origins.changes_lag(&defined.definition.origin);
        let shows = drawn.saturating_sub(u64::try_from(lag.as_micros()).unwrap_or(u64::MAX));
        KeptChanges::new(self.means, family, &defined.definition.policy, reader, drawn, shows)
    }

    async fn publish(
        &self,
        finished: FinishedGeneration,
        stream: &StreamOrder<'_>,
        changes: &mut KeptChanges<'_>,
        (next_due, next_change): (Option<Duration>, NextChangeIs),
    ) -> Result<Refreshed, BuildError> {
        let (means, request) = (self.means, self.request);
        let policy = &request.defined.definition.policy;
        let mut finished = changes.follow(finished, stream, false).await?;
        let (mut rounds, mut is_behind) = (0, changes.is_behind());
        let (published, listing, generation, total) = loop {
            let (listing, generation, total) = (finished.key().clone(), finished.generation(), finished.total());
            let publication = Publication {
                lease: self.grant.lease.as_ref(),
                next_due: next_due
                    .filter(|_| !request.is_nothing(total))
                    .map(|next_due| if is_behind { Duration::ZERO } else { next_due }),
                follows: (rounds < FOLLOWED_ROUNDS).then_some(changes.last()),
                next_change,
                ..Publication::plain(policy)
            };
            match means.store.writes.publish_over(finished, publication, |_| true).await? {
                Published::Overtaken(overtaken) if rounds < ROUNDS_MAX => {
                    rounds += 1;
                    finished = changes.follow(*overtaken, stream, true).await?;
                    // In the step that moves the head: else this node could die between the two.
                    is_behind = rounds >= FOLLOWED_ROUNDS || changes.is_behind();
                }
                published => break (published, listing, generation, total),
            }
        };
        if is_behind {
            // Changes came faster than they could be followed, or cannot be: what is published may lack them.
            means.store.due.bring_forward(std::iter::once(&request.family)).await?;
        }
        let generation = match published {
            Published::Moved { announcement, .. } => {
                // Applied here before any caller is answered: from then on this node serves this generation or a newer one.
                means.announcer.apply(&announcement, true);
                generation
            }
            // A later write, a delete perhaps: its generation is newer than ours, and that satisfies every caller.
            Published::Older { current } => {
                let superseded = ByOutcome {
                    outcome: RefreshOutcome::Superseded,
                };
                means.metrics.refreshes.get_or_create(&superseded).inc();
                current
            }
            Published::Fenced => return Err(BuildError::LeaseLost),
            Published::Incomplete | Published::Unwanted | Published::Overtaken(_) => {
                return Err(BuildError::StreamLost);
            }
        };
        Ok(Refreshed {
            listing,
            generation,
            total,
        })
    }
}
