//! Delta generations: a generation that holds only the chunks in which it differs from another, its *base*.
//!
//! A generation is whole, or it names a base that is whole: the depth is one. Inside the changed chunks only the delta counts, outside
//! them only the base. Both never change, so what is known of a delta once holds as long as it is there.

use std::{fmt, ops::Range};

use super::generation::Generation;

/// A generation by the difference from its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The generation that holds the other chunks.
    pub base: Generation,
    /// How many chunks the base has.
    pub base_chunks: u64,
    /// The chunks that the delta holds itself.
    pub changed: ChunkSet,
}

impl Delta {
    /// Reads what [`fmt::Display`] writes: `<base> <chunks of the base> <changed chunks>`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let base = parts.next()?.parse().ok()?;
        let base_chunks = parts.next()?.parse().ok()?;
        let changed = ChunkSet::parse(parts.next()?)?;
        Some(Self {
            base,
            base_chunks,
            changed,
        })
    }
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.base, self.base_chunks, self.changed)
    }
}

/// Some chunks of a generation, as ranges in their order: `17-18,40` are three.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkSet(Vec<Range<u64>>);

impl ChunkSet {
    /// The text of a set is at most this long: a head and an announcement carry it.
    pub const TEXT_MAX: usize = 256;

    /// Adds a chunk behind all that are in it.
    pub fn push(&mut self, index: u64) {
        match self.0.last_mut() {
            Some(last) if last.end == index => last.end += 1,
            _ => self.0.push(index..index + 1),
        }
    }

    /// Whether a chunk is in it.
    pub fn contains(&self, index: u64) -> bool {
        let at = self.0.partition_point(|range| range.end <= index);
        self.0.get(at).is_some_and(|range| range.start <= index)
    }

    /// How many chunks are in it.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that lie in a range, in their order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let first = self.0.partition_point(|run| run.end <= range.start);
        let runs = self.0.iter().skip(first).take_while({
            let end = range.end;
            move |run| run.start < end
        });
        runs.flat_map(move |run| run.start.max(range.start)..run.end.min(range.end))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
            let is_behind = ranges.last().is_none_or(|before| before.end < first);
            if !is_behind || last < first || last == u64::MAX {
                return None;
            }
            ranges.push(first..last + 1);
        }
        Some(Self(ranges))
    }
}

impl fmt::Display for ChunkSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match range.end - range.start {
                1 => write!(f, "{comma}{}", range.start)?,
                _ => write!(f, "{comma}{}-{}", range.start, range.end - 1)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(chunks: &[u64]) -> ChunkSet {
        let mut set = ChunkSet::default();
        chunks.iter().for_each(|index| set.push(*index));
        set
    }

    #[test]
    fn a_delta_is_written_in_words_of_its_own() {
        let delta = Delta {
            base: Generation { id: 7, nonce: 0xab },
            base_chunks: 42,
            changed: set(&[0, 17, 18, 40]),
        };
        assert_eq!(delta.to_string(), "7-000000ab 42 0,17-18,40");
        assert_eq!(Delta::parse(&delta.to_string()), Some(delta));
        for bad in [
            "",
            "7-000000ab",
            "7-000000ab 42",
            "7 42 1",
            "7-000000ab x 1",
            "7-000000ab 42 2-1",
            "7-000000ab 42 1,1",
            "7-000000ab 42 1,2",
            "7-000000ab 42 a",
        ] {
            assert_eq!(Delta::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_put_in(chunks in prop::collection::btree_set(0_u64..60, 0..30), from in 0_u64..60, many in 0_u64..30) {
            let chunks: Vec<u64> = chunks.into_iter().collect();
            let made = set(&chunks);
            prop_assert_eq!(made.len(), chunks.len() as u64);
            prop_assert!((0..60).all(|index| made.contains(index) == chunks.contains(&index)));
            let within: Vec<u64> = chunks.iter().copied().filter(|index| (from..from + many).contains(index)).collect();
            prop_assert_eq!(made.within(from..from + many).collect::<Vec<_>>(), within);
            prop_assert_eq!(ChunkSet::parse(&made.to_string()), Some(made));
        }
    }
}
