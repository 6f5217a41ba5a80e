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
    /// Until when pinned generations are kept at least. By listing too: a generation asked for under another listing's
    /// name is not that listing's. And by shape: what a cursor says of a generation is good for that cursor alone.
    pub pins: Cache<(ListingKey, Shape), Timestamp>,
    /// What pinned generations said of themselves.
    pub shapes: Cache<(ListingKey, Generation), Shape>,
}

impl L1 {
    /// Nothing yet.
    pub fn new(config: &L1Config) -> Self {
        Self {
            heads: HeadCache::new(config),
            chunks: ChunkCache::new(config.chunks_bytes_max),
            pins: Cache::builder().max_capacity(PINS_MAX).build(),
            shapes: Cache::builder().max_capacity(PINS_MAX).build(),
        }
    }
}
