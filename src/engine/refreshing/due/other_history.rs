//! Another history of Redis: it was restarted, flushed or rewound, or a replica has taken its place. Its listings may be older
//! than before, and look fresh, though they lack changes that were worked off. So every family that is kept is due, one after the other.
//!
//! Each node hears of it, and the earliest due time counts.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{declared::Declaration, error::Chain},
    listing::{Family, ListingKey, definition::Resolved},
    store::{Store, StoreError},
};

/// Listings that are looked at together.
const LISTINGS_A_TURN: usize = 500;
/// Families are due so far apart, and all of them within this time.
const APART: Duration = Duration::from_millis(20);
const ALL_WITHIN: Duration = Duration::from_secs(60);
/// Between two attempts: nothing else tells of it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Makes families due.
pub(crate) struct OtherHistory {
    pub store: Store,
    pub declaration: Arc<Declaration>,
    /// Told of another history.
    pub begun: Arc<Notify>,
}

impl OtherHistory {
    /// Runs until the engine stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = self.begun.notified() => {}
                () = stopping.cancelled() => return,
            }
            while let Err(error) = self.all_are_due().await {
                tracing::debug!(error = %Chain(&error), "listings could not be made due");
                tokio::select! {
                    () = tokio::time::sleep(AGAIN_AFTER) => {}
                    () = stopping.cancelled() => return,
                }
            }
        }
    }

    async fn all_are_due(&self) -> Result<(), StoreError> {
        let (mut count, mut after): (u32, Option<ListingKey>) = (0, None);
        loop {
            let listings = self.store.names.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            let Some((last, _)) = listings.last() else { break };
            after = Some(last.clone());
            let is_defined = |family: &&Family| matches!(self.declaration.resolve(&family.name), Resolved::Defined(_));
            let families = listings.iter().map(|(listing, _)| &listing.family);
            // Sorts of one family are neighbours.
            let families: BTreeSet<&Family> = families.filter(is_defined).collect();
            count = count.saturating_add(u32::try_from(families.len()).unwrap_or(u32::MAX));
            let within = APART.saturating_mul(count).min(ALL_WITHIN);
            self.store
                .due
                .bring_forward_within(families.into_iter(), within)
                .await?;
        }
        if count > 0 {
            tracing::warn!(
                families = count,
                "redis may have gone back to older listings: all are read again within a minute"
            );
        }
        Ok(())
    }
}
