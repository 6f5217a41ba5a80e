//! One node at a time purges one CDN, under a lease.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    pace::Pace,
    queue::{Batch, Ends, Limits, Phase, Queue, Waiting},
};
use crate::{
    cdn::{Cdn, PurgeFailure},
    engine::{
        coherence::touched::{News, Touched},
        error::Chain,
        refreshing::means::Means,
    },
    listing::{ListingName, cache_tag, definition::Resolved},
    store::{Lease, LogCursor, LogRead, LogReader, Logged, StoreError},
    telemetry::{ByPurgeOutcome, PurgeOutcome},
};

/// Between two attempts to take the role.
const TAKE_PERIOD: Duration = Duration::from_secs(1);
/// The worker does something at least so often: its word counts for two seconds.
const PERIOD: Duration = Duration::from_millis(500);
/// All logs are looked at this often, whatever is heard.
const LOOK_PERIOD: Duration = Duration::from_secs(10);
/// After a call that failed, and at most.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// A failure that lasts is told so often.
const TELL_PERIOD: Duration = Duration::from_secs(60);

/// Purges CDNs.
pub(crate) struct Purger {
    pub means: Arc<Means>,
    pub cdns: Vec<Arc<Cdn>>,
    /// From the first purge of a tag until its second.
    pub second_after: Duration,
    pub tasks: TaskTracker,
}

impl Purger {
    /// Runs until the engine stops.
    pub(crate) fn start(self, stopping: &CancellationToken) {
        for cdn in self.cdns {
            let worker = Worker {
                means: self.means.clone(),
                logs: self.means.store.logs(),
                news: self.means.announcer.touched.reader(),
                second_after: self.second_after,
                cdn,
            };
            let stopping = stopping.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = worker.run() => {}
                    () = stopping.cancelled() => {}
                }
            });
        }
    }
}

struct Worker {
    means: Arc<Means>,
    logs: LogReader,
    news: Arc<News>,
    second_after: Duration,
    cdn: Arc<Cdn>,
}

/// The work under one lease.
struct Work {
    queue: Queue,
    pace: Pace,
    /// How far each log is read.
    read: Vec<LogCursor>,
    looked: Instant,
    /// No call is made before.
    not_before: Instant,
    failures: u32,
    told: Option<Instant>,
}

