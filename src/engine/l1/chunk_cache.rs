//! L1 chunks: by the generation in whose stream they lie and their index, and the fragments that they were deflated into. They need no invalidation, for a
//! generation never changes.
//!
//! Both are bounded in bytes together: the form of a page that is asked for stays. Where nearly all
//! clients take gzip, L1 holds some five times as many pages as it would hold chunks.

mod entry;
mod per_thread;
mod scattered;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use foldhash::quality::RandomState;
use moka::sync::Cache;

use self::entry::{Key, Value};
pub(crate) use self::{entry::FragmentPlace, scattered::Scattered};
use super::{items::PageItems, shape::Layers};
use crate::listing::{Chunk, Fragment, RunPlace, WindowPlan, window::Piece};

/// Chunks and fragments of any listing, ready for the wire. A generation's nonce makes it unique among all listings.
#[derive(Clone)]
pub(crate) struct ChunkCache {
    /// Tells it apart from the others of the process.
    number: u64,
    kept: Cache<Key, Value, RandomState>,
    bytes_max: u64,
    weights: Arc<Weights>,
}

/// A page's items of which some are not here.
#[derive(Clone, Debug)]
pub(crate) struct Partly {
    plan: WindowPlan,
    /// The pieces in the order they go out; without their chunks where those are not here.
    pieces: Vec<(Option<Arc<Chunk>>, Range<usize>)>,
    /// The smallest range that covers the chunks that are not here.
    pub missing: Range<u64>,
}

impl Partly {
    /// All items, with chunks that were read, from index `first` on; `None` where some are not among those.
    pub(crate) fn with(self, first: u64, read: &[Arc<Chunk>]) -> Option<PageItems> {
        let read = |at: u64| read.get(usize::try_from(at.checked_sub(first)?).ok()?).cloned();
        let pieces = self.pieces.into_iter().zip(self.plan.pieces());
        let pieces = pieces.map(|((here, items), piece)| Some((here.or_else(|| read(piece.chunk.0))?, items)));
        Some(PageItems {
            direction: self.plan.direction(),
            pieces: pieces.collect::<Option<_>>()?,
        })
    }
}

/// What is kept, in bytes: each kind by itself, for a difference of two figures that others change meanwhile is none.
#[derive(Default)]
struct Weights {
    chunks: AtomicU64,
    fragments: AtomicU64,
}

impl Weights {
    fn of(&self, value: &Value) -> &AtomicU64 {
        match value {
            Value::Chunk(_) => &self.chunks,
            Value::Fragment(_) => &self.fragments,
        }
    }
}

