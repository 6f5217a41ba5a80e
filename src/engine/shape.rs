//! The shape of a generation: what must be known to cut a page out of it.

use std::num::NonZeroU32;

use crate::listing::{Chunk, Cursor, Generation, Head, Window, WindowPlan};

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
