//! L1: heads, chunks, fragments and columns that this process keeps.
//!
//! - [`head_cache`]: heads, behind locks that are held for a look. [`head_table`] has the rules, and is pure.
//! - [`chunk_cache`]: chunks and fragments, bounded in bytes together. Chunks that a thread found lately it finds again without a look
//!   into the shared table.
//! - [`filter_cache`]: columns and matches of filters.
//! - [`items`]: a page's items, plain or packed. [`shape`]: what must be known of a generation to cut a page out of it.
//!
//! What must hold:
//!
//! - A head lives `l1.ttl` without an announcement. "No such listing" is kept as long, in a bounded table of its own, so that a scanner of
//!   random names evicts no head.
//! - Announcement and load commute: the newer head stays. An invalidation during a load must not leave the old head behind.
//! - Chunks and fragments need no invalidation: a generation never changes.
//! - A chunk is known by the generation in whose stream it lies: what has not changed stays warm. A fragment is known by its run and the
//!   run before it, which is its dictionary.

pub(super) mod chunk_cache;
pub(super) mod filter_cache;
pub(super) mod head_cache;
pub(crate) mod head_table;
#[cfg(test)]
pub(super) mod interleavings;
pub(super) mod items;
pub(super) mod shape;

use moka::sync::Cache;

use self::{
    chunk_cache::ChunkCache,
    filter_cache::FilterCache,
    head_cache::HeadCache,
    shape::{Layers, Shape},
};
use crate::{
    config::L1Config,
    listing::{Generation, HeadState, ListingKey, Timestamp},
};

/// Heads, chunks, and the shapes of pinned generations.
pub(crate) struct L1 {
    /// Which generation is current.
    pub heads: HeadCache,
    /// The items.
    pub chunks: ChunkCache,
    /// What filters are answered by.
    pub filters: FilterCache,
    /// Until when pinned generations are kept at least. By listing too: a generation asked for under another listing's
    /// name is not that listing's. And by shape: what a cursor says of a generation is good for that cursor alone.
    pub pins: Cache<(ListingKey, Shape), Timestamp>,
    /// What pinned generations said of themselves, read once of each.
    pub layers: Cache<(ListingKey, Generation), Layers>,
}

impl L1 {
    /// Nothing yet.
    pub(crate) fn new(config: &L1Config) -> Self {
        let shapes_max = config.shapes_max as u64;
        Self {
            heads: HeadCache::new(config),
            chunks: ChunkCache::new(config.chunks_bytes_max),
            filters: FilterCache::new(config.filters_bytes_max),
            pins: Cache::builder().max_capacity(shapes_max).build(),
            layers: Cache::builder().max_capacity(shapes_max).build(),
        }
    }

    /// A listing's generation, where it is known here: from the head, else from what the generation said of itself.
    pub(crate) fn layers_of(&self, key: &ListingKey, generation: Generation) -> Option<Layers> {
        let head = self.heads.last_known(key);
        let current = head.as_ref().and_then(HeadState::live).map(Layers::from);
        current
            .filter(|current| current.shape.generation == generation)
            .or_else(|| self.layers.get(&(key.clone(), generation)))
    }
}