impl ChunkCache {
    /// An empty cache of at most so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        static CACHES: AtomicU64 = AtomicU64::new(0);
        let weights = Arc::new(Weights::default());
        let left = weights.clone();
        Self {
            number: CACHES.fetch_add(1, Ordering::Relaxed),
            kept: Cache::builder()
                .max_capacity(bytes_max)
                .weigher(|_, value: &Value| value.weight())
                .eviction_listener(move |_, value: Value, _| {
                    left.of(&value).fetch_sub(value.weight().into(), Ordering::Relaxed);
                })
                .build_with_hasher(RandomState::default()),
            bytes_max,
            weights,
        }
    }

    /// The items of a plan, if they are all here. Chunks that were read under another shape of the same generation, as a damaged head
    /// or a made-up cursor gives it, are not what this one promises: they count as missing.
    pub(crate) fn find(&self, layers: &Layers, plan: &WindowPlan) -> Result<PageItems, Partly> {
        // As many pieces as chunks: a page costs as many allocations however many it has.
        let mut pieces = Vec::with_capacity(plan.chunk_count());
        let mut rest = plan.pieces();
        while let Some(piece) = rest.next() {
            match self.chunk(layers, piece.chunk.0) {
                Some(chunk) => pieces.push((chunk, piece.items)),
                None => return Err(self.find_rest(layers, plan, pieces, piece, rest)),
            }
        }
        Ok(PageItems {
            direction: plan.direction(),
            pieces,
        })
    }

    /// Those `before` are here, `lost` is not.
    fn find_rest(
        &self,
        layers: &Layers,
        plan: &WindowPlan,
        before: Vec<(Arc<Chunk>, Range<usize>)>,
        lost: Piece,
        rest: impl Iterator<Item = Piece>,
    ) -> Partly {
        let before = before.into_iter().map(|(chunk, items)| (Some(chunk), items));
        let mut pieces: Vec<_> = before.chain([(None, lost.items)]).collect();
        let mut missing = lost.chunk.0..lost.chunk.0 + 1;
        for piece in rest {
            let (at, chunk) = (piece.chunk.0, self.chunk(layers, piece.chunk.0));
            if chunk.is_none() {
                missing = missing.start.min(at)..missing.end.max(at + 1);
            }
            pieces.push((chunk, piece.items));
        }
        Partly {
            plan: plan.clone(),
            pieces,
            missing,
        }
    }

    fn chunk(&self, layers: &Layers, at: u64) -> Option<Arc<Chunk>> {
        match self.get(&Key::Chunk(layers.holder_of(at), at))? {
            Value::Chunk(chunk) => layers.shape.fits(at, &chunk).then_some(chunk),
            Value::Fragment(_) => None,
        }
    }

    fn get(&self, key: &Key) -> Option<Value> {
        if let Some(value) = per_thread::find(self.number, key) {
            return Some(value);
        }
        let value = self.kept.get(key)?;
        per_thread::keep(self.number, key, &value);
        Some(value)
    }

    /// The smallest range that covers the chunks of a plan that are not here. Asking counts for none of them.
    pub(crate) fn missing(&self, layers: &Layers, plan: &WindowPlan) -> Option<Range<u64>> {
        let is_missing = |at: &u64| !self.kept.contains_key(&Key::Chunk(layers.holder_of(*at), *at));
        let first = plan.chunks().find(is_missing)?;
        let last = plan.chunks().rev().find(is_missing)?;
        Some(first..last + 1)
    }

    /// Keeps a run of chunks.
    pub(crate) fn insert(&self, layers: &Layers, first: u64, chunks: &[Arc<Chunk>]) {
        for (at, chunk) in (first..).zip(chunks) {
            let value = Value::Chunk(chunk.clone());
            // What is larger than all that may be kept would be taken in only to be thrown out: where L1 is off, each.
            if u64::from(value.weight()) <= self.bytes_max {
                self.keep(Key::Chunk(layers.holder_of(at), at), value);
            }
        }
    }

    /// A fragment, if it is here.
    pub(crate) fn fragment(&self, place: FragmentPlace) -> Option<Arc<Fragment>> {
        match self.get(&Key::Fragment(place))? {
            Value::Fragment(fragment) => Some(fragment),
            Value::Chunk(_) => None,
        }
    }

    /// Whether all fragments of a plan are here. Asking counts for none of them.
    pub(crate) fn has_fragments(&self, layers: &Layers, plan: &WindowPlan) -> bool {
        RunPlace::all(plan).all(|run| {
            let place = FragmentPlace::of(layers, run);
            self.kept.contains_key(&Key::Fragment(place))
        })
    }

    /// Keeps a fragment.
    pub(crate) fn insert_fragment(&self, place: FragmentPlace, fragment: Arc<Fragment>) {
        self.keep(Key::Fragment(place), Value::Fragment(fragment));
    }

    fn keep(&self, key: Key, value: Value) {
        let weight = value.weight().into();
        self.weights.of(&value).fetch_add(weight, Ordering::Relaxed);
        self.kept.insert(key, value);
    }

    /// What the chunks take in memory, in bytes. Does what the cache has put off; not for every request.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.run_pending_tasks();
        self.weights.chunks.load(Ordering::Relaxed)
    }

    /// What the fragments take in memory, in bytes.
    pub(crate) fn fragment_bytes(&self) -> u64 {
        self.weights.fragments.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{
        engine::l1::shape::Shape,
        listing::{ChunkIndex, Deflater, Direction, Generation, Run},
    };

    fn layers(nonce: u32) -> Layers {
        let shape = Shape {
            generation: Generation { id: 7, nonce },
            total: 12,
            chunk_len: NonZeroU32::new(12).unwrap(),
        };
        Layers { shape, delta: None }
    }

    #[test]
    fn chunks_and_fragments_share_one_bound() {
        let cache = ChunkCache::new(64 << 10);
        let chunk = Arc::new(Chunk::join(&[vec![b'1'; 3000]]));
        let run = Run {
            chunk: chunk.clone(),
            items: 0..1,
            direction: Direction::Forward,
        };
        let place = RunPlace {
            chunk: ChunkIndex(0),
            first: 0,
            end: 1,
            direction: Direction::Forward,
            before: 0,
        };
        let mut deflater = Deflater::new();
        for nonce in 0..400 {
            let fragment = Fragment::make(&mut deflater, None, &run).unwrap();
            cache.insert(&layers(nonce), 0, std::slice::from_ref(&chunk));
            cache.insert_fragment(FragmentPlace::of(&layers(nonce), place), Arc::new(fragment));
        }
        cache.kept.run_pending_tasks();
        let (mut chunks, mut fragments) = (0, 0);
        for (_, value) in &cache.kept {
            match value {
                Value::Chunk(_) => chunks += u64::from(value.weight()),
                Value::Fragment(_) => fragments += u64::from(value.weight()),
            }
        }
        assert!(fragments > 0, "no fragment is left");
        assert!(chunks >= 3000, "no chunk is left");
        assert_eq!((cache.bytes(), cache.fragment_bytes()), (chunks, fragments));
        assert!(chunks + fragments <= 64 << 10);
    }
}
