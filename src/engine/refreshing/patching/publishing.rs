//! Publishing a generation in which some items were exchanged.

use crate::{
    engine::{error::EngineError, refreshing::means::Means},
    listing::{Head, HeadState},
    store::{FinishedGeneration, Publication, Published},
};

/// Publishes a generation over the head that it was made from, and over no other. Returns whether it is current: if not, another has moved
/// the head, and the caller makes it again.
pub(super) async fn publish_over(
    base: &Head,
    finished: FinishedGeneration,
    means: &Means,
    publication: Publication<'_>,
) -> Result<bool, EngineError> {
    let is_base = |state: &HeadState| {
        state
            .live()
            .is_some_and(|current| current.generation == base.generation)
    };
    match means.store.writes.publish_over(finished, publication, is_base).await? {
        Published::Moved { announcement, .. } => {
            means.announcer.apply(&announcement, true);
            Ok(true)
        }
        Published::Unwanted | Published::Older { .. } | Published::Incomplete => Ok(false),
        Published::Fenced | Published::Overtaken(_) => Err(EngineError::broken_load()),
    }
}
