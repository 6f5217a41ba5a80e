//! Page window arithmetic: from `offset` and `limit` to the chunks that hold the items, and what to cut off them.

use std::{num::NonZeroU32, ops::Range};

use super::chunk::ChunkIndex;

/// Which way a stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// As stored.
    Forward,
    /// From the last item to the first.
    Reverse,
}

/// A run of positions in a listing as it is read: `offset` counts from the end that `direction` starts at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Positions before the first one wanted.
    pub offset: u64,
    /// Positions wanted.
    pub limit: NonZeroU32,
    /// Which way.
    pub direction: Direction,
}

/// The stored positions that a window covers. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowPlan {
    positions: Range<u64>,
    chunk_len: u64,
    direction: Direction,
}

/// One chunk's part of a page: which chunk, and which of its items, as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The chunk.
    pub chunk: ChunkIndex,
    /// Positions inside the chunk.
    pub items: Range<usize>,
}

impl Window {
    /// Which stored positions the window covers; `None` past the end.
    pub fn plan(self, total: u64, chunk_len: NonZeroU32) -> Option<WindowPlan> {
        let start = self.offset;
        let end = start.saturating_add(self.limit.get().into()).min(total);
        if end <= start {
            return None;
        }
        // Reverse is forward on mirrored positions: the last item is position 0.
        let positions = match self.direction {
            Direction::Forward => start..end,
            Direction::Reverse => total - end..total - start,
        };
        Some(WindowPlan {
            positions,
            chunk_len: chunk_len.get().into(),
            direction: self.direction,
        })
    }
}

impl WindowPlan {
    /// How many items the page has.
    pub fn count(&self) -> u64 {
        self.positions.end - self.positions.start
    }

    /// Which way the pieces, and the items inside each, go out.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The chunks that hold the items, in stored order.
    pub fn chunks(&self) -> Range<u64> {
        self.positions.start / self.chunk_len..self.positions.end.div_ceil(self.chunk_len)
    }

    /// How many chunks that are: a piece each.
    pub fn chunk_count(&self) -> usize {
        let chunks = self.chunks();
        // Never more than there are items on a page.
        usize::try_from(chunks.end - chunks.start).unwrap_or(0)
    }

    /// How many items a chunk must have, in a listing of `total` items.
    pub fn items_in(&self, chunk: ChunkIndex, total: u64) -> u64 {
        (total - (chunk.0 * self.chunk_len).min(total)).min(self.chunk_len)
    }

    /// The page's pieces in the order they go out. With [`Direction::Reverse`] the items of a piece go out last first.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let chunks = self.chunks();
        let count = chunks.end - chunks.start;
        (0..count).map(move |at| {
            let chunk = match self.direction {
                Direction::Forward => chunks.start + at,
                Direction::Reverse => chunks.end - 1 - at,
            };
            let first = chunk * self.chunk_len;
            let start = self.positions.start.max(first) - first;
            let end = self.positions.end.min(first + self.chunk_len) - first;
            Piece {
                chunk: ChunkIndex(chunk),
                items: start as usize..end as usize,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(offset: u64, limit: u32, direction: Direction) -> Window {
        Window {
            offset,
            limit: NonZeroU32::new(limit).unwrap(),
            direction,
        }
    }

    /// The positions a page shows, by way of plan and pieces.
    fn positions(total: u64, chunk_len: u32, window: Window) -> Vec<u64> {
        let Some(plan) = window.plan(total, NonZeroU32::new(chunk_len).unwrap()) else {
            return Vec::new();
        };
        plan.pieces()
            .flat_map(|piece| {
                assert!(plan.chunks().contains(&piece.chunk.0));
                assert!(piece.items.end as u64 <= plan.items_in(piece.chunk, total));
                let first = piece.chunk.0 * u64::from(chunk_len);
                let mut items: Vec<u64> = piece.items.map(|at| first + at as u64).collect();
                if plan.direction() == Direction::Reverse {
                    items.reverse();
                }
                items
            })
            .collect()
    }

    #[track_caller]
    fn check(total: u64, chunk_len: u32, offset: u64, limit: u32, direction: Direction, expect: &[u64]) {
        assert_eq!(positions(total, chunk_len, window(offset, limit, direction)), expect);
    }

    #[test]
    fn forward_crosses_chunks() {
        check(10, 4, 3, 3, Direction::Forward, &[3, 4, 5]);
    }

    #[test]
    fn reverse_starts_at_the_last_item() {
        check(10, 4, 0, 3, Direction::Reverse, &[9, 8, 7]);
    }

    #[test]
    fn the_last_page_is_short_and_past_it_is_nothing() {
        check(10, 4, 9, 5, Direction::Forward, &[9]);
        check(10, 4, 10, 5, Direction::Forward, &[]);
        check(10, 4, u64::MAX, 5, Direction::Reverse, &[]);
        check(0, 4, 0, 5, Direction::Forward, &[]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Any window of any listing, in either direction, is what slicing a vector gives.
        #[test]
        fn a_window_equals_a_slice(
            total in 0u64..200, chunk_len in 1u32..30, offset in 0u64..220, limit in 1u32..60, reverse: bool,
        ) {
            let mut all: Vec<u64> = (0..total).collect();
            if reverse {
                all.reverse();
            }
            let start = offset.min(total) as usize;
            let end = (offset + u64::from(limit)).min(total) as usize;
            let direction = if reverse { Direction::Reverse } else { Direction::Forward };
            prop_assert_eq!(positions(total, chunk_len, window(offset, limit, direction)), &all[start..end]);
        }

        /// Near the largest numbers nothing overflows, and a count is never more than asked for.
        #[test]
        fn large_numbers_do_not_overflow(total: u64, chunk_len in 1u32.., offset: u64, limit in 1u32.., reverse: bool) {
            let direction = if reverse { Direction::Reverse } else { Direction::Forward };
            if let Some(plan) = window(offset, limit, direction).plan(total, NonZeroU32::new(chunk_len).unwrap()) {
                prop_assert!(plan.count() >= 1 && plan.count() <= u64::from(limit));
                prop_assert!(!plan.chunks().is_empty());
            }
        }
    }
}
