//! Verifying: reads back what lies in Redis and compares counts.

use super::{targets::Target, warm_ups::WarmUps};
use crate::{
    engine::error::EngineError,
    listing::{Generation, Head, HeadState, ListingKey},
    store::{Store, StoreError},
};

/// Chunks read back at once.
const CHUNKS_A_TURN: u64 = 50;
/// How often a listing is begun again that was published anew while it was read.
const ATTEMPTS: usize = 5;

/// A listing that does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub listing: ListingKey,
    /// Its head's total; `None` without a head.
    pub promised: Option<u64>,
    /// The items of its stream; `None` if it cannot be read as items.
    pub held: Option<u64>,
    /// The items read from the origin for the current generation.
    pub read: Option<u64>,
}

/// The listings that were found right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Listings.
    pub listings: u64,
    /// Their items.
    pub items: u64,
}

impl WarmUps {
    /// Compares, for each listing of a target, what its head promises with the items that its stream holds, and with what
    /// was read, where `read` tells of the generation that is current.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`].
    pub async fn verify(
        &self,
        target: &Target,
        read: impl Fn(&ListingKey) -> Option<(Generation, u64)>,
    ) -> Result<(Verified, Vec<Difference>), EngineError> {
        let (mut verified, mut differences) = (Verified::default(), Vec::new());
        for listing in target.listings() {
            let (head, held) = count_listing(&self.means.store, &listing).await?;
            let promised = head.as_ref().map(|head| head.total);
            let read = read(&listing)
                .filter(|(generation, _)| head.as_ref().is_some_and(|head| head.generation == *generation));
            let read = read.map(|(_, items)| items);
            match promised {
                Some(items) if held == Some(items) && read.is_none_or(|read| read == items) => {
                    verified.listings += 1;
                    verified.items += items;
                }
                _ => differences.push(Difference {
                    listing,
                    promised,
                    held,
                    read,
                }),
            }
        }
        Ok((verified, differences))
    }
}

/// The head, and the items that its stream holds.
async fn count_listing(store: &Store, listing: &ListingKey) -> Result<(Option<Head>, Option<u64>), EngineError> {
    let mut counted = (None, None);
    for _ in 0..ATTEMPTS {
        let head = match store.heads.read(listing).await {
            Ok(HeadState::Live(head)) => head,
            Ok(_) => return Ok((None, Some(0))),
            Err(StoreError::Corrupt { .. }) => return Ok((None, None)),
            Err(error) => return Err(error.into()),
        };
        let held = count_chunks(store, listing, &head).await?;
        // Published anew meanwhile, it may have been retired under our eyes.
        let is_current = store.heads.read(listing).await?.live().map(|now| now.generation) == Some(head.generation);
        counted = (Some(head), held);
        if is_current {
            break;
        }
    }
    Ok(counted)
}

async fn count_chunks(store: &Store, listing: &ListingKey, head: &Head) -> Result<Option<u64>, EngineError> {
    let (mut items, mut from) = (0, 0);
    // A base may have more chunks than a delta; of a whole generation none is left out.
    let end = if head.delta.is_some() { head.chunks() } else { u64::MAX };
    loop {
        let until = (from + CHUNKS_A_TURN).min(end);
        let chunks = store
            .pages
            .chunks(listing, head.generation, head.delta.as_deref(), from..until)
            .await;
        let chunks = match chunks {
            Ok(chunks) => chunks,
            Err(StoreError::Corrupt { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        items += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        from += chunks.len() as u64;
        if from < until || from == end {
            return Ok(Some(items));
        }
    }
}
