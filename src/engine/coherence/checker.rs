//! The live checker: a few times a second one head of L1 is compared with Redis's.
//!
//! Everything that keeps L1 coherent is tested; this says whether it holds, in the very process that serves. A difference
//! counts only where it has outlived what may cause it rightly: an announcement on its way, or one that was lost and is found
//! by the next heartbeat. So Redis is asked twice, with that time in between, and then L1 must not serve anything else.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{
        error::EngineError,
        l1::{L1, head_table::Lookup},
        loads::permits::ReadPermits,
    },
    listing::{HeadState, ListingKey},
    store::Store,
    telemetry::Metrics,
};

/// Between two samples.
const PERIOD: Duration = Duration::from_millis(250);
/// After so long even an announcement that was lost without a trace is applied: a heartbeat, and a little.
const GRACE: Duration = Duration::from_millis(1250);

/// Compares heads of L1 with Redis's.
pub(crate) struct Checker {
    pub store: Store,
    pub l1: Arc<L1>,
    pub permits: ReadPermits,
    pub metrics: Arc<Metrics>,
}

impl Checker {
    /// Runs until the engine stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        // As many at once as fit into the grace.
        let mut checks = FuturesUnordered::new();
        let mut at = Instant::now() + PERIOD;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                Some(()) = checks.next() => continue,
                () = stopping.cancelled() => return,
            }
            if let Some((key, state)) = self.l1.heads.sample() {
                match self.head_in_redis(&key).await {
                    // Most are the same, and need no second look.
                    Ok(redis) if is_same(&state, &redis) => {}
                    Ok(redis) => checks.push(self.check(key, redis)),
                    Err(error) => tracing::trace!(%error, "a head was not checked"),
                }
            }
            at = Instant::now() + PERIOD;
        }
    }

    /// Looks again at a head that differed.
    async fn check(&self, key: ListingKey, before: HeadState) {
        tokio::time::sleep(GRACE).await;
        // First L1, then Redis: a publish in between makes no difference.
        let (l1, _) = self.l1.heads.peek(&key);
        let Ok(now) = self.head_in_redis(&key).await else {
            return;
        };
        if is_inconsistent(&before, &now, &l1) {
            tracing::error!(listing = %key, redis = now.id(), "a head in memory is not the one in redis");
            self.metrics.l1_inconsistent.inc();
        }
    }

    async fn head_in_redis(&self, key: &ListingKey) -> Result<HeadState, EngineError> {
        let _permit = self.permits.take()?;
        self.metrics.l1_checked.inc();
        Ok(self.store.heads.read(key).await?)
    }
}

/// Whether two heads name the same generation.
fn is_same(one: &HeadState, other: &HeadState) -> bool {
    match (one, other) {
        (HeadState::Live(one), HeadState::Live(other)) => one.generation == other.generation,
        // A tombstone expires, and then there is none.
        (HeadState::Live(_), _) | (_, HeadState::Live(_)) => false,
        _ => true,
    }
}

/// Whether L1 would serve another head than the one that Redis has had all the time. One that is gone from Redis counts for
/// nothing: it was evicted, and what L1 has of it is right.
fn is_inconsistent(before: &HeadState, now: &HeadState, l1: &Lookup) -> bool {
    let Lookup::Usable(l1) = l1 else {
        return false;
    };
    *now != HeadState::Absent && is_same(before, now) && !is_same(l1, now)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::listing::{Generation, Head, Timestamp};

    fn head(id: u64) -> HeadState {
        HeadState::Live(Head {
            generation: Generation { id, nonce: 1 },
            total: 1,
            chunk_len: NonZeroU32::MIN,
            as_of: Timestamp(id),
            definition: 0,
            definition_version: 0,
            pins_from: 0,
            delta: None,
            codec: crate::listing::Codec::Plain,
            next_change: None,
        })
    }

    #[test]
    fn only_what_redis_has_had_all_the_time_and_l1_would_not_serve_counts() {
        let deleted = HeadState::Deleted(Generation { id: 3, nonce: 1 });
        let check = |before, now, l1, expect| assert_eq!(is_inconsistent(&before, &now, &l1), expect, "{l1:?}");
        check(head(2), head(2), Lookup::Usable(head(1)), true);
        // Redis was rewound, and L1 goes on with what came after.
        check(head(1), head(1), Lookup::Usable(head(2)), true);
        check(deleted.clone(), deleted.clone(), Lookup::Usable(head(2)), true);
        check(head(2), head(2), Lookup::Usable(deleted.clone()), true);
        check(head(2), head(2), Lookup::Usable(HeadState::Absent), true);
        // Moved again meanwhile; moved here too; not to be served anyhow; evicted.
        check(head(2), head(3), Lookup::Usable(head(1)), false);
        check(head(2), head(2), Lookup::Usable(head(2)), false);
        check(head(2), head(2), Lookup::Recheck(head(1)), false);
        check(head(2), head(2), Lookup::Unknown, false);
        check(HeadState::Absent, HeadState::Absent, Lookup::Usable(head(2)), false);
        check(
            deleted.clone(),
            deleted.clone(),
            Lookup::Usable(HeadState::Absent),
            false,
        );
    }
}
