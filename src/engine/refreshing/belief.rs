//! Belief: whether the items that an origin gave may replace those that are kept.
//!
//! Two things end the distrust without anybody's word. A listing of few items may become empty: that is believed when a read
//! `fresh_for` later says the same, on whichever node, so the first one is remembered in Redis with the failure. And where the
//! kept items are about to end with `keep_for`, the new ones are better than none.

use std::time::Duration;

use super::{
    build_error::{BuildError, Unbelieved},
    means::Means,
    request::Request,
    unchanged::KeptStream,
};
use crate::{
    listing::{Refusal, Timestamp},
    store::Store,
};

/// So long before `keep_for` ends new items are believed, so that readers are not without any for the time of a read: at most
/// this, and at most a tenth of it.
const LAST_MOMENT_MAX: Duration = Duration::from_secs(1);

/// The kept listings of a family, and the rules for its next items: a read is judged by both.
pub(crate) struct Standing<'a> {
    store: &'a Store,
    request: &'a Request,
    /// When the read was drawn.
    as_of: Timestamp,
    /// The most items that a stream of it holds, of those that the same definition has shaped.
    pub before: Option<u64>,
    /// When the last of those streams is about to end with `keep_for`. `None` while the name is frozen.
    served_until: Option<Timestamp>,
}

impl<'a> Standing<'a> {
    pub(crate) fn new(means: &'a Means, request: &'a Request, kept: &[KeptStream], as_of: Timestamp) -> Self {
        let heads = || kept.iter().filter_map(KeptStream::recognised);
        let frozen = means.frozen.until(&request.family.name, as_of);
        let keep_for = request.defined.definition.policy.keep_for;
        let served_for = keep_for - LAST_MOMENT_MAX.min(keep_for / 10);
        Self {
            store: &means.store,
            request,
            as_of,
            before: heads().map(|head| head.total).max(),
            served_until: match frozen {
                None => heads().map(|head| head.as_of.after(served_for)).max(),
                Some(_) => None,
            },
        }
    }

    /// Whether this number of items may be published.
    pub(crate) async fn believe(&self, after: u64) -> Result<(), BuildError> {
        let (family, policy) = (&self.request.family, &self.request.defined.definition.policy);
        // Where nothing is kept, anything is better.
        let Some(before) = self.before.filter(|_| !self.request.accepts_any) else {
            return Ok(());
        };
        let Err(refusal) = policy.believes(before, after) else {
            return Ok(());
        };
        if self.served_until.is_some_and(|until| self.as_of >= until) {
            tracing::warn!(listing = %family, %refusal, "refused items are published: the items before end with keep_for");
            return Ok(());
        }
        let mut believed_at = self.served_until;
        let mut empty_since = None;
        if matches!(refusal, Refusal::Emptied { .. }) {
            let failure = self.store.failures.last(family).await?;
            let definition = self.request.defined.definition.hash_of_all();
            // An empty read of another definition may be another query's mistake.
            let failure = failure.filter(|failure| failure.definition.is_none_or(|of| of == definition));
            let known = failure.and_then(|failure| failure.empty_since);
            // One that lies ahead is from before the clock stepped back.
            let since = known.filter(|since| *since <= self.as_of).unwrap_or(self.as_of);
            let confirmed_at = since.after(policy.fresh_for);
            if self.as_of >= confirmed_at {
                tracing::info!(listing = %family, before, "an empty listing is believed: a second read found no items either");
                return Ok(());
            }
            empty_since = Some(since);
            believed_at = Some(believed_at.map_or(confirmed_at, |until| until.min(confirmed_at)));
        }
        Err(BuildError::Refused(Box::new(Unbelieved {
            refusal,
            name: family.name.clone(),
            fresh_for: policy.fresh_for,
            empty_since,
            believed_at,
        })))
    }
}
