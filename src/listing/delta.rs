//! Delta generations: a generation that differs from another, its *base*, in some chunks only.
//!
//! A generation is whole, or it names a base that is whole, and *layers*: the generations since the base that changed chunks, each with the
//! chunks that count from it. A new generation adds a layer of what it changed itself, and takes over the layers before it. A chunk
//! counts from one place only, and no chunk of any place ever changes, so what is known of a chunk once holds as long as it is there.

use std::{fmt, ops::Range};

use super::{generation::Generation, key::ListingKey};

/// A generation by the difference from its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The generation that holds the other chunks.
    pub base: Generation,
    /// The listing that the base is of: another variant of the same name. `None` where it is of the listing itself.
    pub base_of: Option<ListingKey>,
    /// How many chunks the base has.
    pub base_chunks: u64,
    /// The generations that changed chunks since, the oldest first. No chunk is in two of them.
    pub layers: Vec<Layer>,
}

/// The chunks that count from one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The generation that wrote them.
    pub generation: Generation,
    /// At least one.
    pub chunks: ChunkSet,
}

impl Delta {
    /// The text of a delta is at most this long: a head and an announcement carry it.
    const TEXT_MAX: usize = 512;
    /// A page names the layer of each chunk that it reads, so there are few.
    pub const LAYERS_MAX: usize = 8;

    /// Reads what [`fmt::Display`] writes: `<base> <chunks of the base> <layers>`, with `@<listing>` behind a base of another listing,
    /// and for each layer `<generation>:<chunks>;`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let base = parts.next()?;
        let (base, base_of) = match base.split_once('@') {
            Some((base, listing)) => (base, Some(ListingKey::parse(listing)?)),
            None => (base, None),
        };
        let base_chunks = parts.next()?.parse().ok()?;
        let layers = parts.next()?.split_terminator(';').map(|layer| {
            let (generation, chunks) = layer.split_once(':')?;
            let layer = Layer {
                generation: generation.parse().ok()?,
                chunks: ChunkSet::parse(chunks)?,
            };
            (!layer.chunks.is_empty()).then_some(layer)
        });
        Some(Self {
            base: base.parse().ok()?,
            base_of,
            base_chunks,
            layers: layers.collect::<Option<_>>()?,
        })
    }

    /// The layer that a chunk counts from; `None` where that is the base.
    pub fn layer_of(&self, chunk: u64) -> Option<Generation> {
        let mut layers = self.layers.iter();
        let layer = layers.find(|layer| layer.chunks.contains(chunk));
        layer.map(|layer| layer.generation)
    }

    /// The generation that a chunk counts from.
    pub fn holder_of(&self, chunk: u64) -> Generation {
        self.layer_of(chunk).unwrap_or(self.base)
    }

    /// All chunks that the layers hold.
    pub fn changed(&self) -> ChunkSet {
        let mut chunks: Vec<u64> = self.layers.iter().flat_map(|layer| layer.chunks.iter()).collect();
        chunks.sort_unstable();
        let mut changed = ChunkSet::default();
        chunks.into_iter().for_each(|chunk| changed.push(chunk));
        changed
    }

    /// How many chunks the layers hold.
    pub fn layered(&self) -> u64 {
        self.layers.iter().map(|layer| layer.chunks.len()).sum()
    }

    /// Where `listing` finds its base: itself, but for a shared one.
    pub fn base_listing<'a>(&'a self, listing: &'a ListingKey) -> &'a ListingKey {
        self.base_of.as_ref().unwrap_or(listing)
    }

    /// The delta of a generation that follows on this one, has `chunks` chunks, and changed some of them.
    #[must_use]
    pub fn follow(&self, generation: Generation, changed: ChunkSet, chunks: u64) -> Self {
        let mut layers: Vec<Layer> = Vec::with_capacity(self.layers.len() + 1);
        for layer in &self.layers {
            layers.push(Layer {
                generation: layer.generation,
                chunks: layer.chunks.without(&changed, chunks),
            });
        }
        layers.push(Layer {
            generation,
            chunks: changed,
        });
        layers.retain(|layer| !layer.chunks.is_empty());
        Self { layers, ..self.clone() }
    }

    /// Whether a head may carry it.
    pub fn fits(&self) -> bool {
        self.layers.len() <= Self::LAYERS_MAX && self.to_string().len() <= Self::TEXT_MAX
    }
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)?;
        if let Some(listing) = &self.base_of {
            write!(f, "@{listing}")?;
        }
        write!(f, " {} ", self.base_chunks)?;
        for Layer { generation, chunks } in &self.layers {
            write!(f, "{generation}:{chunks};")?;
        }
        Ok(())
    }
}

/// Some chunks of a generation, as ranges in their order: `17-18,40` are three.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkSet(Vec<Range<u64>>);

