//! What is counted while pages are served, and told to Redis and the metrics every few seconds.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;

use crate::{
    engine::{Engine, error::Chain, l1::head_table::Lookup},
    listing::{Family, Generation, HeadState, ListingKey, Policy, definition::Resolved},
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

/// Generations of pushed listings that were renewed not long ago: each at most ten times in its life.
pub(crate) fn renewed(policy: &Policy) -> Cache<Generation, ()> {
    Cache::builder()
        .max_capacity(RENEWED_MAX)
        .time_to_live(policy.keep_for / 10)
        .build()
}

/// The greatest staleness served since it was last taken.
#[derive(Default)]
pub(crate) struct OldestStale {
    millis: AtomicU64,
}

impl OldestStale {
    /// A page was served so long past `fresh_for`.
    pub(crate) fn saw(&self, stale_for: Duration) {
        let millis = u64::try_from(stale_for.as_millis()).unwrap_or(u64::MAX);
        self.millis.fetch_max(millis, Ordering::Relaxed);
    }

    fn take(&self) -> Duration {
        Duration::from_millis(self.millis.swap(0, Ordering::Relaxed))
    }
}

impl Engine {
    pub(crate) fn start_counting(self: &Arc<Self>) {
        let engine = self.clone();
        self.tasks.spawn_on(
            async move {
                let (mut flushes, mut active) = (0, HashSet::new());
                loop {
                    tokio::select! {
                        () = tokio::time::sleep(FLUSH_PERIOD) => engine.flush_counts(&mut active).await,
                        () = engine.stopping.cancelled() => return engine.flush_counts(&mut active).await,
                    }
                    flushes += 1;
                    if flushes % SCHEDULE_EVERY == 0 {
                        engine.schedule_again(std::mem::take(&mut active)).await;
                    }
                }
            },
            &self.runtime,
        );
    }

    /// A pushed listing lives as long as it is read: its generation gets its full life again, at most once in a while.
    async fn renew_pushed(&self, read: Vec<ListingKey>) {
        let declared = self.declaration.take();
        let (policy, renewed) = (&declared.definitions.pushed.policy, &declared.renewed);
        for key in read {
            let (Lookup::Usable(HeadState::Live(head)) | Lookup::Recheck(HeadState::Live(head)), _) =
                self.l1.heads.peek(&key)
            else {
                continue;
            };
            let pushed = matches!(self.resolve(key.name()), Resolved::Pushed);
            if !pushed || renewed.contains_key(&head.generation) || !self.store.is_up() {
                continue;
            }
            match self
                .store
                .renew(&key, head.generation, policy.keep_for, policy.pin_for)
                .await
            {
                Ok(()) => renewed.insert(head.generation, ()),
                Err(error) => tracing::debug!(error = %Chain(&error), "a listing's life was not renewed"),
            }
        }
    }

    /// Gives a due time to families that are read and have none.
    async fn schedule_again(&self, active: HashSet<Family>) {
        let families: Vec<Family> = active.into_iter().collect();
        if families.is_empty() || !self.store.is_up() {
            return;
        }
        if let Err(error) = self.store.schedule_all(&families, SCHEDULE_WITHIN).await {
            tracing::debug!(error = %Chain(&error), "what is read was not scheduled");
        }
    }

    /// Whether a refresh of what was read is worth a due time: it is there, and something fills it.
    fn is_filled(&self, key: &ListingKey) -> bool {
        let (lookup, _) = self.l1.heads.peek(key);
        matches!(
            lookup,
            Lookup::Usable(HeadState::Live(_)) | Lookup::Recheck(HeadState::Live(_))
        ) && matches!(self.resolve(key.name()), Resolved::Defined(_))
    }

    async fn flush_counts(&self, active: &mut HashSet<Family>) {
        let mut reads: HashMap<Family, u64> = HashMap::new();
        let mut read: Vec<ListingKey> = Vec::new();
        self.l1.heads.take_reads(|key, count| {
            *reads.entry(key.family.clone()).or_default() += u64::from(count);
            read.push(key.clone());
        });
        let filled = read.iter().filter(|key| self.is_filled(key));
        active.extend(filled.map(|key| key.family.clone()));
        self.renew_pushed(read).await;
        if !reads.is_empty() && self.store.is_up() {
            let reads: Vec<_> = reads.into_iter().collect();
            if let Err(error) = self.store.record_reads(&reads).await {
                tracing::debug!(error = %Chain(&error), "read counts were lost");
            }
        }
        self.announcer.tidy();
        self.metrics
            .oldest_stale_seconds
            .set(self.oldest_stale.take().as_secs_f64());
        self.metrics.l1_chunk_bytes.set(self.l1.chunks.bytes() as i64);
        self.metrics
            .l1_fragment_bytes
            .set(self.l1.chunks.fragment_bytes() as i64);
        self.metrics.l1_heads.set(self.l1.heads.len() as i64);
    }
}
