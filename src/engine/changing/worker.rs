//! The worker: of all nodes one works changes off, under a lease.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    concerned::Concerned,
    finding::further_work,
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
    listing::{ChangeToken, Family, ItemId, definition::Resolved},
    store::Lease,
    telemetry::{ByPatchOutcome, PatchOutcome},
};

/// The role that one node has.
const ROLE: &str = "changes";
/// Between two attempts to take it.
const TAKE_PERIOD: Duration = Duration::from_secs(1);
/// Between two looks for changes of which no message came.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// Entries of a partition that are read at once, at most.
const ENTRIES_AT_ONCE: usize = 64;
/// A read of this many bytes is followed by a read of one entry a partition.
const BYTES_AT_ONCE: usize = 256 << 10;
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
    /// Further families that items concern.
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
        let history = means.announcer.moves.history();
        let mut ledger = Ledger::new(&means.store.changes.worked_off().await?, Instant::now());
        let mut tasks: JoinSet<Ended> = JoinSet::new();
        let (mut look_at, mut at_once) = (Instant::now(), 1);
        loop {
            // A ledger is of one history of Redis.
            if lease.is_lost() || means.announcer.moves.history() != history {
                return Ok(());
            }
            if look_at <= Instant::now() {
                // One read, and then the work that it brings: the first changes do not wait until the last ones are read.
                let more = self.take_in(&mut ledger, &mut at_once).await?;
                look_at = Instant::now() + if more { Duration::ZERO } else { LOOK_PERIOD };
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
            // Work whose time has come waits for a place too: the end of other work wakes it.
            let next = ledger.next().filter(|_| tasks.len() < AT_ONCE);
            let until = next.map_or(look_at, |next| next.min(look_at));
            tokio::select! {
                () = means.announcer.moves.recorded() => look_at = Instant::now(),
                Some(ended) = tasks.join_next() => {
                    // A panic is our own bug: the changes are worked off by whoever takes the role next.
                    let ended = ended.map_err(|_| EngineError::broken_load())?;
                    self.end(&mut ledger, ended).await?;
                }
                () = sleep_until(until.into()) => {}
            }
            while let Some(ended) = tasks.try_join_next() {
                self.end(&mut ledger, ended.map_err(|_| EngineError::broken_load())?)
                    .await?;
            }
        }
    }

    /// Reads changes, and finds the work on them. Returns whether there may be more.
    ///
    /// `at_once` entries of a partition are read; it grows while they are small. So any number of them, of any size, is read in time.
    async fn take_in(&self, ledger: &mut Ledger, at_once: &mut usize) -> Result<bool, EngineError> {
        let means = &self.means;
        let (entries, bytes) = means.store.changes.read(&ledger.read(), *at_once).await?;
        *at_once = match bytes < BYTES_AT_ONCE {
            true => (*at_once * 2).min(ENTRIES_AT_ONCE),
            false => 1,
        };
        if entries.is_empty() {
            return Ok(false);
        }
        // The first change pays for the first survey.
        let survey = self.surveys.up_to_date().await?;
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

    async fn work_on(self: Arc<Self>, subject: Subject, work: Work) -> Ended {
        let outcome = match subject.now() {
            Subject::Names(pattern) => self
                .concerned()
                .find_names(pattern, &work.changed)
                .await
                .map(Done::Found),
            Subject::Kept => self.concerned().find_kept(&work.recalled).await.map(Done::Found),
            Subject::Family(family) => self.bring_up_to_date(family, &work).await,
            Subject::Late(..) => Err(EngineError::broken_load()),
        };
        Ended { subject, work, outcome }
    }

    async fn bring_up_to_date(&self, family: &Family, work: &Work) -> Result<Done, EngineError> {
        if work.whole {
            return self.refresh(family, "all of it has changed").await;
        }
        let patch = Patch {
            changed: work.changed.clone(),
            gone: work.gone.clone(),
            recalled: work.recalled.clone(),
            recorded: work.entries.iter().map(|(_, id)| *id).max().unwrap_or_default(),
            ..Patch::nothing(self.means.clone(), family.clone())
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
        if self.means.frozen.until(&family.name, self.means.store.now()).is_some() {
            self.means.store.due.bring_forward(std::iter::once(family)).await?;
            return Ok(Done::Worked(
                PatchOutcome::Refreshed,
                "read in full later: the name is frozen".to_owned(),
            ));
        }
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
                for (family, further) in further_work(subject.now(), &work, families) {
                    ledger.add(family, further);
                }
                self.add_late(ledger, &subject, &work);
                let closed = ledger.finish(&subject, &work);
                return Ok(means.store.changes.work_off(&[], &closed.done).await?);
            }
            Err(error) => {
                tracing::debug!(?subject, error = %Chain(&error), "changes wait for the next attempt");
                self.note(ledger, &subject, &work, &format!("waiting: {}", Chain(&error)))
                    .await?;
                self.count(PatchOutcome::Failed);
                if ledger.fail(subject.clone(), work, Instant::now()) {
                    tracing::warn!(
                        ?subject,
                        error = %Chain(&error),
                        "changes cannot be followed, and are kept: look at the origin, or at the listing's query and names_of"
                    );
                }
                return Ok(());
            }
        };
        self.note(ledger, &subject, &work, &said).await?;
        self.count(outcome);
        self.add_late(ledger, &subject, &work);
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

    /// Where the origin may still show the state before, the work is done once more.
    fn add_late(&self, ledger: &mut Ledger, subject: &Subject, work: &Work) {
        let declared = self.means.declaration.take();
        let origin = match subject {
            Subject::Family(family) => match declared.definitions.resolve(&family.name) {
                Resolved::Defined(defined) => defined.definition.origin.clone(),
                Resolved::Pushed(_) | Resolved::Unknown => return,
            },
            Subject::Names(pattern) => {
                let mut definitions = declared.definitions.defined.iter();
                match definitions.find(|definition| definition.pattern.as_str() == &**pattern) {
                    Some(definition) => definition.origin.clone(),
                    None => return,
                }
            }
            Subject::Kept | Subject::Late(..) => return,
        };
        let lag = declared.origins.changes_lag(&origin);
        if !lag.is_zero() {
            ledger.add_late(subject.clone(), work.clone(), lag, Instant::now());
        }
    }

    fn count(&self, outcome: PatchOutcome) {
        self.means
            .metrics
            .patches
            .get_or_create(&ByPatchOutcome { outcome })
            .inc();
    }

    /// Tells those who asked what was done with a family. Of the search for further families only a failure is told.
    async fn note(&self, ledger: &Ledger, subject: &Subject, work: &Work, said: &str) -> Result<(), EngineError> {
        let of = match subject.now() {
            Subject::Family(family) => family.to_string(),
            Subject::Names(pattern) => format!("names of {pattern}"),
            Subject::Kept => "kept generations".to_owned(),
            Subject::Late(..) => return Ok(()),
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
