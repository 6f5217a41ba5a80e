//! Where an export reads from: the present layout, or an older one.

use std::{ops::Range, time::Duration};

use crate::{
    listing::{Item, ListingKey},
    store::{Exportable, Layout1, PARTITIONS, Store, StoreError},
};

/// Pauses while Redis does not answer, and how many there are at most: a server that restarts gets some seconds.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSES_MAX: u32 = 25;

/// A listing as the index of names has it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub partition: u8,
    pub listing: ListingKey,
}

/// Where listings are read from.
pub(super) enum Source {
    Present(Store),
    Layout1(Layout1),
}

impl Source {
    pub(super) fn partitions(&self) -> u8 {
        match self {
            Self::Present(_) => PARTITIONS,
            Self::Layout1(_) => Layout1::PARTITIONS,
        }
    }

    /// Listing keys of a partition, from after one on; none after the last.
    pub(super) async fn names(&mut self, partition: u8, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        self.patiently(async |source| match source {
            Self::Present(store) => store.exports().names(partition, after).await,
            Self::Layout1(old) => old.names(partition, after).await,
        })
        .await
    }

    /// The generation that is current now.
    pub(super) async fn current(&mut self, place: &Place) -> Result<Option<Exportable>, StoreError> {
        self.patiently(async |source| match source {
            Self::Present(store) => store.exports().current(&place.listing).await,
            Self::Layout1(old) => old.current(place.partition, &place.listing.to_string()).await,
        })
        .await
    }

    /// The items of a range of chunks: fewer where the stream has fewer.
    pub(super) async fn items(
        &mut self,
        place: &Place,
        exportable: &Exportable,
        chunks: Range<u64>,
    ) -> Result<Vec<Vec<Item>>, StoreError> {
        self.patiently(async |source| match source {
            Self::Present(store) => {
                let exports = store.exports();
                exports.items(&place.listing, exportable, chunks.clone()).await
            }
            Self::Layout1(old) => {
                let (listing, generation) = (place.listing.to_string(), exportable.generation);
                old.items((place.partition, &listing), generation, chunks.clone()).await
            }
        })
        .await
    }

    /// Asks again while Redis does not answer.
    async fn patiently<T>(
        &mut self,
        mut ask: impl AsyncFnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..PAUSES_MAX {
            match ask(self).await {
                Err(StoreError::Unavailable { .. }) => tokio::time::sleep(PAUSE).await,
                answer => return answer,
            }
        }
        ask(self).await
    }
}
