//! L1: what this process keeps, and the one way it is told that a head moved.

pub(super) mod chunk_cache;
pub(super) mod head_cache;
pub(crate) mod head_table;
#[cfg(test)]
pub(super) mod interleavings;
pub(super) mod items;
pub(super) mod shape;

use moka::sync::Cache;

use self::{chunk_cache::ChunkCache, head_cache::HeadCache, shape::Shape};
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
    /// Until when pinned generations are kept at least. By listing too: a generation asked for under another listing's
    /// name is not that listing's. And by shape: what a cursor says of a generation is good for that cursor alone.
    pub pins: Cache<(ListingKey, Shape), Timestamp>,
    /// What pinned generations said of themselves, read once of each.
    pub shapes: Cache<(ListingKey, Generation), Shape>,
}

impl L1 {
    /// Nothing yet.
    pub(crate) fn new(config: &L1Config) -> Self {
        let shapes_max = config.shapes_max as u64;
        Self {
            heads: HeadCache::new(config),
            chunks: ChunkCache::new(config.chunks_bytes_max),
            pins: Cache::builder().max_capacity(shapes_max).build(),
            shapes: Cache::builder().max_capacity(shapes_max).build(),
        }
    }

    /// The shape of a listing's generation, where it is known here: from the head, else from what the generation said of itself.
    pub(crate) fn shape_of(&self, key: &ListingKey, generation: Generation) -> Option<Shape> {
        let head = self.heads.last_known(key);
        let current = head.as_ref().and_then(HeadState::live).map(Shape::from);
        current
            .filter(|shape| shape.generation == generation)
            .or_else(|| self.shapes.get(&(key.clone(), generation)))
    }
}
