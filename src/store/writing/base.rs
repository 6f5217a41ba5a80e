//! Bases: the generation that a new one is compared with, chunk by chunk, so that only what differs is written.

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    listing::{ChunkSet, Content, Delta, Generation, Head, ListingKey},
    store::{
        access::Access,
        error::StoreError,
        layout::sidecar_codec::{decode_with_content, read_with_content},
        wire::{commands::Commands, reply},
    },
};

/// A base is given up when one chunk in so many differs: what is written is not much less then, and the base can go.
const CHANGED_SHARE: u64 = 3;

/// A whole generation and what its chunks come to.
#[derive(Clone, Debug)]
pub struct Base {
    pub(super) generation: Generation,
    pub(super) chunk_len: NonZeroU32,
    content: Content,
    /// Whether its sidecar has the sort keys of all items.
    pub(super) has_keys: bool,
}

impl Base {
    /// How many chunks it has.
    pub(super) fn chunks(&self) -> u64 {
        self.content.chunks.len() as u64
    }

    /// Whether a chunk of it comes to this.
    pub(super) fn has(&self, index: u64, chunk: u64) -> bool {
        let at = usize::try_from(index).ok();
        at.and_then(|at| self.content.chunks.get(at)) == Some(&chunk)
    }

    /// Whether a generation of this content is better written as what differs.
    pub fn suits(&self, content: &Content) -> bool {
        let mut changed = ChunkSet::default();
        for (index, chunk) in (0..).zip(&content.chunks) {
            if !self.has(index, *chunk) {
                changed.push(index);
            }
        }
        self.delta(changed, content.chunks.len() as u64).is_some()
    }

    /// The delta of a generation with so many chunks in all, if it is worth one.
    pub(super) fn delta(&self, changed: ChunkSet, chunks: u64) -> Option<Arc<Delta>> {
        if changed.len() * CHANGED_SHARE > chunks {
            return None;
        }
        let delta = Delta {
            base: self.generation,
            base_chunks: self.chunks(),
            changed,
        };
        let fits = delta.changed.to_string().len() <= ChunkSet::TEXT_MAX;
        fits.then(|| Arc::new(delta))
    }

    /// The base for a new generation after a head: the one that the head names, or that one's base. `None` where it is not there, or was
    /// cut into other chunks.
    pub(super) async fn of(
        access: &Access,
        listing: &ListingKey,
        head: &Head,
        chunk_len: NonZeroU32,
    ) -> Result<Option<Self>, StoreError> {
        const OPERATION: &str = "read base";
        if head.total == 0 || head.chunk_len != chunk_len {
            return Ok(None);
        }
        let generation = head.delta.as_ref().map_or(head.generation, |delta| delta.base);
        let (sidecar, stream) = (
            access.keys.sidecar(listing, generation),
            access.keys.stream(listing, generation),
        );
        let mut turn = Commands::default();
        read_with_content(&mut turn, &sidecar);
        turn.call(&[b"XLEN", stream.key().as_bytes()]);
        // Through the writing connection, which is the one that the next step needs anyway.
        let mut replies = access.redis.write(OPERATION, turn).await?.into_iter();
        let read = decode_with_content(replies.next().unwrap_or_default(), &sidecar, generation)?;
        let entries = replies.next().as_ref().and_then(reply::unsigned);
        let base = read.map(|(description, content)| Self {
            generation,
            chunk_len,
            content,
            has_keys: description.has_keys,
        });
        Ok(base.filter(|base| entries == Some(base.chunks())))
    }
}
