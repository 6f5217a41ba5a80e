//! The chunks of a page: from L1, and those missing with one range read, by one load for all who wait.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::sync::OwnedSemaphorePermit;

use crate::{
    engine::{
        error::EngineError,
        l1::{
            L1,
            chunk_cache::{Partly, Scattered},
            items::PageItems,
            shape::{Layers, Shape},
        },
        loads::{coalesce::Coalescer, permits::ReadPermits},
    },
    listing::{Chunk, HeadState, ListingKey, WindowPlan},
    store::Store,
};

type LoadedRange = Arc<[Arc<Chunk>]>;

/// What one turn says of a pinned generation.
#[derive(Clone, Debug)]
pub(crate) struct PinnedRange {
    /// The listing's head, for a delete makes pins disappear.
    pub head: HeadState,
    /// The chunks that are as promised.
    chunks: LoadedRange,
    /// How long the generation is still kept; `None` where it is gone.
    pub left: Option<Duration>,
    /// The generation, by what it says of itself; `None` where it is gone.
    pub layers: Option<Layers>,
}

/// Reads chunks.
pub(crate) struct Chunks {
    store: Store,
    l1: Arc<L1>,
    permits: ReadPermits,
    loads: Coalescer<(Shape, Range<u64>), Result<LoadedRange, EngineError>>,
    /// By shape: a load keeps what fits the shape of the caller that leads it, and anybody can make a cursor of another one.
    pinned_loads: Coalescer<(ListingKey, Shape, Range<u64>), Result<PinnedRange, EngineError>>,
}

/// The items of a page some of which were read.
pub(crate) struct ReadItems {
    /// All of them.
    pub items: PageItems,
    /// Whether somebody else's load was waited for.
    pub collapsed: bool,
}

impl Chunks {
    /// Loads run where they are asked for first, and on `runtime` where nobody waits for them any more.
    pub(crate) fn new(store: Store, l1: Arc<L1>, permits: ReadPermits, runtime: tokio::runtime::Handle) -> Self {
        Self {
            store,
            l1,
            permits,
            loads: Coalescer::led_by_the_first(runtime.clone()),
            pinned_loads: Coalescer::led_by_the_first(runtime),
        }
    }

    /// What is not here of a page, with what is. `None` where Redis does not hold what the generation promises: evicted, expired, or
    /// not there yet on a lagging replica.
    pub(crate) async fn read(
        &self,
        key: &ListingKey,
        layers: &Layers,
        partly: Partly,
    ) -> Result<Option<ReadItems>, EngineError> {
        let _permit = self.permits.wait()?;
        let load_key = (layers.shape, partly.missing.clone());
        let load = || self.load(key, layers, partly.missing.clone());
        // Boxed, so that a hit's future is none the larger for it.
        let joined = Box::pin(self.loads.join(&load_key, load)).await;
        let loaded = joined.value.unwrap_or(Err(EngineError::broken_load()))?;
        let (_, range) = load_key;
        Ok(partly.with(range.start, &loaded).map(|items| ReadItems {
            items,
            collapsed: joined.collapsed,
        }))
    }

    /// The items of a page that lie apart, from chunks that are here and chunks of Redis. `None` where Redis lacks a chunk that the generation promises.
    pub(crate) async fn read_scattered(
        &self,
        key: &ListingKey,
        layers: &Layers,
        scattered: Scattered,
    ) -> Result<Option<PageItems>, EngineError> {
        let _permit = self.permits.take()?;
        let (generation, delta) = (layers.shape.generation, layers.delta.as_deref());
        let ranges = &scattered.missing;
        let read = self.store.pages.ranges(key, generation, delta, ranges).await?;
        let read: Vec<Vec<Arc<Chunk>>> = ranges
            .iter()
            .zip(read)
            .map(|(range, chunks)| keep(&self.l1, layers, range.start, chunks).to_vec())
            .collect();
        Ok(scattered.with(&read))
    }

