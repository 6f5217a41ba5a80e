//! The shape of a generation: what must be known to cut a page out of it.

use std::num::NonZeroU32;

use crate::{
    listing::{Chunk, Cursor, Generation, Head, Window, WindowPlan},
    store::Description,
};

/// Which snapshot, how many items, how many a chunk. Never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The snapshot.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
    /// Items a chunk.
    pub chunk_len: NonZeroU32,
}

impl Shape {
    /// The shape of a generation by what its stream says of itself.
    pub fn described(generation: Generation, Description { total, chunk_len }: Description) -> Self {
        Self {
            generation,
            total,
            chunk_len,
        }
    }

    /// Whether both cut the same pages: where one chunk holds all items its stream does not say how many more it could hold.
    pub fn agrees(&self, other: &Self) -> bool {
        let is_one_chunk = |shape: &Self| u64::from(shape.chunk_len.get()) >= shape.total;
        self.generation == other.generation
            && self.total == other.total
            && (self.chunk_len == other.chunk_len || is_one_chunk(self) && is_one_chunk(other))
    }

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
    fn shapes_agree_where_they_cut_the_same_pages() {
        let shape = |total, chunk_len: u32| Shape {
            generation: Generation { id: 7, nonce: 1 },
            total,
            chunk_len: NonZeroU32::new(chunk_len).unwrap(),
        };
        assert!(shape(30, 12).agrees(&shape(30, 12)));
        assert!(shape(5, 12).agrees(&shape(5, 5)));
        assert!(!shape(30, 12).agrees(&shape(30, 13)));
        assert!(!shape(30, 12).agrees(&shape(31, 12)));
        assert!(!shape(5, 12).agrees(&shape(5, 4)));
        let other = Shape {
            generation: Generation { id: 8, nonce: 1 },
            ..shape(30, 12)
        };
        assert!(!shape(30, 12).agrees(&other));
    }
}
