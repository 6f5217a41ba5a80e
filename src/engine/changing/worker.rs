//! The worker: of all nodes one works changes off, under a lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    concerned::Concerned,
    ledger::{Ledger, Subject, Work},
    surveys::Surveys,
};
use crate::{
    engine::{
        error::{Chain, EngineError},
        refreshing::{
            due::coalesced::Coalesced,
            means::Means,
            patching::patch::{Patch, Patched},
            request::{RefreshFailure, Shrink},
            runs::Refresher,
        },
    },
    listing::{ChangeOf, ChangeToken, Family, ItemId, ItemState, definition::Resolved},
    store::{Lease, RecordedChanges},
    telemetry::{ByPatchOutcome, PatchOutcome},
};

/// The role that one node has.
const ROLE: &str = "changes";
/// Between two attempts to take it.
const TAKE_PERIOD: Duration = Duration::from_secs(1);
/// Between two looks for changes of which no message came.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Entries of a partition that are read at once.
const ENTRIES_AT_ONCE: usize = 100;
/// Families that are worked on at once.
const AT_ONCE: usize = 32;

/// Works changes off.
pub(crate) struct ChangeWorker {
    pub means: Arc<Means>,
    pub refresher: Arc<Refresher>,
    pub coalesced: Arc<Coalesced>,
    pub surveys: Arc<Surveys>,
}

/// The end of some work.
struct Ended {
    subject: Subject,
    work: Work,
    outcome: Result<Done, EngineError>,
}

enum Done {
    Worked(PatchOutcome, String),
    /// Families that items belong to by name.
    Found(Vec<(Family, BTreeSet<ItemId>)>),
}

