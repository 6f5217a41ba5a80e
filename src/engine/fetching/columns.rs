//! The columns of a generation's filters: made of its items, once for all who wait, and kept.
//!
//! The first filtered page of a generation costs a reading of all its chunks; of a generation that differs little from the one before it,
//! a reading of those that have changed. Nothing is kept elsewhere, so a filter that is declared anew works on generations that are there.

use std::{sync::Arc, time::Instant};

use tokio::{runtime::Handle, sync::Semaphore, time::timeout_at};

use crate::{
    engine::{
        error::EngineError,
        l1::{
            L1,
            filter_cache::{ColumnsKey, KnownColumns},
            shape::Layers,
        },
        loads::{coalesce::Coalescer, permits::ReadPermits},
    },
    listing::{
        Chunk, Columns, Filters, ListingKey,
        filtering::{Cell, ColumnBuilder},
    },
    origin::CellReader,
    store::Store,
    telemetry::Metrics,
};

/// Generations that are read at once: each is a reading of a whole listing. The others wait.
const READS_MAX: usize = 4;
/// Chunks that are read in a turn.
const CHUNKS_AT_ONCE: u64 = 128;

/// `None` where Redis does not hold what the generation promises.
type Loaded = Result<Option<Arc<KnownColumns>>, EngineError>;

/// Makes columns.
pub(crate) struct FilterColumns {
    maker: Arc<Maker>,
    loads: Coalescer<ColumnsKey, Loaded>,
}

struct Maker {
    store: Store,
    l1: Arc<L1>,
    permits: ReadPermits,
    metrics: Arc<Metrics>,
    places: Semaphore,
}

impl FilterColumns {
    /// Nothing is read yet.
    pub(crate) fn new(store: Store, l1: Arc<L1>, permits: ReadPermits, metrics: Arc<Metrics>, runtime: Handle) -> Self {
        let places = Semaphore::new(READS_MAX);
        Self {
            maker: Arc::new(Maker {
                store,
                l1,
                permits,
                metrics,
                places,
            }),
            loads: Coalescer::new(runtime),
        }
    }

    /// The columns of a generation; `None` where Redis does not hold what it promises.
    ///
    /// # Errors
    /// [`EngineError::NothingYet`] where they are not made by the deadline: the making goes on.
    pub(crate) async fn get(
        &self,
        key: &ListingKey,
        layers: &Layers,
        filters: &Arc<Filters>,
        deadline: Instant,
    ) -> Loaded {
        let columns_key = (key.clone(), layers.shape.generation, filters.hash);
        if let Some(known) = self.maker.l1.filters.columns(&columns_key) {
            return Ok(Some(known));
        }
        let _permit = self.maker.permits.wait()?;
        let load = || {
            let (maker, key, layers, filters) =
                (self.maker.clone(), columns_key.clone(), layers.clone(), filters.clone());
            async move { maker.load(key, layers, &filters).await }
        };
        let joined = timeout_at(deadline.into(), self.loads.join(&columns_key, load)).await;
        let joined = joined.map_err(|_| EngineError::NothingYet {
            reason: "the filters are being read",
            retry_after: std::time::Duration::from_secs(1),
        })?;
        joined.value.unwrap_or(Err(EngineError::broken_load()))
    }
}

impl Maker {
    async fn load(&self, key: ColumnsKey, layers: Layers, filters: &Arc<Filters>) -> Loaded {
        // The semaphore is never closed.
        let Ok(_place) = self.places.acquire().await else {
            return Err(EngineError::broken_load());
        };
        let chunk_len = u64::from(layers.shape.chunk_len.get());
        let chunks = layers.shape.total.div_ceil(chunk_len);
        let before = self.l1.filters.newest(&key.0, filters.hash);
        let before = before.filter(|before| before.layers.shape.chunk_len == layers.shape.chunk_len);
        let mut builders: Vec<ColumnBuilder> = filters.iter().map(ColumnBuilder::new).collect();
        let reader = Arc::new(CellReader::new(filters));
        let mut at = 0;
        while at < chunks {
            let same = before
                .as_ref()
                .map_or(at, |before| unchanged_until(before, &layers, at, chunks));
            if let (Some(before), true) = (&before, same > at) {
                let positions = positions(at * chunk_len, (same * chunk_len).min(layers.shape.total));
                for (builder, column) in builders.iter_mut().zip(&before.columns.columns) {
                    if !builder.take_over(column, positions.clone()) {
                        return Err(EngineError::broken_load());
                    }
                }
                at = same;
                continue;
            }
            let changes = |chunk: &u64| {
                before
                    .as_ref()
                    .is_none_or(|before| !is_unchanged(before, &layers, *chunk))
            };
            let last = (at..chunks.min(at + CHUNKS_AT_ONCE)).take_while(changes).last();
            let range = at..last.map_or(at, |last| last) + 1;
            let read = {
                let _permit = self.permits.take()?;
                let (generation, delta) = (layers.shape.generation, layers.delta.as_deref());
                self.store
                    .pages
                    .chunks(&key.0, generation, delta, range.clone())
                    .await?
            };
            if layers.shape.whole_chunks(at, &read) < (range.end - range.start) as usize {
                return Ok(None);
            }
            builders = extend(builders, reader.clone(), read).await?;
            at = range.end;
        }
        let known = Arc::new(KnownColumns {
            columns: Columns {
                total: usize::try_from(layers.shape.total).unwrap_or(usize::MAX),
                columns: builders.into_iter().map(ColumnBuilder::finish).collect(),
            },
            layers,
        });
        self.metrics.filter_reads.inc();
        if !self.l1.filters.insert_columns(key, known.clone()) {
            tracing::warn!(
                items = known.columns.total,
                bytes = known.columns.bytes(),
                "the columns of a listing's filters are too large to keep, so each filtered page reads the whole listing: raise l1.filters_max"
            );
        }
        Ok(Some(known))
    }
}

/// Adds the items of chunks. Off the runtime's own threads: to read JSON takes long.
async fn extend(
    mut builders: Vec<ColumnBuilder>,
    reader: Arc<CellReader>,
    chunks: Vec<Chunk>,
) -> Result<Vec<ColumnBuilder>, EngineError> {
    let work = move || {
        for chunk in &chunks {
            for at in 0..chunk.len() {
                let cells = reader.read(&chunk.item(at));
                let cells = cells.iter().chain(std::iter::repeat(&Cell::Nothing));
                for (builder, cell) in builders.iter_mut().zip(cells) {
                    builder.push(cell);
                }
            }
        }
        builders
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| EngineError::broken_load())
}

fn positions(start: u64, end: u64) -> std::ops::Range<usize> {
    let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX);
    at(start)..at(end)
}

/// Whether a chunk is the same in both generations, and has as many items.
fn is_unchanged(before: &KnownColumns, layers: &Layers, chunk: u64) -> bool {
    let items = |layers: &Layers| {
        let chunk_len = u64::from(layers.shape.chunk_len.get());
        layers.shape.total.saturating_sub(chunk * chunk_len).min(chunk_len)
    };
    items(&before.layers) == items(layers) && before.layers.holder_of(chunk) == layers.holder_of(chunk)
}

/// The first chunk from `at` on that has changed, or the end.
fn unchanged_until(before: &KnownColumns, layers: &Layers, at: u64, chunks: u64) -> u64 {
    let mut from_here = at..chunks;
    from_here
        .find(|chunk| !is_unchanged(before, layers, *chunk))
        .unwrap_or(chunks)
}
