//! Read counts: every few seconds Redis and the metrics learn what was read.
//!
//! A pushed listing lives as long as it is read: its generation gets its full life again, at most once in a tenth of it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use moka::sync::Cache;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{error::Chain, l1::head_table::Lookup, reading::freshness::OldestStale, refreshing::means::Means},
    listing::{Family, Generation, HeadState, ListingKey, definition::Resolved},
};

/// Between two flushes of the read counts.
const FLUSH_PERIOD: Duration = Duration::from_secs(5);

/// Every so many flushes what was read since gets a due time, where it has none: due times may be evicted. A listing that is
/// read is so due again within a minute.
const SCHEDULE_EVERY: u32 = 6;
/// Within so long after that it is due.
const SCHEDULE_WITHIN: Duration = Duration::from_secs(25);

/// How many renewed generations are remembered; beyond them some are renewed more often.
const RENEWED_MAX: u64 = 100_000;

/// Tells Redis and the metrics what was read.
pub(crate) struct ReadCounts {
    pub means: Arc<Means>,
    pub oldest_stale: Arc<OldestStale>,
}

/// Generations of pushed listings that were renewed lately: each at most ten times in its life.
struct Renewed {
    keep_for: Duration,
    generations: Cache<Generation, ()>,
}

impl Renewed {
    fn new(keep_for: Duration) -> Self {
        Self {
            keep_for,
            generations: Cache::builder()
                .max_capacity(RENEWED_MAX)
                .time_to_live(keep_for / 10)
                .build(),
        }
    }
}

impl ReadCounts {
    /// Runs until the engine stops. Then it tells the last counts.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let (mut flushes, mut active) = (0, HashSet::new());
        let mut renewed = Renewed::new(self.means.declaration.pushed_policy().keep_for);
        loop {
            tokio::select! {
                () = tokio::time::sleep(FLUSH_PERIOD) => self.flush(&mut active, &mut renewed).await,
                () = stopping.cancelled() => return self.flush(&mut active, &mut renewed).await,
            }
            flushes += 1;
            if flushes % SCHEDULE_EVERY == 0 {
                self.schedule_again(std::mem::take(&mut active)).await;
            }
        }
    }

    /// A pushed listing lives as long as it is read: its generation gets its full life again, at most once in a while.
    async fn renew_pushed(&self, read: Vec<ListingKey>, renewed: &mut Renewed) {
        let Means {
            store, declaration, l1, ..
        } = &*self.means;
        let policy = declaration.pushed_policy();
        if renewed.keep_for != policy.keep_for {
            *renewed = Renewed::new(policy.keep_for);
        }
        for key in read {
            let (Lookup::Usable(HeadState::Live(head)) | Lookup::Recheck(HeadState::Live(head)), _) =
                l1.heads.peek(&key)
            else {
                continue;
            };
            let pushed = matches!(declaration.resolve(key.name()), Resolved::Pushed(_));
            if !pushed || renewed.generations.contains_key(&head.generation) || !store.is_up() {
                continue;
            }
            let writes = &store.writes;
            let renewal = writes.renew(&key, &head, policy.keep_for, policy.pin_for);
            match renewal.await {
                Ok(()) => renewed.generations.insert(head.generation, ()),
                Err(error) => tracing::debug!(error = %Chain(&error), "a listing's life was not renewed"),
            }
        }
    }

    /// Gives a due time to families that are read and have none.
    async fn schedule_again(&self, active: HashSet<Family>) {
        let families: Vec<Family> = active.into_iter().collect();
        if families.is_empty() || !self.means.store.is_up() {
            return;
        }
        if let Err(error) = self.means.store.due.schedule_all(&families, SCHEDULE_WITHIN).await {
            tracing::debug!(error = %Chain(&error), "a listing that is read was not scheduled");
        }
    }

    /// Whether a refresh of what was read is worth a due time: it is there, and something fills it.
    fn is_filled(&self, key: &ListingKey) -> bool {
        let (lookup, _) = self.means.l1.heads.peek(key);
        matches!(
            lookup,
            Lookup::Usable(HeadState::Live(_)) | Lookup::Recheck(HeadState::Live(_))
        ) && matches!(self.means.declaration.resolve(key.name()), Resolved::Defined(_))
    }

    async fn flush(&self, active: &mut HashSet<Family>, renewed: &mut Renewed) {
        let mut reads: HashMap<Family, u64> = HashMap::new();
        let mut read: Vec<ListingKey> = Vec::new();
        self.means.l1.heads.take_reads(|key, count| {
            *reads.entry(key.family.clone()).or_default() += u64::from(count);
            read.push(key.clone());
        });
        let filled = read.iter().filter(|key| self.is_filled(key));
        active.extend(filled.map(|key| key.family.clone()));
        self.renew_pushed(read, renewed).await;
        if !reads.is_empty() && self.means.store.is_up() {
            let reads: Vec<_> = reads.into_iter().collect();
            if let Err(error) = self.means.store.reads.record(&reads).await {
                tracing::debug!(error = %Chain(&error), "read counts were lost");
            }
        }
        let Means {
            announcer, l1, metrics, ..
        } = &*self.means;
        announcer.tidy();
        metrics.oldest_stale_seconds.set(self.oldest_stale.take().as_secs_f64());
        metrics.l1_chunk_bytes.set(l1.chunks.bytes() as i64);
        metrics.l1_fragment_bytes.set(l1.chunks.fragment_bytes() as i64);
        metrics.filter_bytes.set(l1.filters.bytes() as i64);
        metrics.l1_heads.set(l1.heads.len() as i64);
    }
}
