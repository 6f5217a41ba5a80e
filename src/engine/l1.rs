//! L1: what this process keeps, and the one way it is told that a head moved.

use moka::sync::Cache;

use super::{chunk_cache::ChunkCache, head_cache::HeadCache, shape::Shape};
use crate::{
    config::L1Config,
    listing::{Generation, ListingKey, Timestamp},
};

/// How many pinned generations' shapes are remembered.
const PINS_MAX: u64 = 100_000;

/// Heads, chunks, and the shapes of pinned generations.
pub struct L1 {
    /// Which generation is current.
    pub heads: HeadCache,
    /// The items.
    pub chunks: ChunkCache,
    /// What pinned generations said of themselves, and until when they are kept at least. By listing too: a generation
    /// asked for under another listing's name is not that listing's.
    pub pins: Cache<(ListingKey, Generation), (Shape, Timestamp)>,
}

impl L1 {
    /// Nothing yet.
    pub fn new(config: &L1Config) -> Self {
        Self {
            heads: HeadCache::new(config),
            chunks: ChunkCache::new(config.chunks_bytes_max),
            pins: Cache::builder().max_capacity(PINS_MAX).build(),
        }
    }
}