impl ChunkSet {
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

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().cloned().flatten()
    }

    /// Whether one lies in a range.
    pub fn meets(&self, range: &Range<u64>) -> bool {
        let first = self.0.partition_point(|run| run.end <= range.start);
        !range.is_empty() && self.0.get(first).is_some_and(|run| run.start < range.end)
    }

    /// Those that are not in another set, of the chunks before an end.
    pub fn without(&self, other: &Self, end: u64) -> Self {
        let mut left = Self::default();
        let still = self.iter().take_while(|chunk| *chunk < end);
        still
            .filter(|chunk| !other.contains(*chunk))
            .for_each(|chunk| left.push(chunk));
        left
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

    const OLD: Generation = Generation { id: 8, nonce: 1 };
    const NEW: Generation = Generation { id: 9, nonce: 2 };

    fn delta() -> Delta {
        Delta {
            base: Generation { id: 7, nonce: 0xab },
            base_of: None,
            base_chunks: 42,
            layers: vec![Layer {
                generation: OLD,
                chunks: set(&[0, 17, 18, 40]),
            }],
        }
    }

    #[test]
    fn a_delta_is_written_in_words_of_its_own() {
        let own = delta();
        assert_eq!(own.to_string(), "7-000000ab 42 8-00000001:0,17-18,40;");
        let none = Delta {
            layers: Vec::new(),
            ..delta()
        };
        assert_eq!(none.to_string(), "7-000000ab 42 ");
        let shared = Delta {
            base_of: ListingKey::parse("a%20b/price?group=2"),
            ..delta().follow(NEW, set(&[3]), 42)
        };
        assert_eq!(
            shared.to_string(),
            "7-000000ab@a%20b/price?group=2 42 8-00000001:0,17-18,40;9-00000002:3;"
        );
        for delta in [own, none, shared] {
            assert_eq!(Delta::parse(&delta.to_string()), Some(delta));
        }
        for bad in [
            "",
            "7-000000ab",
            "7-000000ab 42",
            "7 42 ",
            "7-000000ab@ 42 ",
            "7-000000ab x ",
            "7-000000ab 42 8-00000001",
            "7-000000ab 42 8-00000001:",
            "7-000000ab 42 :1;",
            "7-000000ab 42 8-00000001:2-1;",
            "7-000000ab 42 8-00000001:1,1;",
            "7-000000ab 42 8-00000001:1,2;",
            "7-000000ab 42 8-00000001:a;",
        ] {
            assert_eq!(Delta::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_chunk_counts_from_the_last_that_changed_it() {
        let next = delta().follow(NEW, set(&[5, 17]), 42);
        let holders = [0, 1, 5, 17, 18, 40].map(|chunk| next.holder_of(chunk));
        assert_eq!(holders, [OLD, next.base, NEW, NEW, OLD, OLD]);
        assert_eq!(next.layered(), 5);
        // A generation that has become shorter, and one that has changed all of a layer.
        let shorter = delta().follow(NEW, ChunkSet::default(), 18);
        assert_eq!(shorter.to_string(), "7-000000ab 42 8-00000001:0,17;");
        let other = delta().follow(NEW, set(&[0, 17, 18, 40]), 42);
        assert_eq!(other.to_string(), "7-000000ab 42 9-00000002:0,17-18,40;");
    }

    #[test]
    fn a_delta_has_an_end() {
        let mut next = Delta {
            layers: Vec::new(),
            ..delta()
        };
        for id in 0..Delta::LAYERS_MAX as u64 {
            next = next.follow(Generation { id: 10 + id, nonce: 3 }, set(&[id]), 42);
            assert!(next.fits());
        }
        assert!(!next.follow(NEW, set(&[41]), 42).fits());
        assert!(next.follow(NEW, set(&[3]), 42).fits());
        let scattered: Vec<u64> = (0..500).map(|chunk| 2 * chunk).collect();
        assert!(!delta().follow(NEW, set(&scattered), 1000).fits());
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_put_in(chunks in prop::collection::btree_set(0_u64..60, 0..30), from in 0_u64..60, many in 0_u64..30) {
            let chunks: Vec<u64> = chunks.into_iter().collect();
            let made = set(&chunks);
            prop_assert_eq!(made.len(), chunks.len() as u64);
            prop_assert!((0..60).all(|index| made.contains(index) == chunks.contains(&index)));
            let range = from..from + many;
            prop_assert_eq!(made.meets(&range), chunks.iter().any(|index| range.contains(index)));
            prop_assert_eq!(made.iter().collect::<Vec<_>>(), chunks.clone());
            let left: Vec<u64> = chunks.iter().copied().filter(|index| *index < from && index % 3 != 0).collect();
            let thirds = set(&(0..60).filter(|index| index % 3 == 0).collect::<Vec<_>>());
            prop_assert_eq!(made.without(&thirds, from).iter().collect::<Vec<_>>(), left);
            prop_assert_eq!(ChunkSet::parse(&made.to_string()), Some(made));
        }
    }
}
