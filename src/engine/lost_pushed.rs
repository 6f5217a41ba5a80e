//! Pushed listings that are gone from Redis, their only place: evicted, flushed, or read by nobody for `keep_for`. Nothing can
//! bring them back but another push, so each that is found gone is told of, once, however many ask for it.
//!
//! One is found gone where something still speaks of it: a head whose stream is lost, a name in the index without a head, or
//! this process, which has known its head. Where Redis evicted all of that nothing is left to find: so its evictions are
//! counted and told of too.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use parking_lot::Mutex;

use super::{Engine, declared::Declaration, error::Chain};
use crate::{
    listing::{ListingKey, ListingName, definition::Resolved},
    telemetry::Metrics,
};

const REMEMBERED_MAX: u64 = 10_000;
/// Between two looks at how much Redis has evicted.
const PERIOD: Duration = Duration::from_secs(2);

/// What was told of.
pub struct LostPushed {
    declaration: Arc<Declaration>,
    metrics: Arc<Metrics>,
    /// Of each name the listings that were found lost since it last moved.
    told: Cache<ListingName, Arc<Mutex<Vec<ListingKey>>>>,
}

impl LostPushed {
    /// Nothing was lost yet.
    pub fn new(declaration: Arc<Declaration>, metrics: Arc<Metrics>) -> Self {
        Self {
            declaration,
            metrics,
            told: Cache::builder().max_capacity(REMEMBERED_MAX).build(),
        }
    }

    /// A pushed listing is gone.
    pub fn tell(&self, listing: &ListingKey) {
        let told = self.told.get_with(listing.name().clone(), Arc::default);
        let mut told = told.lock();
        if told.contains(listing) {
            return;
        }
        told.push(listing.clone());
        tracing::error!(%listing, "a pushed listing is gone from redis, its only place");
        self.metrics.lost_pushed.inc();
    }

    /// A head that was known here is gone, and no deletion was heard of. A listing with an origin is filled again; another is lost.
    pub fn head_is_gone(&self, listing: &ListingKey) {
        if let Resolved::Pushed = self.declaration.take().definitions.resolve(listing.name()) {
            self.tell(listing);
        }
    }

    /// A listing of the name came or went.
    pub fn forget(&self, name: &ListingName) {
        self.told.invalidate(name);
    }
}

impl Engine {
    /// Tells of evictions from here on. They need not be of our keys, and those of ours need not be of pushed listings.
    pub(super) fn start_watching_evictions(self: &Arc<Self>) {
        let engine = self.clone();
        self.tasks.spawn_on(
            async move {
                let mut before = None;
                loop {
                    match engine.store.evicted_keys().await {
                        Ok(Some(evicted)) => {
                            // A server that was restarted counts from zero.
                            let more = before.map_or(0, |before| evicted.saturating_sub(before));
                            before = Some(evicted);
                            if more > 0 {
                                engine.metrics.redis_evicted.inc_by(more);
                                tracing::warn!(
                                    keys = more,
                                    "redis evicts keys: pushed listings may be among them, and lost"
                                );
                            }
                        }
                        Ok(None) => return,
                        Err(error) => tracing::debug!(error = %Chain(&error), "evictions could not be counted"),
                    }
                    tokio::select! {
                        () = tokio::time::sleep(PERIOD) => {}
                        () = engine.stopping.cancelled() => return,
                    }
                }
            },
            &self.runtime,
        );
    }
}
