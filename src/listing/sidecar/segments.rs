//! Which chunks a segment holds, and the name of its field.

use std::{fmt, num::NonZeroU32, ops::Range};

use crate::listing::chunk::ChunkIndex;

/// Items that a segment holds at most, unless one chunk alone has more. Of a delta each segment is written that holds a changed chunk, so
/// few of them are less to write, and many less to name: with the usual 12 items a chunk these are 16 chunks.
const ITEMS_MAX: u32 = 192;

/// A column of a sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Hashes of ids.
    Ids,
    /// Sort keys.
    Keys,
}

impl Column {
    /// The field of the segment that begins with a chunk: `ids:0`, `keys:64`.
    pub fn field(self, first: ChunkIndex) -> String {
        format!("{self}:{}", first.0)
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ids => "ids",
            Self::Keys => "keys",
        })
    }
}

/// How the columns of a stream are cut. It follows from the stream's chunk length, so the head tells a reader all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    chunk_len: NonZeroU32,
}

impl Segments {
    /// Those of a stream with chunks of this length.
    pub fn new(chunk_len: NonZeroU32) -> Self {
        Self { chunk_len }
    }

    /// Chunks a segment.
    pub fn chunks_each(self) -> u64 {
        (ITEMS_MAX / self.chunk_len).max(1).into()
    }

    /// Items a segment, but for the last one.
    pub fn items_each(self) -> u64 {
        self.chunks_each() * u64::from(self.chunk_len.get())
    }

    /// The first chunk of the segment that holds a chunk.
    pub fn first_of(self, chunk: ChunkIndex) -> ChunkIndex {
        ChunkIndex(chunk.0 - chunk.0 % self.chunks_each())
    }

    /// The first chunks of all segments of a stream with so many items.
    pub fn firsts(self, total: u64) -> impl Iterator<Item = ChunkIndex> {
        let chunks = self.chunks_each();
        (0..total.div_ceil(self.items_each())).map(move |at| ChunkIndex(at * chunks))
    }

    /// The positions of a segment in a stream with so many items; none behind the end.
    pub fn positions(self, first: ChunkIndex, total: u64) -> Range<u64> {
        let start = first.0.saturating_mul(self.chunk_len.get().into()).min(total);
        start..start.saturating_add(self.items_each()).min(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(chunk_len: u32, total: u64, expect: &[(u64, Range<u64>)]) {
        let segments = Segments::new(NonZeroU32::new(chunk_len).unwrap());
        let cut: Vec<_> = segments
            .firsts(total)
            .map(|first| (first.0, segments.positions(first, total)))
            .collect();
        assert_eq!(cut, expect, "{chunk_len} {total}");
        for (first, positions) in expect {
            for position in positions.clone() {
                let chunk = ChunkIndex(position / u64::from(chunk_len));
                assert_eq!(segments.first_of(chunk), ChunkIndex(*first));
            }
        }
    }

    #[test]
    fn segments_hold_whole_chunks_and_every_position_once() {
        check(12, 0, &[]);
        check(12, 1, &[(0, 0..1)]);
        check(12, 192, &[(0, 0..192)]);
        check(12, 400, &[(0, 0..192), (16, 192..384), (32, 384..400)]);
        check(50, 200, &[(0, 0..150), (3, 150..200)]);
        check(1000, 2001, &[(0, 0..1000), (1, 1000..2000), (2, 2000..2001)]);
    }

    #[test]
    fn behind_the_end_there_is_nothing() {
        let segments = Segments::new(NonZeroU32::new(12).unwrap());
        for chunk in [16, 128, 1 << 63, u64::MAX] {
            assert_eq!(segments.positions(ChunkIndex(chunk), 192), 192..192);
        }
    }

    #[test]
    fn a_field_names_its_column_and_its_first_chunk() {
        assert_eq!(Column::Ids.field(ChunkIndex(0)), "ids:0");
        assert_eq!(Column::Keys.field(ChunkIndex(64)), "keys:64");
    }
}
