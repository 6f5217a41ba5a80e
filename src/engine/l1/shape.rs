//! The shape of a generation: what must be known to cut a page out of it.

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    listing::{Chunk, Cursor, Delta, Generation, Head, Window, WindowPlan},
    store::Description,
};

/// Which layers, how many items, how many a chunk. Never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The layers.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
    /// Items a chunk.
    pub chunk_len: NonZeroU32,
}

impl Shape {
    /// The chunks and cuts of a window; `None` past the end.
    pub fn plan(&self, window: Window) -> Option<WindowPlan> {
        window.plan(self.total, self.chunk_len)
    }

    /// Whether a chunk holds as many items as this generation promises of the one at that index.
    ///
    /// Invariant 1: a chunk with fewer or more is never served.
    pub fn fits(&self, at: u64, chunk: &Chunk) -> bool {
        let chunk_len = u64::from(self.chunk_len.get());
        let promised = self.total.saturating_sub(at.saturating_mul(chunk_len)).min(chunk_len);
        chunk.len() as u64 == promised
    }

    /// How many chunks, read from index `first` on, hold what this generation promises of them.
    pub fn whole_chunks(&self, first: u64, chunks: &[Chunk]) -> usize {
        let whole = (first..).zip(chunks).take_while(|(at, chunk)| self.fits(*at, chunk));
        whole.count()
    }
}

/// A generation as far as pages need to know it: its shape, and what it takes from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layers {
    /// How it is cut.
    pub shape: Shape,
    /// Its delta; `None` where it is whole.
    pub delta: Option<Arc<Delta>>,
}

impl Layers {
    /// A generation by what it says of itself.
    pub(crate) fn described(generation: Generation, description: Description) -> Self {
        Self {
            shape: Shape {
                generation,
                total: description.total,
                chunk_len: description.chunk_len,
            },
            delta: description.delta,
        }
    }

    /// The generation that a chunk counts from. By it a chunk is known: one that has not changed is the same chunk for all
    /// generations that take it over.
    pub(crate) fn holder_of(&self, chunk: u64) -> Generation {
        let delta = self.delta.as_ref();
        delta.map_or(self.shape.generation, |delta| delta.holder_of(chunk))
    }
}

impl From<&Head> for Layers {
    fn from(head: &Head) -> Self {
        Self {
            shape: Shape::from(head),
            delta: head.delta.clone(),
        }
    }
}

impl From<&Head> for Shape {
    fn from(head: &Head) -> Self {
        Self {
            generation: head.generation,
            total: head.total,
            chunk_len: head.chunk_len,
        }
    }
}

impl From<&Cursor> for Shape {
    fn from(cursor: &Cursor) -> Self {
        Self {
            generation: cursor.generation,
            total: cursor.total,
            chunk_len: cursor.chunk_len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_known_by_the_generation_that_holds_it() {
        let shape = Shape {
            generation: Generation { id: 7, nonce: 1 },
            total: 30,
            chunk_len: NonZeroU32::new(12).unwrap(),
        };
        let whole = Layers { shape, delta: None };
        assert_eq!(whole.holder_of(1), shape.generation);
        let delta = Delta::parse("5-00000001 3 6-00000001:1;").map(Arc::new);
        let (base, layer) = (Generation { id: 5, nonce: 1 }, Generation { id: 6, nonce: 1 });
        let delta = Layers { shape, delta };
        assert_eq!([0, 1, 2].map(|at| delta.holder_of(at)), [base, layer, base]);
    }
}
