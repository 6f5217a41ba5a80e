//! The entries of L1's chunk cache, and their weights.

use std::sync::Arc;

use crate::{
    engine::l1::shape::Layers,
    listing::{Chunk, Direction, Fragment, Generation, RunPlace},
};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Chunk(Generation, u64),
    Fragment(FragmentPlace),
}

/// A fragment's place: whatever takes these chunks over has the same fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FragmentPlace {
    /// In whose stream the chunk lies, and the chunk before it on the page.
    pub holders: [Generation; 2],
    /// The run.
    pub run: RunPlace,
}

impl FragmentPlace {
    /// The place of a run in a generation.
    pub(crate) fn of(layers: &Layers, run: RunPlace) -> Self {
        let at = run.chunk.0;
        let before = match (run.before, run.direction) {
            (0, _) => at,
            (_, Direction::Forward) => at.saturating_sub(1),
            (_, Direction::Reverse) => at + 1,
        };
        Self {
            holders: [layers.holder_of(at), layers.holder_of(before)],
            run,
        }
    }
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
