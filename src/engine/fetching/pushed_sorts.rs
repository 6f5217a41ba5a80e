//! The sorts that pushed names have, read from the index of names and kept briefly.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::lost_pushed::LostPushed;
use crate::{
    engine::{error::EngineError, loads::permits::ReadPermits},
    listing::{ListingKey, ListingName, SortName},
    store::Store,
};

const KEPT_MAX: u64 = 10_000;

/// Finds the sorts of pushed names.
pub(crate) struct PushedSorts {
    store: Store,
    permits: ReadPermits,
    lost_pushed: Arc<LostPushed>,
    kept: Cache<ListingName, (Instant, Arc<[SortName]>)>,
    fresh_for: Duration,
}

impl PushedSorts {
    /// Nothing is known yet. While Redis answers, what is read lives as long as a head in L1.
    pub(crate) fn new(store: Store, permits: ReadPermits, lost_pushed: Arc<LostPushed>, l1_ttl: Duration) -> Self {
        Self {
            store,
            permits,
            lost_pushed,
            kept: Cache::builder().max_capacity(KEPT_MAX).build(),
            fresh_for: l1_ttl,
        }
    }

    /// A listing of the name came or went.
    pub(crate) fn forget(&self, name: &ListingName) {
        self.kept.invalidate(name);
    }

    /// The sorts of a name, if they were read lately.
    pub(crate) fn known(&self, name: &ListingName) -> Option<Arc<[SortName]>> {
        let (read_at, sorts) = self.kept.get(name)?;
        (read_at.elapsed() < self.fresh_for).then_some(sorts)
    }

    /// The sorts of a name.
    ///
    /// # Errors
    /// Redis's own, and [`EngineError::Overloaded`], where nothing was known before.
    pub(crate) async fn of(&self, name: &ListingName) -> Result<Arc<[SortName]>, EngineError> {
        if let Some(sorts) = self.known(name) {
            return Ok(sorts);
        }
        let before = self.kept.get(name);
        let asked = Instant::now();
        let listings = match (self.read(name).await, before) {
            // Their heads tell which of them are still there.
            (
                Err(EngineError::RedisDown { .. } | EngineError::RedisRefuses { .. } | EngineError::Overloaded { .. }),
                Some((_, sorts)),
            ) => return Ok(sorts),
            (listings, _) => listings?,
        };
        let sorts: Arc<[SortName]> = listings.into_iter().map(|key| key.stored.sort).collect();
        self.kept.insert(name.clone(), (asked, sorts.clone()));
        Ok(sorts)
    }

    async fn read(&self, name: &ListingName) -> Result<Vec<ListingKey>, EngineError> {
        let _permit = self.permits.take()?;
        let (kept, lost) = self.store.names.kept_and_lost(name).await?;
        for listing in lost {
            self.lost_pushed.tell(&listing);
        }
        Ok(kept)
    }
}
