//! The entries of L1's chunk cache, and their weights.

use std::sync::Arc;

use crate::{
    engine::l1::shape::Shape,
    listing::{Chunk, Fragment, Generation, RunPlace},
};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Chunk(Generation, u64),
    /// By shape and not by generation alone: what was cut under the shape of a made-up cursor is good for that cursor only.
    Fragment(Shape, RunPlace),
}

#[derive(Clone)]
pub(super) enum Value {
    Chunk(Arc<Chunk>),
    Fragment(Arc<Fragment>),
}

/// Roughly the bookkeeping of one entry, besides the value itself.
const ENTRY_BYTES: usize = 208;

impl Value {
    /// Bytes that count against the bound.
    pub(super) fn weight(&self) -> u32 {
        let bytes = match self {
            Self::Chunk(chunk) => chunk.size_bytes(),
            Self::Fragment(fragment) => fragment.size_bytes(),
        };
        u32::try_from(bytes + ENTRY_BYTES).unwrap_or(u32::MAX)
    }
}
