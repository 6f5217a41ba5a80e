//! L1 chunks: by generation and index, bounded in bytes. They need no invalidation, for a generation never changes.

use std::{ops::Range, sync::Arc};

use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::shape::Shape;
use crate::listing::{Chunk, Generation, WindowPlan};

/// Chunks of any listing, ready for the wire. A generation's nonce makes it unique among all listings.
#[derive(Clone)]
pub struct ChunkCache {
    chunks: Cache<(Generation, u64), Arc<Chunk>, RandomState>,
}

/// What the bookkeeping of one entry costs besides the chunk itself, roughly.
const ENTRY_BYTES: usize = 160;

/// A page's chunks as far as they are here, in the order of their indexes.
pub struct Found {
    /// `None` for those that are not here.
    pub chunks: Vec<Option<Arc<Chunk>>>,
    /// The smallest range that covers those missing.
    pub missing: Option<Range<u64>>,
}

impl ChunkCache {
    /// An empty cache of at most so many bytes.
    pub fn new(bytes_max: u64) -> Self {
        let weigh = |_: &(Generation, u64), chunk: &Arc<Chunk>| {
            u32::try_from(chunk.size_bytes() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self {
            chunks: Cache::builder()
                .max_capacity(bytes_max)
                .weigher(weigh)
                .build_with_hasher(RandomState::default()),
        }
    }

    /// The chunks of a plan. Those that were read under another shape of the same generation, as a damaged head or a made-up
    /// cursor gives it, are not what this one promises: they count as missing.
    pub fn find(&self, shape: Shape, plan: &WindowPlan) -> Found {
        let range = plan.chunks();
        let chunk = |at| {
            let chunk = self.chunks.get(&(shape.generation, at))?;
            shape.fits(at, &chunk).then_some(chunk)
        };
        let chunks: Vec<_> = range.clone().map(chunk).collect();
        let first = chunks.iter().position(Option::is_none);
        let last = chunks.iter().rposition(Option::is_none);
        let missing = first
            .zip(last)
            .map(|(first, last)| range.start + first as u64..range.start + last as u64 + 1);
        Found { chunks, missing }
    }

    /// Keeps a run of chunks.
    pub fn insert(&self, generation: Generation, first: u64, chunks: &[Arc<Chunk>]) {
        for (at, chunk) in (first..).zip(chunks) {
            self.chunks.insert((generation, at), chunk.clone());
        }
    }

    /// What the chunks take in memory, in bytes; lags a little behind.
    pub fn bytes(&self) -> u64 {
        self.chunks.weighted_size()
    }
}
