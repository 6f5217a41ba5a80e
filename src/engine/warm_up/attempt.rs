//! An attempt: one family of a warm-up, refreshed where there is something to do.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use super::targets::Target;
use crate::{
    engine::{
        error::EngineError,
        refreshing::{
            means::Means,
            request::{RefreshFailure, Refreshed, Shrink},
            runs::Refresher,
        },
    },
    listing::{Freshness, Head, HeadState, Timestamp},
};

/// How hard a warm-up tries.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Families at once.
    pub concurrency: NonZeroU32,
    /// Listings that begin a second.
    pub rate: Option<NonZeroU32>,
    /// How slow an origin may become.
    pub origin_latency_max: Option<Duration>,
    /// Whether listings may shrink.
    pub shrink: Shrink,
    /// Whether what is fresh is left as it is.
    pub skip_fresh: bool,
    /// When no more are begun.
    pub stop_at: Option<Instant>,
}

/// How it ended for one family.
#[derive(Clone, Debug)]
pub enum Step {
    /// It was read, or the origin was found to have what is kept.
    Refreshed {
        /// Its listings that were refreshed now.
        listings: Vec<Refreshed>,
        /// From its beginning to its end.
        took: Duration,
    },
    /// It is fresh.
    Fresh,
    /// It was read since the job began: by another process, or by one that was killed.
    Done,
    /// It is frozen, and has something to be served.
    Frozen,
    /// The origin or Redis failed, twice.
    Failed(EngineError),
}

/// The outcome of one attempt.
pub(super) enum Tried {
    Step(Step),
    /// Another process is reading it.
    Elsewhere,
}

/// Attempts of one warm-up.
#[derive(Clone, Copy)]
pub(super) struct Attempts<'a> {
    pub refresher: &'a Arc<Refresher>,
    /// Families that were read since then are done.
    pub since: Timestamp,
    pub effort: &'a Effort,
}

impl Attempts<'_> {
    /// The outcomes of targets that need no read; `None` if there is something to do.
    pub(super) async fn standing(&self, targets: &[Target]) -> Vec<Option<Step>> {
        let keys: Vec<_> = targets.iter().map(Target::listings).collect();
        let all: Vec<_> = keys.iter().flatten().cloned().collect();
        let Means { store, frozen, .. } = &*self.refresher.means;
        // In doubt a target is tried.
        let heads = store.heads.read_all(&all).await.unwrap_or_default();
        let now = store.now();
        let mut heads = all.iter().zip(heads);
        let mut standing = Vec::with_capacity(targets.len());
        for (target, keys) in targets.iter().zip(&keys) {
            let definition = &target.defined.definition;
            let heads: Vec<_> = heads.by_ref().take(keys.len()).collect();
            let each = |test: &dyn Fn(&Head) -> bool| {
                heads.len() == keys.len()
                    && heads
                        .iter()
                        .all(|(_, state)| matches!(state, HeadState::Live(head) if test(head)))
            };
            let same_shape = heads
                .iter()
                .all(|(key, state)| state.live().is_none_or(|head| !definition.reshapes(&key.stored, head)));
            standing.push(if same_shape && each(&|head| head.is_read_since(self.since, now)) {
                Some(Step::Done)
            } else if self.effort.skip_fresh
                && same_shape
                && each(&|head| matches!(definition.policy.freshness(head.as_of, now), Freshness::Fresh(_)))
            {
                Some(Step::Fresh)
            } else if frozen.until(&target.family.name, now).is_some() && each(&|_| true) {
                Some(Step::Frozen)
            } else {
                None
            });
        }
        standing
    }

    /// Refreshes a family, unless there is nothing to do.
    pub(super) async fn make(&self, target: &Target) -> Tried {
        // Looked at once more: another process may have been here meanwhile.
        let standing = self.standing(std::slice::from_ref(target)).await;
        if let Some(Some(step)) = standing.into_iter().next() {
            return Tried::Step(step);
        }
        if let Ok(Some(_)) = self.refresher.means.store.draws.lease_state(&target.family).await {
            return Tried::Elsewhere;
        }
        let began = Instant::now();
        let waiting = self
            .refresher
            .demand_since(&target.defined, &target.family, self.since, self.effort.shrink);
        Tried::Step(match waiting.await {
            Ok(Ok(listings)) => Step::Refreshed {
                listings: listings.to_vec(),
                took: began.elapsed(),
            },
            Ok(Err(RefreshFailure { error, .. })) => Step::Failed(error),
            Err(_) => Step::Failed(EngineError::broken_load()),
        })
    }
}