    /// The items of a plan in a pinned generation, if all are as promised, with the listing's head and the time left, in one turn. `None`
    /// where that is overdue by `patience`; the reading goes on then.
    pub(crate) async fn read_pinned(
        &self,
        key: &ListingKey,
        layers: &Layers,
        plan: &WindowPlan,
        patience: Option<Duration>,
    ) -> Result<Option<(PinnedRange, Option<ReadItems>)>, EngineError> {
        let found = self.l1.chunks.find(layers, plan);
        // Everything here already: one chunk is asked for all the same, to hear of the generation's life.
        let range = match &found {
            Ok(_) => plan.chunks().start..plan.chunks().start + 1,
            Err(partly) => partly.missing.clone(),
        };
        let load_key = (key.clone(), layers.shape, range.clone());
        let _permit = self.permits.wait()?;
        let load = || self.load_pinned(key, layers.shape, range.clone());
        let joined = match patience {
            None => self.pinned_loads.join(&load_key, load).await,
            Some(patience) => match self.pinned_loads.join_within(&load_key, patience, load).await {
                Some(joined) => joined,
                None => return Ok(None),
            },
        };
        let pinned = joined.value.unwrap_or(Err(EngineError::broken_load()))?;
        let items = found.map_or_else(|partly| partly.with(range.start, &pinned.chunks), Some);
        let read = items.map(|items| ReadItems {
            items,
            collapsed: joined.collapsed,
        });
        Ok(Some((pinned, read)))
    }

    /// Begins to read what is missing of a plan's chunks, for nobody in particular; the place is given back when it is read. Says
    /// whether anything was begun.
    pub(crate) fn begin(
        &self,
        key: &ListingKey,
        layers: &Layers,
        plan: &WindowPlan,
        place: OwnedSemaphorePermit,
    ) -> bool {
        let Some(missing) = self.l1.chunks.missing(layers, plan) else {
            return false;
        };
        self.loads.begin(&(layers.shape, missing.clone()), || {
            let load = self.load(key, layers, missing);
            async move {
                let _place = place;
                load.await
            }
        })
    }

    fn load(
        &self,
        key: &ListingKey,
        layers: &Layers,
        range: Range<u64>,
    ) -> impl Future<Output = Result<LoadedRange, EngineError>> + Send + use<> {
        let (pages, l1) = (self.store.pages.clone(), self.l1.clone());
        let (permits, key, layers) = (self.permits.clone(), key.clone(), layers.clone());
        async move {
            let _permit = permits.take()?;
            let first = range.start;
            let (generation, delta) = (layers.shape.generation, layers.delta.as_deref());
            let chunks = pages.chunks(&key, generation, delta, range).await?;
            Ok(keep(&l1, &layers, first, chunks))
        }
    }

    fn load_pinned(
        &self,
        key: &ListingKey,
        shape: Shape,
        range: Range<u64>,
    ) -> impl Future<Output = Result<PinnedRange, EngineError>> + Send + use<> {
        let (pages, l1) = (self.store.pages.clone(), self.l1.clone());
        let (permits, key) = (self.permits.clone(), key.clone());
        async move {
            let _permit = permits.take()?;
            let load = l1.heads.begin_load(&key);
            let first = range.start;
            let known = l1.layers_of(&key, shape.generation);
            let delta = known.as_ref().map(|known| known.delta.as_deref());
            let read = pages.pinned(&key, shape.generation, delta, range).await?;
            let described = read.description.map(|said| Layers::described(shape.generation, said));
            if let Some(described) = &described {
                l1.layers.insert((key.clone(), shape.generation), described.clone());
            }
            let layers = known.or(described);
            // L1 keeps the chunks that fit the shape of the caller which leads this load.
            let fitting = Layers {
                shape,
                delta: layers.as_ref().and_then(|layers| layers.delta.clone()),
            };
            Ok(PinnedRange {
                head: load.finish(read.head),
                chunks: keep(&l1, &fitting, first, read.chunks),
                left: read.left,
                layers,
            })
        }
    }
}

/// Keeps the chunks that are as promised.
fn keep(l1: &L1, layers: &Layers, first: u64, mut chunks: Vec<Chunk>) -> LoadedRange {
    chunks.truncate(layers.shape.whole_chunks(first, &chunks));
    let chunks: LoadedRange = chunks.into_iter().map(Arc::new).collect();
    l1.chunks.insert(layers, first, &chunks);
    chunks
}
