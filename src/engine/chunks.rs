//! The chunks of a page: from L1, and those missing with one range read, by one load for all who wait.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use super::{chunk_cache::Found, coalesce::Coalescer, error::EngineError, l1::L1, permits::ReadPermits, shape::Shape};
use crate::{
    listing::{Chunk, Generation, HeadState, ListingKey, WindowPlan},
    store::Store,
};

type LoadedRange = Arc<[Arc<Chunk>]>;

/// What one turn says of a pinned generation.
#[derive(Clone, Debug)]
pub struct PinnedRange {
    /// The listing's head, for a delete makes pins disappear.
    pub head: HeadState,
    /// The chunks that are as promised.
    chunks: LoadedRange,
    /// How long the generation is still kept; `None` where it is gone.
    pub left: Option<Duration>,
}

/// Reads chunks.
pub struct Chunks {
    store: Store,
    l1: Arc<L1>,
    permits: ReadPermits,
    loads: Coalescer<(Generation, Range<u64>), Result<LoadedRange, EngineError>>,
    pinned_loads: Coalescer<(ListingKey, Generation, Range<u64>), Result<PinnedRange, EngineError>>,
}

/// The chunks of a page.
pub enum PageChunks {
    /// All of them, in the order of their indexes.
    Whole {
        /// The chunks.
        chunks: Vec<Arc<Chunk>>,
        /// Whether Redis was asked, and whether by somebody else's load.
        read: Option<bool>,
    },
    /// Redis does not hold what the generation promises: evicted, expired, or not there yet on a lagging replica.
    Lost,
}

impl Chunks {
    /// Loads run where they are asked for first, and on `runtime` where nobody waits for them any more.
    pub fn new(store: Store, l1: Arc<L1>, permits: ReadPermits, runtime: tokio::runtime::Handle) -> Self {
        Self {
            store,
            l1,
            permits,
            loads: Coalescer::led_by_the_first(runtime.clone()),
            pinned_loads: Coalescer::led_by_the_first(runtime),
        }
    }

    /// The chunks of a plan.
    pub async fn get(&self, key: &ListingKey, shape: Shape, plan: &WindowPlan) -> Result<PageChunks, EngineError> {
        let (found, missing) = match self.l1.chunks.find(shape, plan) {
            Found::Whole(chunks) => return Ok(PageChunks::Whole { chunks, read: None }),
            Found::Partly { chunks, missing } => (chunks, missing),
        };
        let _permit = self.permits.wait()?;
        let load_key = (shape.generation, missing.clone());
        let load = || self.load(key, shape, missing.clone());
        // Boxed, so that a hit's future is none the larger for it.
        let joined = Box::pin(self.loads.join(&load_key, load)).await;
        let loaded = joined.value.unwrap_or(Err(EngineError::broken_load()))?;
        Ok(assemble(found, plan, &missing, &loaded, joined.collapsed))
    }

    /// The chunks of a plan in a pinned generation, with the listing's head and the time left, in one turn. `None` where that
    /// is overdue by `patience`; the reading goes on then.
    pub async fn get_pinned(
        &self,
        key: &ListingKey,
        shape: Shape,
        plan: &WindowPlan,
        patience: Option<Duration>,
    ) -> Result<Option<(PinnedRange, PageChunks)>, EngineError> {
        let found = self.l1.chunks.find(shape, plan);
        // Everything here already: one chunk is asked for all the same, to hear of the generation's life.
        let range = found.missing().unwrap_or(plan.chunks().start..plan.chunks().start + 1);
        let load_key = (key.clone(), shape.generation, range.clone());
        let _permit = self.permits.wait()?;
        let load = || self.load_pinned(key, shape, range.clone());
        let joined = match patience {
            None => self.pinned_loads.join(&load_key, load).await,
            Some(patience) => match self.pinned_loads.join_within(&load_key, patience, load).await {
                Some(joined) => joined,
                None => return Ok(None),
            },
        };
        let pinned = joined.value.unwrap_or(Err(EngineError::broken_load()))?;
        let chunks = assemble(found.each(), plan, &range, &pinned.chunks, joined.collapsed);
        Ok(Some((pinned, chunks)))
    }

    /// Begins to read what is missing of a plan's chunks, for nobody in particular; the place is given back when it is read. Says
    /// whether anything was begun.
    pub fn begin(&self, key: &ListingKey, shape: Shape, plan: &WindowPlan, place: OwnedSemaphorePermit) -> bool {
        let Some(missing) = self.l1.chunks.missing(shape, plan) else {
            return false;
        };
        self.loads.begin(&(shape.generation, missing.clone()), || {
            let load = self.load(key, shape, missing);
            async move {
                let _place = place;
                load.await
            }
        })
    }

    fn load(
        &self,
        key: &ListingKey,
        shape: Shape,
        range: Range<u64>,
    ) -> impl Future<Output = Result<LoadedRange, EngineError>> + Send + use<> {
        let (store, l1, permits, key) = (self.store.clone(), self.l1.clone(), self.permits.clone(), key.clone());
        async move {
            let _permit = permits.take()?;
            let first = range.start;
            let chunks = store.read_chunks(&key, shape.generation, range).await?;
            Ok(keep(&l1, shape, first, chunks))
        }
    }

    fn load_pinned(
        &self,
        key: &ListingKey,
        shape: Shape,
        range: Range<u64>,
    ) -> impl Future<Output = Result<PinnedRange, EngineError>> + Send + use<> {
        let (store, l1, permits, key) = (self.store.clone(), self.l1.clone(), self.permits.clone(), key.clone());
        async move {
            let _permit = permits.take()?;
            let load = l1.heads.begin_load(&key);
            let first = range.start;
            let read = store.read_pinned(&key, shape.generation, range).await?;
            Ok(PinnedRange {
                head: load.finish(read.head),
                chunks: keep(&l1, shape, first, read.chunks),
                left: read.left,
            })
        }
    }
}

/// Keeps the chunks that are as promised.
fn keep(l1: &L1, shape: Shape, first: u64, mut chunks: Vec<Chunk>) -> LoadedRange {
    chunks.truncate(shape.whole_chunks(first, &chunks));
    let chunks: LoadedRange = chunks.into_iter().map(Arc::new).collect();
    l1.chunks.insert(shape.generation, first, &chunks);
    chunks
}

fn assemble(
    found: Vec<Option<Arc<Chunk>>>,
    plan: &WindowPlan,
    range: &Range<u64>,
    loaded: &[Arc<Chunk>],
    collapsed: bool,
) -> PageChunks {
    let chunks: Option<Vec<_>> = plan
        .chunks()
        .zip(found)
        .map(|(at, found)| {
            let loaded_here = || loaded.get(usize::try_from(at.checked_sub(range.start)?).ok()?).cloned();
            found.or_else(loaded_here)
        })
        .collect();
    match chunks {
        Some(chunks) => PageChunks::Whole {
            chunks,
            read: Some(collapsed),
        },
        None => PageChunks::Lost,
    }
}
