//! Lookup: the listings that hold an item, with its places in them.

use std::time::Duration;

use super::{recording::Changes, surveys::Surveys};
use crate::{
    engine::error::EngineError,
    listing::{
        Family, Generation, Head, HeadState, ItemId, ListingKey,
        definition::{Defined, Resolved},
        sidecar::IdHash,
    },
};

/// A place of an item in a listing.
#[derive(Clone, Debug)]
pub struct ItemPlace {
    /// The listing, in one stored order.
    pub listing: ListingKey,
    /// Its current generation.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
    /// Counted from 0.
    pub position: u64,
    /// The item before it.
    pub previous: Option<ItemId>,
    /// The item behind it.
    pub next: Option<ItemId>,
}

/// The places of an item.
#[derive(Clone, Debug, Default)]
pub struct ItemPlaces {
    /// By listing, then by position.
    pub places: Vec<ItemPlace>,
    /// Whether there may be more.
    pub is_truncated: bool,
}

impl Changes {
    /// The most places that are told.
    pub const PLACES_MAX: usize = 100;

    /// The places of an item in all listings that are kept.
    ///
    /// # Errors
    /// Redis's own; [`EngineError::Overloaded`] where too many ask at once.
    pub async fn places_of(&self, id: &ItemId) -> Result<ItemPlaces, EngineError> {
        let surveys: &Surveys = &self.surveys;
        let _place = surveys.lookups.try_acquire().map_err(|_| EngineError::Overloaded {
            retry_after: Duration::from_secs(1),
        })?;
        let mut families: Vec<Family> = {
            let survey = surveys.heard().await?;
            let holders = survey.holdings.holders(std::slice::from_ref(id));
            holders.into_keys().collect()
        };
        families.sort();
        let mut found = ItemPlaces::default();
        for family in families {
            for listing in self.streams_of(&family).await? {
                if found.places.len() >= Self::PLACES_MAX {
                    found.is_truncated = true;
                    return Ok(found);
                }
                self.find_in(&listing, id, &mut found).await?;
            }
        }
        found.is_truncated |= found.places.len() > Self::PLACES_MAX;
        found.places.truncate(Self::PLACES_MAX);
        Ok(found)
    }

    async fn streams_of(&self, family: &Family) -> Result<Vec<ListingKey>, EngineError> {
        Ok(match self.means.declaration.resolve(&family.name) {
            Resolved::Defined(Defined { definition, .. }) => definition
                .streams()
                .map(|stream| family.listing(stream.stored()))
                .collect(),
            Resolved::Pushed(_) => {
                let kept = self.means.store.names.listings_of(&family.name).await?;
                kept.into_iter().filter(|listing| listing.family == *family).collect()
            }
            Resolved::Unknown => Vec::new(),
        })
    }

    async fn find_in(&self, listing: &ListingKey, id: &ItemId, found: &mut ItemPlaces) -> Result<(), EngineError> {
        let store = &self.means.store;
        let HeadState::Live(head) = store.heads.read(listing).await? else {
            return Ok(());
        };
        let Some(columns) = store.pages.columns(listing, &head, false).await? else {
            return Ok(());
        };
        let hash = IdHash::of(id.as_str());
        let places = (0..).zip(columns.ids()).filter(|(_, of)| **of == hash);
        for (position, _) in places.take(Self::PLACES_MAX) {
            found.places.extend(self.place(listing, &head, id, position).await?);
        }
        Ok(())
    }

    /// The place at a position; `None` where another id has the same hash.
    async fn place(
        &self,
        listing: &ListingKey,
        head: &Head,
        id: &ItemId,
        position: u64,
    ) -> Result<Option<ItemPlace>, EngineError> {
        let chunk_len = u64::from(head.chunk_len.get());
        let (first, last) = (
            position.saturating_sub(1),
            (position + 1).min(head.total.saturating_sub(1)),
        );
        let chunks = first / chunk_len..last / chunk_len + 1;
        let (generation, delta) = (head.generation, head.delta.as_deref());
        let read = self
            .means
            .store
            .pages
            .items(listing, generation, delta, std::slice::from_ref(&chunks))
            .await?;
        let items: Vec<ItemId> = read.into_iter().flatten().flatten().map(|item| item.id).collect();
        let at = |position: u64| items.get(usize::try_from(position - chunks.start * chunk_len).ok()?);
        Ok((at(position) == Some(id)).then(|| ItemPlace {
            listing: listing.clone(),
            generation: head.generation,
            total: head.total,
            position,
            previous: (first < position).then(|| at(first).cloned()).flatten(),
            next: (last > position).then(|| at(last).cloned()).flatten(),
        }))
    }
}
