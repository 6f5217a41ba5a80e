//! Rolling back: a generation that is still kept becomes current again, under a new id.
//!
//! For data that was believed and is wrong all the same. The origin has it still, most likely, so the name is frozen for a
//! while: else the next refresh would bring it back.

use std::time::Duration;

use super::freezing::HEARD_WITHIN;
use crate::{
    engine::{Engine, error::EngineError},
    listing::{Generation, ListingKey, ListingName, Timestamp, definition::Resolved},
    store::Published,
};

/// One listing that was rolled back.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// Which listing.
    pub listing: ListingKey,
    /// Whose items it has again.
    pub from: Generation,
    /// Under which id.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
}

/// The outcome of a rollback.
#[derive(Clone, Debug, Default)]
pub struct Rollback {
    /// The listings that have older items again.
    pub listings: Vec<RolledBack>,
    /// Listings that stay as they are, each with its current generation: no older one is kept.
    pub without_older: Vec<(ListingKey, Option<Generation>)>,
    /// Until when the name is not refreshed, where it was frozen.
    pub frozen_until: Option<Timestamp>,
}

impl Engine {
    /// Republishes, for each listing kept under a name, the newest generation before the current one; listings without one
    /// stay as they are. A second rollback goes back further: what one has undone is not kept for another. The name is frozen for
    /// `hold`, unless that is zero.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where nothing is kept under the name; Redis's own.
    pub async fn rollback(&self, name: &ListingName, hold: Duration) -> Result<Rollback, EngineError> {
        let listings = self.store.names.listings_of(name).await?;
        if listings.is_empty() {
            return Err(EngineError::NotFound);
        }
        let (mut older, mut done) = (Vec::new(), Rollback::default());
        for listing in listings {
            match self.older(&listing).await? {
                (_, Some(from)) => older.push((listing, from)),
                (current, None) => done.without_older.push((listing, current)),
            }
        }
        // Nothing is frozen for nothing.
        if !hold.is_zero() && !older.is_empty() {
            let (until, _) = self.freeze(&globset::escape(name.as_str()), hold).await?;
            done.frozen_until = Some(until);
            // A node that has not heard of it could draw after us, and bring back what is being undone.
            tokio::time::sleep(HEARD_WITHIN).await;
        }
        for (listing, from) in older {
            done.listings.extend(self.rollback_one(listing, from, hold).await?);
        }
        Ok(done)
    }

    /// The current generation, and the newest before it that is there still.
    async fn older(&self, listing: &ListingKey) -> Result<(Option<Generation>, Option<Generation>), EngineError> {
        let (current, kept) = self.store.heads.kept_generations(listing).await?;
        for generation in kept {
            if self.store.pages.describe(listing, generation).await?.is_some() {
                return Ok((current, Some(generation)));
            }
        }
        Ok((current, None))
    }

    async fn rollback_one(
        &self,
        listing: ListingKey,
        from: Generation,
        hold: Duration,
    ) -> Result<Option<RolledBack>, EngineError> {
        let resolved = self.declaration.resolve(listing.name());
        let (policy, hash) = match &resolved {
            Resolved::Defined(defined) => {
                let hash = defined.definition.hash_of(&listing.stored).unwrap_or_default();
                (defined.definition.policy.clone(), hash)
            }
            Resolved::Pushed | Resolved::Unknown => (self.declaration.pushed_policy(), 0),
        };
        // Drawn now: a refresh that began before is superseded.
        let grant = self.store.draws.without_lease(listing.name(), 1).await?;
        let generation = grant.generations.first().copied().ok_or(EngineError::broken_load())?;
        let copied = self
            .store
            .writes
            .copy(&listing, from, generation, grant.as_of, hash, &policy)
            .await?;
        // It was at the end of its life.
        let Some(copied) = copied else { return Ok(None) };
        let total = copied.total();
        let next_due = matches!(resolved, Resolved::Defined(_)).then(|| policy.fresh_for.max(hold));
        match self.store.writes.publish(copied, &policy, None, next_due).await? {
            Published::Moved { announcement, .. } => {
                self.announcer.apply(&announcement, true);
                // The freeze has lengthened the lives of the generation before.
                let life = hold.saturating_add(policy.keep_for);
                self.store
                    .writes
                    .renew(&listing, generation, life, policy.pin_for)
                    .await?;
                tracing::info!(%listing, %from, %generation, items = total, "listing rolled back");
                Ok(Some(RolledBack {
                    listing,
                    from,
                    generation,
                    total,
                }))
            }
            Published::Older { current } => Err(EngineError::Superseded { current }),
            Published::Fenced | Published::Incomplete | Published::Unwanted => Err(EngineError::broken_load()),
        }
    }
}
