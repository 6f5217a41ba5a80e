//! Recall: items leave a listing, and no generation that had them may be read or gone back to any more.

use std::collections::BTreeSet;

use super::{
    exchange::{Exchanged, StreamExchange},
    publishing::{ATTEMPTS_MAX, is_moved, moved_too_often, publish_over},
};
use crate::{
    engine::{error::EngineError, refreshing::means::Means},
    listing::{HeadState, ItemId, ListingKey, Policy},
    store::Publication,
};

/// Recalls items from a listing, those of which a generation of it that is kept may have any, and that are recalled still. Returns whether there
/// were any.
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
        let state = store.heads.read(listing).await?;
        // Asked after the head was read: this node may have been held up, and whoever brings an item back moves the head.
        let recalled = store.changes.recalled(listing.name()).await?;
        let ids: BTreeSet<ItemId> = ids.intersection(&recalled).cloned().collect();
        let ids = store.pages.kept_among(listing, &ids).await?;
        if ids.is_empty() {
            return Ok(false);
        }
        let HeadState::Live(head) = state else {
            // Kept generations of a listing that is not there: a tombstone ends them.
            return delete(means, listing, policy).await;
        };
        let generation = means.draw_one(listing.name()).await?;
        let exchange = StreamExchange {
            store,
            policy,
            listing,
            ids: &ids,
            rows: &[],
        };
        let finished = match exchange.whole(&head, generation).await? {
            Exchanged::Written(finished) => *finished,
            // Another has moved the head, and what it named has ended.
            Exchanged::Impossible if is_moved(means, listing, &head).await? => continue,
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
    Err(moved_too_often())
}

async fn delete(means: &Means, listing: &ListingKey, policy: &Policy) -> Result<bool, EngineError> {
    let deleted = means.store.writes.delete(std::slice::from_ref(listing), policy).await?;
    for (announcement, _) in &deleted {
        means.announcer.apply(announcement, true);
    }
    Ok(true)
}
