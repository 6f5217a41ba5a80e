//! Pushed listings that are gone from Redis, their only place: evicted, flushed, or read by nobody for `keep_for`. Nothing can
//! bring them back but another push, so each that is found gone is told of, once, however many ask for it.
//!
//! One is found gone where something still speaks of it: a head whose stream is lost, a name in the index without a head, or
//! this process, which has known its head. Where Redis evicted all of that nothing is left to find: so its evictions are
//! counted and told of too.

use std::sync::Arc;

use moka::sync::Cache;
use parking_lot::Mutex;

use crate::{
    engine::declared::Declaration,
    listing::{HeadState, ListingKey, ListingName, Timestamp, definition::Resolved},
    store::Store,
    telemetry::{LOST_PUSHED, Metrics},
};

const REMEMBERED_MAX: u64 = 10_000;

/// Since when losses of a name are known, and which.
type Told = (Timestamp, Arc<Mutex<Vec<ListingKey>>>);

/// What was told of.
pub(crate) struct LostPushed {
    declaration: Arc<Declaration>,
    metrics: Arc<Metrics>,
    store: Store,
    /// By name, until it moves.
    told: Cache<ListingName, Told>,
}

impl LostPushed {
    /// Nothing was lost yet.
    pub(crate) fn new(store: Store, declaration: Arc<Declaration>, metrics: Arc<Metrics>) -> Self {
        Self {
            declaration,
            metrics,
            store,
            told: Cache::builder().max_capacity(REMEMBERED_MAX).build(),
        }
    }

    /// A pushed listing is gone.
    pub(crate) fn tell(&self, listing: &ListingKey) {
        let first = || (self.store.now(), Arc::default());
        let (_, told) = self.told.get_with(listing.name().clone(), first);
        let mut told = told.lock();
        if told.contains(listing) {
            return;
        }
        told.push(listing.clone());
        tracing::error!(target: LOST_PUSHED, %listing, "a pushed listing is gone from redis, its only place");
        self.metrics.lost_pushed.inc();
    }

    /// A head that was known here is gone, and no deletion was heard of. A listing with an origin is filled again; another is lost.
    pub(crate) fn head_is_gone(&self, listing: &ListingKey) {
        if let Resolved::Pushed(_) = self.declaration.take().definitions.resolve(listing.name()) {
            self.tell(listing);
        }
    }

    /// A listing of the name has a new head: one that is found lost after that is told of again. A head that is older than the
    /// loss says nothing: where the log was lost too, what it still holds is heard anew.
    pub(crate) fn moved(&self, name: &ListingName, head: &HeadState) {
        let moved_at = Timestamp(head.id() / 1000);
        if self.told.get(name).is_some_and(|(told_at, _)| moved_at >= told_at) {
            self.told.invalidate(name);
        }
    }
}
