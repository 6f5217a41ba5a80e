//! Asking for the next instants of a family, and writing them.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::timeout;

use crate::{
    engine::{error::Chain, refreshing::means::Means},
    listing::{Family, ItemId, ListingKey, NextChanges, Timestamp, definition::Defined},
    origin::{Origin, OriginError},
    store::{NextChangeIs, StoreError},
};

/// The next changes outlive the heads that tell of them by so long.
const LIFE_MORE: Duration = Duration::from_secs(60);

/// Asks about one family.
pub(crate) struct Asking<'a> {
    pub means: &'a Means,
    pub origin: &'a dyn Origin,
    pub defined: &'a Defined,
    pub family: &'a Family,
}

/// The answer: `None` where the definition has no query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered(Option<NextChanges>);

impl Answered {
    /// The first instant.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.0.as_ref().and_then(NextChanges::first)
    }

    /// For a publish.
    pub(crate) fn next_change(&self) -> NextChangeIs {
        NextChangeIs::Told(self.first())
    }
}

impl Asking<'_> {
    fn is_asked(&self) -> bool {
        self.defined.definition.next_change_query.is_some()
    }

    /// The instants after the draw of a read.
    pub(crate) async fn ask(&self, drawn: Timestamp) -> Result<Answered, OriginError> {
        if !self.is_asked() {
            return Ok(Answered::default());
        }
        let asking = self.origin.next_changes(self.defined, &self.family.choices);
        let rows = match self.defined.definition.policy.origin_timeout {
            Some(longest) => timeout(longest, asking).await.unwrap_or(Err(OriginError::TimedOut)),
            None => asking.await,
        };
        Ok(Answered(Some(NextChanges::of(rows?, drawn))))
    }

    /// The items whose instants have come; `None` where anything may have changed.
    pub(crate) async fn passed(&self, drawn: Timestamp) -> Result<(NextChanges, Option<BTreeSet<ItemId>>), StoreError> {
        if !self.is_asked() {
            return Ok((NextChanges::default(), Some(BTreeSet::new())));
        }
        let known = self.means.store.instants().of(self.family).await?.unwrap_or_default();
        let ids = known.passed_ids(drawn);
        Ok((known, ids))
    }

    /// The same for a patch, which knows what was to come before.
    pub(crate) async fn ask_again(&self, known: &NextChanges, drawn: Timestamp) -> Result<Answered, OriginError> {
        let Answered(next) = self.ask(drawn).await?;
        Ok(Answered(next.map(|next| next.with_recent(known, drawn))))
    }

    /// Before a head tells of it.
    pub(crate) async fn expect(&self, answered: &Answered) -> Result<(), StoreError> {
        self.means.store.instants().expect(self.family, answered.first()).await
    }

    /// After all heads tell of it. Where it cannot be written, what was known before stays: then an instant comes once more.
    pub(crate) async fn write(&self, answered: &Answered) {
        let Answered(Some(next)) = answered else { return };
        let life = self.defined.definition.policy.keep_for.saturating_add(LIFE_MORE);
        if let Err(error) = self.means.store.instants().write(self.family, next, life).await {
            tracing::debug!(listing = %self.family, error = %Chain(&error), "next changes were not written");
        }
    }

    /// Has heads tell of it that stay as they are otherwise.
    pub(crate) async fn tell(&self, listings: &[ListingKey], answered: &Answered) -> Result<(), StoreError> {
        if !self.is_asked() {
            return Ok(());
        }
        let (store, next) = (&self.means.store, answered.first());
        let kept = store.writes.kept(listings).await?;
        for (listing, kept) in listings.iter().zip(&kept) {
            if let Some(head) = kept.state.live().filter(|head| head.next_change != next)
                && let Some(announcement) = store.instants().tell(listing, head, next).await?
            {
                self.means.announcer.apply(&announcement, true);
            }
        }
        Ok(())
    }
}