impl ChangeWorker {
    /// Runs until the engine stops.
    pub(crate) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        // Nodes started together do not look together.
        let mut wait = TAKE_PERIOD.mul_f64(fastrand::f64());
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => return,
            }
            wait = TAKE_PERIOD;
            let lease = match self.means.store.draws.role(ROLE).await {
                Ok(Some(lease)) => lease,
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "the role of working changes off could not be taken");
                    continue;
                }
            };
            tracing::debug!("this node works changes off");
            let worked = tokio::select! {
                worked = self.work(&lease) => worked,
                () = stopping.cancelled() => Ok(()),
            };
            self.means.metrics.changes_waiting.set(0);
            if let Err(error) = worked {
                tracing::warn!(error = %Chain(&error), "changes are not worked off; the next attempt is in a second");
            }
            lease.release().await;
            if stopping.is_cancelled() {
                return;
            }
        }
    }

    /// Works until the lease is lost, or Redis fails.
    async fn work(self: &Arc<Self>, lease: &Lease) -> Result<(), EngineError> {
        let means = &self.means;
        let mut ledger = Ledger::new(&means.store.changes.worked_off().await?);
        let mut tasks: JoinSet<Ended> = JoinSet::new();
        let mut look_at = Instant::now();
        loop {
            if lease.is_lost() {
                return Ok(());
            }
            if look_at <= Instant::now() {
                look_at = Instant::now() + LOOK_PERIOD;
                while self.take_in(&mut ledger).await? {}
            }
            while tasks.len() < AT_ONCE
                && let Some((subject, work)) = ledger.begin(Instant::now())
            {
                let worker = self.clone();
                tasks.spawn_on(async move { worker.work_on(subject, work).await }, &means.runtime);
            }
            let advanced = ledger.advanced();
            if !advanced.is_empty() {
                means.store.changes.work_off(&advanced, &[]).await?;
            }
            means
                .metrics
                .changes_waiting
                .set(i64::try_from(ledger.waiting()).unwrap_or(i64::MAX));
            let until = ledger.next().map_or(look_at, |next| next.min(look_at));
            tokio::select! {
                () = means.announcer.moves.recorded() => look_at = Instant::now(),
                Some(ended) = tasks.join_next() => {
                    // A panic is our own bug: the changes are worked off by whoever takes the role next.
                    let ended = ended.map_err(|_| EngineError::broken_load())?;
                    self.end(&mut ledger, ended).await?;
                }
                () = sleep_until(until.into()) => {}
            }
        }
    }

    /// Reads changes, and finds the work on them. Returns whether there may be more.
    async fn take_in(&self, ledger: &mut Ledger) -> Result<bool, EngineError> {
        let means = &self.means;
        let entries = means.store.changes.read(&ledger.read(), ENTRIES_AT_ONCE).await?;
        if entries.is_empty() {
            return Ok(false);
        }
        // The first change pays for the first survey.
        let survey = self.surveys.up_to_date().await?;
        self.end_gone(&entries).await?;
        for entry in &entries {
            ledger.open((entry.partition, entry.id), entry.token, entry.changes.len());
        }
        self.concerned().find_work(ledger, &survey.holdings, &entries);
        drop(survey);
        let settled = entries
            .iter()
            .filter_map(|entry| ledger.settle((entry.partition, entry.id)));
        let settled: Vec<(ChangeToken, u8)> = settled.collect();
        let advanced = ledger.advanced();
        means.store.changes.work_off(&advanced, &settled).await?;
        Ok(true)
    }

    fn concerned(&self) -> Concerned<'_> {
        Concerned(&self.means)
    }

    /// An item that has changed is not gone any more.
    async fn end_gone(&self, entries: &[RecordedChanges]) -> Result<(), EngineError> {
        let mut by_partition: BTreeMap<u8, BTreeMap<&ItemId, bool>> = BTreeMap::new();
        for entry in entries {
            let last = by_partition.entry(entry.partition).or_default();
            for change in entry.changes.iter().filter(|change| change.names.is_empty()) {
                if let ChangeOf::Item(id, state) = &change.of {
                    last.insert(id, *state == ItemState::Changed);
                }
            }
        }
        let back = by_partition.into_iter().map(|(partition, last)| {
            let back = last
                .into_iter()
                .filter(|(_, is_back)| *is_back)
                .map(|(id, _)| id.clone());
            (partition, back.collect::<Vec<_>>())
        });
        let back: Vec<_> = back.filter(|(_, ids)| !ids.is_empty()).collect();
        Ok(self.means.store.changes.end_gone(&back).await?)
    }

    async fn work_on(self: Arc<Self>, subject: Subject, work: Work) -> Ended {
        let outcome = match &subject {
            Subject::Names(pattern) => self
                .concerned()
                .find_names(pattern, &work.changed)
                .await
                .map(Done::Found),
            Subject::Family(family) => self.bring_up_to_date(family, &work).await,
        };
        Ended { subject, work, outcome }
    }

    async fn bring_up_to_date(&self, family: &Family, work: &Work) -> Result<Done, EngineError> {
        if work.whole {
            return self.refresh(family, "all of it has changed").await;
        }
        let patch = Patch {
            means: self.means.clone(),
            family: family.clone(),
            changed: work.changed.clone(),
            gone: work.gone.clone(),
        };
        Ok(match patch.run().await? {
            Patched::Published => Done::Worked(PatchOutcome::Published, "published".to_owned()),
            Patched::Unchanged => Done::Worked(PatchOutcome::Unchanged, "unchanged".to_owned()),
            Patched::NotKept => Done::Worked(PatchOutcome::Unchanged, "not kept".to_owned()),
            Patched::Left(why) => Done::Worked(PatchOutcome::Refreshed, format!("read in full later: {why}")),
            Patched::NeedsRefresh(why) => self.refresh(family, why).await?,
        })
    }

    /// A full read, where a patch cannot be made. Where refreshes are coalesced it is only asked for.
    async fn refresh(&self, family: &Family, why: &str) -> Result<Done, EngineError> {
        let Resolved::Defined(defined) = self.means.declaration.resolve(&family.name) else {
            return Ok(Done::Worked(PatchOutcome::Unchanged, "pushed".to_owned()));
        };
        tracing::info!(listing = %family, why, "a changed listing is read in full");
        let coalesce_for = defined.definition.policy.coalesce_for;
        if !coalesce_for.is_zero() {
            self.coalesced.ask(&[(defined, family.clone())], coalesce_for).await?;
            return Ok(Done::Worked(
                PatchOutcome::Refreshed,
                format!("read in full soon: {why}"),
            ));
        }
        let run = self.refresher.demand(&defined, family, Shrink::Refused).await;
        match run.map_err(|_| EngineError::broken_load())? {
            Ok(_)
            | Err(RefreshFailure {
                error: EngineError::NotFound,
                ..
            }) => Ok(Done::Worked(PatchOutcome::Refreshed, format!("read in full: {why}"))),
            Err(RefreshFailure {
                error: error @ EngineError::RefreshFailed(_),
                ..
            }) => {
                // It is due again after its back-off.
                Ok(Done::Worked(PatchOutcome::Failed, format!("{error}")))
            }
            Err(RefreshFailure { error, .. }) => Err(error),
        }
    }

    async fn end(&self, ledger: &mut Ledger, ended: Ended) -> Result<(), EngineError> {
        let (means, Ended { subject, work, outcome }) = (&self.means, ended);
        let (outcome, said) = match outcome {
            Ok(Done::Worked(outcome, said)) => (outcome, said),
            Ok(Done::Found(families)) => {
                for (family, mut ids) in families {
                    // A family that holds an item was found by that.
                    let held = match self.surveys.as_it_is().await {
                        Some(survey) => survey.holdings.held(&family, &ids),
                        None => BTreeSet::new(),
                    };
                    ids.retain(|id| !held.contains(id));
                    if ids.is_empty() {
                        continue;
                    }
                    let partition = means.store.changes.partition_of(&family.name);
                    let here = work.entries.iter().filter(|(of, _)| *of == partition);
                    let work = Work {
                        changed: ids,
                        entries: here.copied().collect(),
                        ..Work::default()
                    };
                    ledger.add(Subject::Family(family), work);
                }
                let closed = ledger.finish(&subject, &work);
                return Ok(means.store.changes.work_off(&[], &closed.done).await?);
            }
            Err(error) => {
                tracing::debug!(?subject, error = %Chain(&error), "changes wait for the next attempt");
                self.note(ledger, &subject, &work, &format!("waiting: {}", Chain(&error)))
                    .await?;
                self.count(PatchOutcome::Failed);
                ledger.fail(subject, work, Instant::now());
                return Ok(());
            }
        };
        self.note(ledger, &subject, &work, &said).await?;
        self.count(outcome);
        let lag = self.lag_of(&subject);
        if !lag.is_zero() && !work.is_second {
            // The entries stay open: whoever takes the role next does it too.
            let second = Work {
                is_second: true,
                ..work
            };
            ledger.put_back(subject, second, Instant::now() + lag);
            return Ok(());
        }
        let closed = ledger.finish(&subject, &work);
        if let Some(since) = closed.since {
            let took = means.store.changes.now_us().saturating_sub(since);
            means
                .metrics
                .patch_seconds
                .observe(Duration::from_micros(took).as_secs_f64());
        }
        Ok(means.store.changes.work_off(&[], &closed.done).await?)
    }

    /// How long after a change the origin of a family may still show the state before.
    fn lag_of(&self, subject: &Subject) -> Duration {
        let Subject::Family(family) = subject else {
            return Duration::ZERO;
        };
        let declared = self.means.declaration.take();
        match declared.definitions.resolve(&family.name) {
            Resolved::Defined(defined) => declared.origins.changes_lag(&defined.definition.origin),
            Resolved::Pushed(_) | Resolved::Unknown => Duration::ZERO,
        }
    }

    fn count(&self, outcome: PatchOutcome) {
        self.means
            .metrics
            .patches
            .get_or_create(&ByPatchOutcome { outcome })
            .inc();
    }

    /// Tells those who asked what was done with a family. Of the search for names only a failure is told.
    async fn note(&self, ledger: &Ledger, subject: &Subject, work: &Work, said: &str) -> Result<(), EngineError> {
        let of = match subject {
            Subject::Family(family) => family.to_string(),
            Subject::Names(pattern) => format!("names of {pattern}"),
        };
        let told: Vec<_> = ledger
            .tokens(work)
            .into_iter()
            .map(|token| (token, of.clone(), said))
            .collect();
        match told.is_empty() {
            true => Ok(()),
            false => Ok(self.means.store.changes.outcomes().note(&told).await?),
        }
    }
}
