//! Exchange: some items of a stream leave their places, and others are put where their sort keys belong.
//!
//! Pure arithmetic on positions. A chunk stays as it is where all its items keep their places, and only the others are made anew.

use std::{num::NonZeroU32, ops::Range};

use super::sidecar::StreamColumns;

/// Items that follow one another in the new stream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// From the old stream, by their positions there.
    Old(Range<u64>),
    /// One that is put in, by its number.
    New(usize),
}

/// An item of a chunk that is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The old stream's item at this position.
    Old(u64),
    /// The item that is put in, by its number.
    New(usize),
}

/// The new stream, by way of the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pieces: Vec<(u64, Piece)>,
    old_total: u64,
    /// Items of the new stream.
    pub total: u64,
    chunk_len: u64,
}

impl Exchange {
    /// Takes out the items at `removed`, in ascending order, and puts in items by their keys, which ascend too. The columns have the keys of all items,
    /// unless nothing is put in.
    pub fn new(columns: &StreamColumns, chunk_len: NonZeroU32, removed: &[u64], added: &[impl AsRef<[u8]>]) -> Self {
        let old_total = columns.total();
        let mut pieces = Vec::new();
        let mut total = 0;
        let mut push = |piece: Piece| {
            let many = match &piece {
                Piece::Old(range) => range.end.saturating_sub(range.start),
                Piece::New(_) => 1,
            };
            if many > 0 {
                pieces.push((total, piece));
                total += many;
            }
        };
        let mut places = added
            .iter()
            .map(|key| columns.place_of(key.as_ref()))
            .enumerate()
            .peekable();
        let mut at = 0;
        for left in removed.iter().copied().chain([old_total]) {
            while let Some((number, place)) = places.next_if(|(_, place)| *place <= left) {
                push(Piece::Old(at..place));
                at = at.max(place);
                push(Piece::New(number));
            }
            push(Piece::Old(at..left));
            at = at.max(left + 1);
        }
        Self {
            pieces,
            old_total,
            total,
            chunk_len: chunk_len.get().into(),
        }
    }

    /// Chunks of the new stream.
    pub fn chunks(&self) -> u64 {
        self.total.div_ceil(self.chunk_len)
    }

    /// Whether a chunk has the same items as the old one of this number.
    pub fn keeps(&self, chunk: u64) -> bool {
        let positions = self.positions(chunk);
        let same_end = positions.end == ((chunk + 1) * self.chunk_len).min(self.old_total);
        let at = self.pieces.partition_point(|(start, _)| *start <= positions.start);
        let piece = at.checked_sub(1).and_then(|at| self.pieces.get(at));
        same_end
            && matches!(piece, Some((start, Piece::Old(range)))
                if *start == range.start && range.end >= positions.end)
    }

    /// The items of a chunk, in their order.
    pub fn items(&self, chunk: u64) -> impl Iterator<Item = Source> + '_ {
        let positions = self.positions(chunk);
        let first = self.pieces.partition_point(|(start, _)| *start <= positions.start);
        let pieces = self.pieces.iter().skip(first.saturating_sub(1));
        pieces
            .take_while(move |(start, _)| *start < positions.end)
            .flat_map(move |(start, piece)| {
                let (old, new) = match piece {
                    Piece::New(number) => (0..0, Some(Source::New(*number))),
                    Piece::Old(range) => {
                        let skipped = positions.start.saturating_sub(*start);
                        let many = positions.end - positions.start.max(*start);
                        let from = range.start + skipped;
                        (from..(from + many).min(range.end), None)
                    }
                };
                old.map(Source::Old).chain(new)
            })
    }

    fn positions(&self, chunk: u64) -> Range<u64> {
        let start = chunk * self.chunk_len;
        start..(start + self.chunk_len).min(self.total)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The stream itself, with keys of two bytes.
    fn model(old: &[u16], removed: &[u64], added: &[u16]) -> Vec<u16> {
        let kept = (0..)
            .zip(old)
            .filter(|(at, _)| !removed.contains(at))
            .map(|(_, key)| *key);
        let mut all: Vec<u16> = kept.chain(added.iter().copied()).collect();
        all.sort_unstable();
        all
    }

    proptest! {
        #[test]
        fn it_is_the_stream_that_a_full_sort_gives(
            old in prop::collection::btree_set(0_u16..400, 0..90),
            removed in prop::collection::btree_set(0_u64..90, 0..12),
            added in prop::collection::btree_set(0_u16..400, 0..12),
            chunk_len in 1_u32..14,
        ) {
            let old: Vec<u16> = old.into_iter().collect();
            let removed: Vec<u64> = removed.into_iter().filter(|at| *at < old.len() as u64).collect();
            // An item that is put in has the key of one that left, or a new one.
            let stays = |key: &u16| (0..).zip(&old).any(|(at, other)| other == key && !removed.contains(&at));
            let added: Vec<u16> = added.into_iter().filter(|key| !stays(key)).collect();
            let keys: Vec<[u8; 2]> = old.iter().map(|key| key.to_be_bytes()).collect();
            let columns = StreamColumns::of(NonZeroU32::new(chunk_len).unwrap(), &keys);
            let new: Vec<[u8; 2]> = added.iter().map(|key| key.to_be_bytes()).collect();
            let chunk_len = NonZeroU32::new(chunk_len).unwrap();
            let exchange = Exchange::new(&columns, chunk_len, &removed, &new);
            let expected = model(&old, &removed, &added);
            prop_assert_eq!(exchange.total, expected.len() as u64);
            let chunk = |number: u64| -> Vec<u16> {
                let key = |source| match source {
                    Source::Old(at) => old[at as usize],
                    Source::New(number) => added[number],
                };
                exchange.items(number).map(key).collect()
            };
            let all: Vec<u16> = (0..exchange.chunks()).flat_map(chunk).collect();
            prop_assert_eq!(&all, &expected);
            let len = chunk_len.get() as usize;
            for number in 0..exchange.chunks() {
                let at = number as usize;
                let is_same = expected.chunks(len).nth(at) == old.chunks(len).nth(at);
                prop_assert!(!exchange.keeps(number) || is_same);
                // A chunk whose items left and came back in their places is made anew: that is found by its content.
                let untouched = removed.iter().all(|position| *position / len as u64 != number) && added.is_empty();
                prop_assert!(!is_same || exchange.keeps(number) || !untouched);
            }
        }
    }
}
