//! Unchanged items need no new generation: the old one lives on, and with it its entity tags,
//! its links and the copies in caches downstream.
//!
//! It is known by the version of the origin's data, without reading any items, or by its content, once they were read. One
//! that another definition has shaped is never the same, nor one whose stream is not whole. A caller that demands a generation
//! drawn after now gets one.

use std::{sync::Arc, time::Duration};

use super::{
    build_error::BuildError,
    means::Means,
    request::{Refreshed, Request, Wants},
};
use crate::{
    listing::{DataVersion, Head, ListingKey, Timestamp, definition::StreamOrder},
    store::{Confirmation, Confirmed, Grant, Kept, Store},
};

/// The kept state of one stream.
pub(crate) struct KeptStream {
    listing: ListingKey,
    kept: Kept,
    /// Whether it was shaped by the same definition, and is whole.
    is_same_shape: bool,
}

impl KeptStream {
    /// The kept state of the streams.
    pub(crate) async fn read(
        store: &Store,
        request: &Request,
        streams: &[StreamOrder<'_>],
    ) -> Result<Vec<Self>, BuildError> {
        let listings: Vec<ListingKey> = streams
            .iter()
            .map(|stream| request.family.listing(stream.stored()))
            .collect();
        let kept = store.writes.kept(&listings).await?;
        let mut streams = Vec::with_capacity(kept.len());
        for (listing, kept) in listings.into_iter().zip(kept) {
            let hash = request.defined.definition.hash_of(&listing.stored);
            let is_same_shape = match kept.state.live() {
                Some(head) if Some(head.definition) == hash => store.pages.is_whole(&listing, head).await?,
                _ => false,
            };
            streams.push(Self {
                listing,
                kept,
                is_same_shape,
            });
        }
        Ok(streams)
    }

    /// The streams left to refresh: for a warm-up the streams that were not read since it began, so that one which was killed
    /// between two publishes does no listing twice; all otherwise.
    pub(crate) fn left<'a>(
        request: &Request,
        kept: Vec<Self>,
        streams: &[StreamOrder<'a>],
        now: Timestamp,
    ) -> (Vec<Self>, Vec<StreamOrder<'a>>) {
        let is_done = |kept: &Self| match request.wants {
            Wants::Since(since) => kept.recognised().is_some_and(|head| head.is_read_since(since, now)),
            Wants::Fresh | Wants::Later(_) | Wants::Due(_) | Wants::Asked | Wants::Anew => false,
        };
        let left = kept.into_iter().zip(streams.iter().copied());
        left.filter(|(kept, _)| !is_done(kept)).unzip()
    }

    /// Its head, under any definition.
    pub(crate) fn head(&self) -> Option<&Head> {
        self.kept.state.live()
    }

    /// Its head if it counts: a head of another definition is not fresh, nor is one that has lost its stream, and nothing
    /// can shrink from it.
    pub(crate) fn recognised(&self) -> Option<&Head> {
        self.head().filter(|_| self.is_same_shape)
    }
}

/// Lets generations live on.
pub(crate) struct Confirming<'a> {
    pub means: &'a Means,
    pub request: &'a Request,
    pub grant: &'a Grant,
    /// Where the confirmation sets it.
    pub next_due: Option<Duration>,
    /// Whether the origin's versions tell of every change.
    pub is_certain: bool,
    /// When something of it begins or ends next.
    pub next_change: Option<Timestamp>,
}

impl Confirming<'_> {
    /// The content of a stream's generation, if it may live on.
    pub(crate) fn content(&self, kept: &KeptStream) -> Option<u128> {
        kept.recognised()?;
        kept.kept.content.filter(|_| self.request.wants != Wants::Anew)
    }

    /// The version of the origin's data that all streams were read from, if they may live on by that alone. A caller that asks
    /// for a refresh has seen a change, which the version may not tell: one by `max(updated_at)` tells of no deletion.
    pub(crate) fn version<'k>(&self, kept: &'k [KeptStream]) -> Option<&'k DataVersion> {
        let version = kept.first()?.kept.version.as_ref()?;
        let is_asked_for = self.request.wants.is_demanded() || self.grant.asked.is_some();
        let is_same = |kept: &KeptStream| self.is_trusted(kept) && kept.kept.version.as_ref() == Some(version);
        (!is_asked_for && kept.iter().all(is_same)).then_some(version)
    }

    /// Whether the items were read not too long ago.
    fn is_trusted(&self, kept: &KeptStream) -> bool {
        kept.recognised().is_some_and(|head| {
            // No row is written at such an instant, so no version tells of it.
            if head.is_overtaken(self.grant.as_of) {
                return false;
            }
            let drawn_at = Timestamp(head.generation.id / 1000);
            let read_ago = self.grant.as_of.since(kept.kept.read_at.unwrap_or(drawn_at));
            self.is_certain || self.request.defined.definition.policy.trusts_version(read_ago)
        })
    }

    /// Lets all streams live on; `None` where one is gone meanwhile.
    pub(crate) async fn confirm_all(
        &self,
        kept: &[KeptStream],
        version: Option<&DataVersion>,
    ) -> Result<Option<Arc<[Refreshed]>>, BuildError> {
        let mut refreshed = Vec::with_capacity(kept.len());
        for kept in kept {
            match self.confirm(kept, version, false).await? {
                Some(one) => refreshed.push(one),
                None => return Ok(None),
            }
        }
        Ok(Some(refreshed.into()))
    }

    /// Lets a generation live on, as fresh as one read now, which it was if `is_read`; `None` where it is gone meanwhile.
    pub(crate) async fn confirm(
        &self,
        kept: &KeptStream,
        version: Option<&DataVersion>,
        is_read: bool,
    ) -> Result<Option<Refreshed>, BuildError> {
        let Self {
            means, request, grant, ..
        } = self;
        let (Some(head), Some(lease)) = (kept.recognised(), &grant.lease) else {
            return Ok(None);
        };
        let confirmation = Confirmation {
            listing: &kept.listing,
            head,
            as_of: grant.as_of,
            version,
            is_read,
            policy: &request.defined.definition.policy,
            lease,
            next_due: self.next_due.filter(|_| !request.is_nothing(head.total)),
        };
        // First: else nothing would bound the lives of pages that are fresh again.
        if head.next_change != self.next_change {
            let announcement = means
                .store
                .instants()
                .tell(&kept.listing, head, self.next_change)
                .await?;
            announcement
                .iter()
                .for_each(|announcement| means.announcer.apply(announcement, true));
        }
        match means.store.writes.confirm(&confirmation).await? {
            Confirmed::Fenced => Err(BuildError::LeaseLost),
            Confirmed::Gone => Ok(None),
            Confirmed::Yes => {
                // As the script decides.
                let as_of = match head.as_of.is_ahead_of(grant.as_of) {
                    true => grant.as_of,
                    false => grant.as_of.max(head.as_of),
                };
                means.announcer.confirm(
                    &kept.listing,
                    Head {
                        as_of,
                        next_change: self.next_change,
                        ..head.clone()
                    },
                );
                Ok(Some(Refreshed {
                    listing: kept.listing.clone(),
                    generation: head.generation,
                    total: head.total,
                }))
            }
        }
    }
}
