//! Items that lie apart: the matches of filters.

use std::{ops::Range, sync::Arc};

use super::{ChunkCache, Layers, PageItems};
use crate::listing::{Chunk, Direction};

/// The items of a page that lie apart, of which some are not here.
#[derive(Clone, Debug)]
pub(crate) struct Scattered {
    direction: Direction,
    /// The pieces in the order they go out: the chunk's index, the chunk where it is here, the items inside it.
    pieces: Vec<(u64, Option<Arc<Chunk>>, Range<usize>)>,
    /// The chunks that are not here, as ranges in their order.
    pub missing: Vec<Range<u64>>,
}

impl Scattered {
    /// All items, with chunks that were read, those of each missing range; `None` where some are not among them.
    pub(crate) fn with(self, read: &[Vec<Arc<Chunk>>]) -> Option<PageItems> {
        let find = |chunk: u64| {
            let (range, read) = self
                .missing
                .iter()
                .zip(read)
                .find(|(range, _)| range.contains(&chunk))?;
            read.get(usize::try_from(chunk - range.start).ok()?).cloned()
        };
        let pieces = self.pieces.iter();
        let pieces = pieces.map(|(chunk, here, items)| {
            let chunk = here.clone().or_else(|| find(*chunk))?;
            (items.end <= chunk.len()).then(|| (chunk, items.clone()))
        });
        Some(PageItems {
            direction: self.direction,
            pieces: pieces.collect::<Option<_>>()?,
        })
    }
}

impl ChunkCache {
    /// The items at these positions, which are in their order, if they are all here.
    pub(crate) fn find_at(
        &self,
        layers: &Layers,
        positions: &[u64],
        direction: Direction,
    ) -> Result<PageItems, Scattered> {
        let mut pieces: Vec<(u64, Option<Arc<Chunk>>, Range<usize>)> = Vec::new();
        let mut missing: Vec<Range<u64>> = Vec::new();
        for (chunk, items) in runs(layers, positions) {
            let here = match pieces.last() {
                Some((last, here, _)) if *last == chunk => here.clone(),
                _ => self.chunk(layers, chunk),
            };
            if here.is_none() {
                match missing.last_mut() {
                    Some(last) if last.end > chunk => {}
                    Some(last) if last.end == chunk => last.end += 1,
                    _ => missing.push(chunk..chunk + 1),
                }
            }
            pieces.push((chunk, here, items));
        }
        if direction == Direction::Reverse {
            pieces.reverse();
        }
        let scattered = Scattered {
            direction,
            pieces,
            missing,
        };
        match scattered.missing.is_empty() {
            true => scattered.clone().with(&[]).ok_or(scattered),
            false => Err(scattered),
        }
    }
}

/// Positions as runs of neighbours in one chunk, with their places inside it.
fn runs(layers: &Layers, positions: &[u64]) -> Vec<(u64, Range<usize>)> {
    let chunk_len = u64::from(layers.shape.chunk_len.get());
    let mut runs: Vec<(u64, Range<usize>)> = Vec::new();
    for position in positions {
        // A chunk has at most 1000 items.
        let (chunk, at) = (position / chunk_len, (position % chunk_len) as usize);
        match runs.last_mut() {
            Some((last, items)) if *last == chunk && items.end == at => items.end += 1,
            _ => runs.push((chunk, at..at + 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{engine::l1::shape::Shape, listing::Generation};

    fn layers() -> Layers {
        let shape = Shape {
            generation: Generation { id: 7, nonce: 1 },
            total: 10,
            chunk_len: NonZeroU32::new(4).unwrap(),
        };
        Layers { shape, delta: None }
    }

    fn chunk(first: u64, count: u64) -> Arc<Chunk> {
        let items: Vec<String> = (first..first + count).map(|at| at.to_string()).collect();
        Arc::new(Chunk::join(&items))
    }

    fn shown(items: &PageItems) -> String {
        let pieces = items.pieces.iter();
        let texts = pieces.map(|(chunk, range)| String::from_utf8(chunk.items(range.clone()).to_vec()).unwrap());
        texts.collect::<Vec<_>>().join(";")
    }

    #[test]
    fn positions_are_found_wherever_their_chunks_are() {
        let (cache, layers) = (ChunkCache::new(1 << 20), layers());
        let positions = [0, 1, 3, 5, 9];
        let scattered = cache.find_at(&layers, &positions, Direction::Forward).unwrap_err();
        let all: &[Range<u64>] = std::slice::from_ref(&(0..3));
        assert_eq!(scattered.missing, all);
        cache.insert(&layers, 1, &[chunk(4, 4)]);
        let scattered = cache.find_at(&layers, &positions, Direction::Forward).unwrap_err();
        assert_eq!(scattered.missing, [0..1, 2..3]);
        assert!(scattered.clone().with(&[vec![chunk(0, 4)], vec![]]).is_none());
        // Shorter than the generation promises.
        assert!(
            scattered
                .clone()
                .with(&[vec![chunk(0, 4)], vec![chunk(8, 1)]])
                .is_none()
        );
        let items = scattered.with(&[vec![chunk(0, 4)], vec![chunk(8, 2)]]).unwrap();
        assert_eq!(shown(&items), "0,1;3;5;9");
        cache.insert(&layers, 0, &[chunk(0, 4), chunk(4, 4), chunk(8, 2)]);
        let items = cache.find_at(&layers, &positions, Direction::Reverse).unwrap();
        assert_eq!(
            (shown(&items), items.direction),
            ("9;5;3;0,1".to_owned(), Direction::Reverse)
        );
        assert_eq!(shown(&cache.find_at(&layers, &[], Direction::Forward).unwrap()), "");
    }
}
