//! The survey: reads which items listings hold, and keeps that as new as their heads.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::holdings::Holdings;
use crate::{
    engine::{declared::Declared, error::EngineError, refreshing::means::Means},
    listing::{HeadState, ListingKey, definition::Resolved, sidecar::IdHash},
};

/// Listings that are read at once.
const AT_ONCE: usize = 16;
/// Listings that are looked at together.
const LISTINGS_A_TURN: usize = 500;

/// The holdings of all listings that are kept.
pub(crate) struct Survey {
    means: Arc<Means>,
    /// The declaration by which it began.
    declared: Arc<Declared>,
    pub holdings: Holdings,
}

impl Survey {
    /// Whether it goes by what is declared now: with another declaration other listings tell what families hold.
    pub(crate) fn is_of_today(&self) -> bool {
        Arc::ptr_eq(&self.declared, &self.means.declaration.take())
    }

    /// Reads all of them. From before it, moves are collected.
    pub(crate) async fn begin(means: Arc<Means>) -> Result<Self, EngineError> {
        means.announcer.moves.begin();
        let mut survey = Self {
            declared: means.declaration.take(),
            means,
            holdings: Holdings::default(),
        };
        survey.read_all().await?;
        Ok(survey)
    }

    async fn read_all(&mut self) -> Result<(), EngineError> {
        self.holdings = Holdings::default();
        let mut after: Option<ListingKey> = None;
        loop {
            let listings = self.means.store.names.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            let Some((last, _)) = listings.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            self.read(listings).await?;
        }
    }

    /// Follows the heads that moved since.
    pub(crate) async fn catch_up(&mut self) -> Result<(), EngineError> {
        let moved = self.means.announcer.moves.take();
        if moved.any {
            return self.read_all().await;
        }
        let known = |(listing, head): &(ListingKey, HeadState)| {
            head.live().map(|head| head.generation) != self.holdings.generation(listing)
        };
        let moved: Vec<_> = moved.heads.into_iter().filter(known).collect();
        self.read(moved).await
    }

    async fn read(&mut self, listings: Vec<(ListingKey, HeadState)>) -> Result<(), EngineError> {
        let listings = listings.into_iter().filter(|(listing, _)| self.tells(listing));
        let (means, listings): (_, Vec<_>) = (self.means.clone(), listings.collect());
        let mut reads = stream::iter(listings.into_iter().map(|(listing, head)| {
            let means = means.clone();
            async move {
                let HeadState::Live(head) = head else {
                    return Ok::<_, EngineError>((listing, None));
                };
                let columns = means.store.pages.columns(&listing, &head, false).await?;
                let ids: Option<Vec<IdHash>> = columns.map(|columns| columns.ids().to_vec());
                Ok((listing, Some((head.generation, ids))))
            }
        }))
        .buffer_unordered(AT_ONCE);
        while let Some(read) = reads.next().await {
            match read? {
                (listing, Some((generation, ids))) => self.holdings.set(&listing, generation, ids),
                (listing, None) => self.holdings.remove(&listing),
            }
        }
        Ok(())
    }

    /// Whether a listing is the one that tells what its family holds: all sorts of a definition hold the same, and those of a pushed name may not.
    fn tells(&self, listing: &ListingKey) -> bool {
        match self.means.declaration.resolve(listing.name()) {
            Resolved::Unknown => false,
            Resolved::Pushed(_) => true,
            Resolved::Defined(defined) => {
                let first = defined.definition.streams().next().map(|stream| stream.stored());
                first.as_ref() == Some(&listing.stored) && defined.definition.declares(&listing.family.choices)
            }
        }
    }
}

impl Drop for Survey {
    fn drop(&mut self) {
        self.means.announcer.moves.end();
    }
}
