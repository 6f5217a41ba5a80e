//! Removal: items that are gone leave a listing at once, whoever refreshes it meanwhile.

use std::collections::BTreeSet;

use super::{
    exchange::{Exchanged, StreamExchange},
    publishing::{ATTEMPTS_MAX, is_moved, moved_too_often, publish_over},
};
use crate::{
    engine::{error::EngineError, refreshing::means::Means},
    listing::{ChangeOf, Family, HeadState, ItemId, ListingKey, Policy},
    store::{ChangesSince, FinishedGeneration, Publication},
};

/// Removes items from a listing, if no change that was recorded after `recorded` says that they are there again: this node may have been held up.
/// Returns whether it had any of them; `false` too where it is not kept.
pub(crate) async fn remove(
    means: &Means,
    listing: &ListingKey,
    policy: &Policy,
    ids: &BTreeSet<ItemId>,
    recorded: u64,
) -> Result<bool, EngineError> {
    let (store, mut ids) = (&means.store, ids.clone());
    for _ in 0..ATTEMPTS_MAX {
        let HeadState::Live(head) = store.heads.read(listing).await? else {
            return Ok(false);
        };
        // Asked after the head was read: whoever brings an item back moves that.
        let since = store.changes.since(listing.name(), recorded).await?;
        remove_returned(&mut ids, &since, &listing.family);
        let generation = means.draw_one(listing.name()).await?;
        let exchange = StreamExchange {
            store,
            policy,
            listing,
            ids: &ids,
            rows: &[],
        };
        let finished = match exchange.over(&head, generation).await? {
            Exchanged::Unchanged => return Ok(false),
            Exchanged::Impossible if is_moved(means, listing, &head).await? => continue,
            // A listing whose columns are lost is read anew, and follows the change then.
            Exchanged::Impossible => {
                if head.definition == 0 {
                    tracing::warn!(%listing, "an item that is gone cannot be taken out of a damaged listing: push it again");
                }
                store.writes.distrust(listing, &head).await?;
                store.due.bring_forward(std::iter::once(&listing.family)).await?;
                return Ok(false);
            }
            Exchanged::Written(finished) => *finished,
        };
        if publish_over(&head, finished, means, Publication::patch(policy)).await? {
            return Ok(true);
        }
    }
    Err(moved_too_often())
}

/// The same generation without the items that are gone, before anybody sees it; `None` where they cannot be told from others.
pub(crate) async fn without_gone(
    means: &Means,
    finished: FinishedGeneration,
    policy: &Policy,
) -> Result<Option<FinishedGeneration>, EngineError> {
    let (store, listing) = (&means.store, finished.key().clone());
    let since = store.changes.since(listing.name(), finished.generation().id).await?;
    let gone: BTreeSet<ItemId> = since.gone.into_iter().collect();
    if gone.is_empty() {
        return Ok(Some(finished));
    }
    let generation = means.draw_one(listing.name()).await?;
    let exchange = StreamExchange {
        store,
        policy,
        listing: &listing,
        ids: &gone,
        rows: &[],
    };
    Ok(match exchange.over_finished(&finished, generation, false).await? {
        Exchanged::Unchanged => Some(finished),
        Exchanged::Impossible => None,
        Exchanged::Written(newer) => {
            let newer = newer.undoing_as(&finished);
            finished.underlie();
            Some(newer)
        }
    })
}

/// Takes items out of those that are to be removed, of which a change says since that they are there.
pub(crate) fn remove_returned(gone: &mut BTreeSet<ItemId>, since: &ChangesSince, family: &Family) {
    for (_, change) in since.changes.iter().filter(|(_, change)| change.may_concern(family)) {
        if let ChangeOf::Item(id, state) = &change.of
            && state.is_there()
        {
            gone.remove(id);
        }
    }
}
