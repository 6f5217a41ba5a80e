//! Publishing a generation in which some items were exchanged.

use std::time::Duration;

use crate::{
    engine::{error::EngineError, refreshing::means::Means},
    listing::{Head, HeadState, ListingKey},
    store::{FinishedGeneration, Publication, Published},
};

/// How often a removal is made again because another has moved the head in between.
pub(super) const ATTEMPTS_MAX: usize = 32;

/// The error after the last attempt.
pub(super) fn moved_too_often() -> EngineError {
    EngineError::NothingYet {
        reason: "others kept moving the head",
        retry_after: Duration::from_secs(1),
    }
}

/// Whether another generation is current than a head names: what it named may have ended meanwhile, and is no damage.
pub(super) async fn is_moved(means: &Means, listing: &ListingKey, head: &Head) -> Result<bool, EngineError> {
    let now = means.store.heads.read(listing).await?;
    Ok(now.live().is_none_or(|now| now.generation != head.generation))
}

/// Whether what is current is the head that a generation was made from.
pub(crate) fn is_base(base: &Head, current: &HeadState) -> bool {
    current
        .live()
        .is_some_and(|current| current.generation == base.generation)
}

/// Publishes a generation over the head that it was made from, and over no other. Returns whether it is current: if not, another has moved
/// the head, and the caller makes it again.
pub(super) async fn publish_over(
    base: &Head,
    finished: FinishedGeneration,
    means: &Means,
    publication: Publication<'_>,
) -> Result<bool, EngineError> {
    let is_wanted = |current: &HeadState| is_base(base, current);
    match means
        .store
        .writes
        .publish_over(finished, publication, is_wanted)
        .await?
    {
        Published::Moved { announcement, .. } => {
            means.announcer.apply(&announcement, true);
            Ok(true)
        }
        Published::Unwanted | Published::Older { .. } | Published::Incomplete => Ok(false),
        Published::Fenced | Published::Overtaken(_) => Err(EngineError::broken_load()),
    }
}