impl Worker {
    async fn run(&self) {
        let role = format!("cdn:{}", self.cdn.config.name);
        loop {
            match self.means.store.draws.role(&role).await {
                Ok(Some(lease)) => {
                    tracing::info!(cdn = &*self.cdn.config.name, "this node purges the CDN");
                    self.work(&lease).await;
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(error = %Chain(&error), "the CDN is not purged now"),
            }
            tokio::time::sleep(TAKE_PERIOD).await;
        }
    }

    async fn work(&self, lease: &Lease) {
        let mut work = None;
        while !lease.is_lost() {
            let step = match &mut work {
                None => self.begin().await.map(|begun| work = Some(begun)),
                Some(work) => self.step(work, lease).await,
            };
            if let Err(error) = step {
                tracing::debug!(error = %Chain(&error), "purging waits for redis");
                tokio::time::sleep(PERIOD).await;
            }
        }
    }

    /// Goes on where the last worker was.
    async fn begin(&self) -> Result<Work, StoreError> {
        let config = &self.cdn.config;
        let limits = Limits {
            debounce: config.debounce,
            widen_after: config.widen_after,
            second_after: self.second_after,
            tags_a_call: self.cdn.tags_a_call(),
        };
        let now = Instant::now();
        let mut work = Work {
            queue: Queue::new(limits),
            pace: Pace::new(config.pace, now),
            read: Vec::new(),
            looked: now,
            not_before: now,
            failures: 0,
            told: None,
        };
        let Some(kept) = self.logs.cursors(&config.name).await? else {
            // Never purged before, or Redis has lost how far: nobody knows what the CDN holds.
            self.lose(&mut work).await?;
            return Ok(work);
        };
        work.read = kept.second.clone();
        let mut logs = Touched::ALL;
        while logs != 0 {
            let Some(entries) = self.entries(&mut work, &mut logs).await? else {
                self.lose(&mut work).await?;
                return Ok(work);
            };
            let (new, purged) = entries.into_iter().partition(|(log, entry): &(usize, Logged)| {
                kept.first.get(*log).is_none_or(|first| entry.cursor.is_after(*first))
            });
            let waiting = |entries: Vec<_>| {
                entries
                    .into_iter()
                    .map(|(log, entry)| self.waiting(log, entry))
                    .collect()
            };
            let (new, purged): (Vec<Waiting>, Vec<Waiting>) = (waiting(new), waiting(purged));
            work.queue.add_purged(purged, self.means.store.now());
            work.queue.add(new);
        }
        Ok(work)
    }

    /// Reads what is new, and makes the next call if it is due.
    async fn step(&self, work: &mut Work, lease: &Lease) -> Result<(), StoreError> {
        let mut logs = self.news.take();
        if work.looked.elapsed() >= LOOK_PERIOD {
            logs = Touched::ALL;
        }
        if logs == Touched::ALL {
            work.looked = Instant::now();
        }
        while logs != 0 {
            match self.entries(work, &mut logs).await? {
                Some(entries) => {
                    let waiting = entries.into_iter().map(|(log, entry)| self.waiting(log, entry));
                    work.queue.add(waiting);
                }
                None => {
                    tracing::warn!(
                        cdn = &*self.cdn.config.name,
                        "the log of announcements does not reach back to the last purge, or redis went back: all pages are purged"
                    );
                    self.lose(work).await?;
                    break;
                }
            }
        }
        let now = self.means.store.now();
        let lag = work.queue.lag(now);
        self.means.metrics.purge_lag_seconds.set(lag.as_secs_f64());
        self.logs.say(&self.cdn.config.name, lag).await?;
        let next = work.queue.next(|calls| work.pace.time_for(calls, Instant::now()));
        let wait = match next {
            None => PERIOD,
            Some((due, batch)) => {
                let wait = due
                    .since(now)
                    .max(work.not_before.saturating_duration_since(Instant::now()));
                let wait = wait.max(work.pace.time_for(1, Instant::now()));
                if wait.is_zero() && !lease.is_lost() {
                    return self.call(work, batch).await;
                }
                wait.min(PERIOD)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.news.some() => {}
        }
        Ok(())
    }

    async fn call(&self, work: &mut Work, batch: Batch) -> Result<(), StoreError> {
        let config = &self.cdn.config;
        work.pace.count(Instant::now());
        let outcome = match (self.cdn.purge(&batch.tags).await, batch.is_widened) {
            (Ok(()), false) => PurgeOutcome::Done,
            (Ok(()), true) => PurgeOutcome::Widened,
            (Err(error), _) => {
                self.failed(work, &error);
                PurgeOutcome::Failed
            }
        };
        self.means
            .metrics
            .purge_calls
            .get_or_create(&ByPurgeOutcome { outcome })
            .inc();
        if outcome == PurgeOutcome::Failed {
            return Ok(());
        }
        if std::mem::take(&mut work.failures) > 0 {
            tracing::info!(cdn = &*config.name, "the CDN is purged again");
            work.told = None;
        }
        if outcome == PurgeOutcome::Widened && batch.phase == Phase::First {
            tracing::warn!(
                cdn = &*config.name,
                tags = ?batch.tags,
                "more pages have changed than the CDN takes calls for in widen_after: whole definitions are purged"
            );
        }
        let phase = batch.phase;
        let ends = work.queue.done(batch, self.means.store.now());
        self.keep(phase, ends).await
    }

    async fn keep(&self, phase: Phase, ends: Ends) -> Result<(), StoreError> {
        let (first, second) = match phase {
            Phase::First => (ends, Ends::new()),
            Phase::Second => (Ends::new(), ends),
        };
        self.logs.keep(&self.cdn.config.name, first, second).await
    }

    fn failed(&self, work: &mut Work, error: &PurgeFailure) {
        let back_off = BACK_OFF.saturating_mul(1 << work.failures.min(8)).min(BACK_OFF_MAX);
        work.failures = work.failures.saturating_add(1);
        work.not_before = Instant::now() + error.retry_after().unwrap_or(back_off);
        if work.told.is_none_or(|told| told.elapsed() >= TELL_PERIOD) {
            work.told = Some(Instant::now());
            tracing::warn!(
                cdn = &*self.cdn.config.name,
                error = %Chain(error),
                "the CDN is not purged: it may show old pages as long as their lifetimes last; tried again until it works"
            );
        }
    }

    /// The next entries of some logs; `None` where a log is cut. Leaves those logs that have more.
    async fn entries(&self, work: &mut Work, logs: &mut u64) -> Result<Option<Vec<(usize, Logged)>>, StoreError> {
        let wanted = (0..LogReader::LOGS).filter(|log| *logs >> log & 1 == 1);
        let places: Vec<_> = wanted.filter_map(|log| Some((log, *work.read.get(log)?))).collect();
        let read = match self.logs.after(&places).await {
            Ok(read) => read,
            Err(error) => {
                // Looked at again with the next step.
                work.looked = Instant::now().checked_sub(LOOK_PERIOD).unwrap_or(work.looked);
                return Err(error);
            }
        };
        *logs = 0;
        let mut all = Vec::new();
        for (log, read) in read {
            let LogRead::Entries(entries, more) = read else {
                return Ok(None);
            };
            if more {
                *logs |= 1 << log;
            }
            if let (Some(last), Some(place)) = (entries.last(), work.read.get_mut(log)) {
                *place = last.cursor;
            }
            all.extend(entries.into_iter().map(|entry| (log, entry)));
        }
        all.sort_by_key(|(_, entry)| entry.written);
        Ok(Some(all))
    }

    /// Everything is purged, from the ends of all logs on.
    async fn lose(&self, work: &mut Work) -> Result<(), StoreError> {
        work.read = self.logs.newest().await?;
        let ends = work.read.iter().copied().enumerate().collect();
        work.queue.lose(self.means.store.now(), ends);
        Ok(())
    }

    fn waiting(&self, log: usize, entry: Logged) -> Waiting {
        let (tag, definition) = match &entry.name {
            Some(name) => (cache_tag::of_listing(name).into(), self.definition_of(name)),
            // Another release wrote it: any listing may be meant.
            None => (cache_tag::ALL.into(), cache_tag::ALL.into()),
        };
        Waiting {
            tag,
            definition,
            since: entry.written,
            ends: [(log, entry.cursor)].into(),
        }
    }

    fn definition_of(&self, name: &ListingName) -> Arc<str> {
        match self.means.declaration.resolve(name) {
            Resolved::Defined(defined) => cache_tag::of_definition(&defined.definition.pattern).into(),
            Resolved::Pushed(_) => cache_tag::PUSHED.into(),
            // It was declared once.
            Resolved::Unknown => cache_tag::ALL.into(),
        }
    }
}
