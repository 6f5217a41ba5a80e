//! The survey: reads which items listings hold, and keeps that as new as their heads.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::holdings::Holdings;
use crate::{
    engine::{declared::Declared, error::EngineError, refreshing::means::Means},
    listing::{Generation, HeadState, ListingKey, definition::Resolved, sidecar::IdHash},
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
        let mut moved: Vec<_> = moved.heads.into_iter().collect();
        moved.retain(|(listing, head)| self.holdings.is_behind(listing, head));
        self.read(moved).await
    }

    async fn read(&mut self, listings: Vec<(ListingKey, HeadState)>) -> Result<(), EngineError> {
        let (telling, others): (Vec<_>, Vec<_>) = listings
            .into_iter()
            .partition(|(listing, _)| self.telling(listing).as_ref() == Some(listing));
        let means = self.means.clone();
        let mut reads = stream::iter(telling.into_iter().map(|(listing, head)| {
            let means = means.clone();
            async move {
                let HeadState::Live(head) = head else {
                    let kept = means.store.names.listings_of(listing.name()).await?;
                    let is_kept = kept.iter().any(|other| other.family == listing.family);
                    return Ok::<_, EngineError>((listing, Read::Lost { is_kept }));
                };
                let columns = means.store.pages.columns(&listing, &head, false).await?;
                let ids: Option<Vec<IdHash>> = columns.map(|columns| columns.ids().to_vec());
                Ok((listing, Read::Ids(head.generation, ids)))
            }
        }))
        .buffer_unordered(AT_ONCE);
        while let Some(read) = reads.next().await {
            match read? {
                (listing, Read::Ids(generation, ids)) => self.holdings.set(&listing, generation, ids),
                (listing, Read::Lost { is_kept: true }) => self.holdings.set_unknown(&listing),
                (listing, Read::Lost { is_kept: false }) => self.holdings.remove(&listing),
            }
        }
        drop(reads);
        for (listing, head) in others {
            let telling = self.telling(&listing).filter(|_| head.live().is_some());
            if let Some(telling) = telling.filter(|telling| !self.holdings.knows(telling)) {
                self.holdings.set_unknown(&telling);
            }
        }
        Ok(())
    }

    /// The listing that tells what a listing's family holds: all sorts of a definition hold the same, and those of a pushed name may not.
    fn telling(&self, listing: &ListingKey) -> Option<ListingKey> {
        match self.means.declaration.resolve(listing.name()) {
            Resolved::Unknown => None,
            Resolved::Pushed(_) => Some(listing.clone()),
            Resolved::Defined(defined) => {
                let definition = &defined.definition;
                let first = definition.streams().next().map(|stream| stream.stored());
                let first = first.filter(|_| definition.declares(&listing.family.choices))?;
                Some(listing.family.listing(first))
            }
        }
    }
}

/// The state of a listing that tells what its family holds.
enum Read {
    /// `None`: any items.
    Ids(Generation, Option<Vec<IdHash>>),
    /// Whether other sorts of the family are kept.
    Lost { is_kept: bool },
}

impl Drop for Survey {
    fn drop(&mut self) {
        self.means.announcer.moves.end();
    }
}
