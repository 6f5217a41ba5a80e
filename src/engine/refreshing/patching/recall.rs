//! Recall: items leave a listing, and no generation that had them may be read or gone back to any more.

use std::{collections::BTreeSet, time::Duration};

use super::{
    exchange::{Exchanged, StreamExchange},
    publishing::publish_over,
};
use crate::{
    engine::{error::EngineError, refreshing::means::Means},
    listing::{HeadState, ItemId, ListingKey, Policy},
    store::Publication,
};

/// How often it is made again because another has moved the head in between.
const ATTEMPTS_MAX: usize = 32;

/// Recalls items from a listing, if a generation of it that is kept may have any of them. Returns whether one had.
///
/// The new generation is whole: what it would take from a base could lie beside what is recalled.
pub(crate) async fn recall(
    means: &Means,
    listing: &ListingKey,
    policy: &Policy,
    ids: &BTreeSet<ItemId>,
) -> Result<bool, EngineError> {
    let store = &means.store;
    for _ in 0..ATTEMPTS_MAX {
        if !store.pages.has_kept(listing, ids).await? {
            return Ok(false);
        }
        let HeadState::Live(head) = store.heads.read(listing).await? else {
            // Kept generations of a listing that is not there: a tombstone ends them.
            return delete(means, listing, policy).await;
        };
        let drawn = store.draws.without_lease(listing.name(), 1).await?;
        let generation = drawn.generations.first().copied().ok_or(EngineError::broken_load())?;
        let exchange = StreamExchange {
            store,
            policy,
            listing,
            ids,
            rows: &[],
        };
        let finished = match exchange.whole(&head, generation).await? {
            Exchanged::Written(finished) => *finished,
            Exchanged::Unchanged | Exchanged::Impossible => {
                tracing::warn!(%listing, "a recalled item cannot be taken out of a damaged listing, which is deleted: if it was pushed, push it again");
                return delete(means, listing, policy).await;
            }
        };
        let publication = Publication {
            recalls: true,
            ..Publication::patch(policy)
        };
        if publish_over(&head, finished, means, publication).await? {
            return Ok(true);
        }
    }
    Err(EngineError::NothingYet {
        reason: "others kept moving the head",
        retry_after: Duration::from_secs(1),
    })
}

async fn delete(means: &Means, listing: &ListingKey, policy: &Policy) -> Result<bool, EngineError> {
    let deleted = means.store.writes.delete(std::slice::from_ref(listing), policy).await?;
    for (announcement, _) in &deleted {
        means.announcer.apply(announcement, true);
    }
    Ok(true)
}
