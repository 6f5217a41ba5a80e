//! Writing a generation aside, into a stream that no reader knows yet.
//!
//! Invariant 7 begins here: whatever happens to a writer, the published generation stays as it is.
//! `GenerationWriter → FinishedGeneration → publish`: only a finished generation can be published, and only whole ones
//! are finished. A killed writer leaves nothing behind, because its stream has an expiry from its first entry on. A stream that expired
//! under a slow writer does not come back, because every later entry needs it to be there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    base::Base,
    columns::Columns,
    finished::{BUILDING_LIFE, Draft, FinishedGeneration, Unpublished, Written},
    in_flight::{OnTheirWay, deliver},
    whole::Whole,
};
use crate::{
    listing::{
        ChunkIndex, ChunkSet, ContentHasher, DataVersion, Delta, Generation, Item,
        sidecar::{Keyed, Segments},
    },
    store::{
        access::Access,
        error::StoreError,
        layout::{chunk_codec::add_chunk, sidecar_codec::Description},
        wire::commands::Commands,
    },
};

/// The items of a slow source are sent after this: with each pipeline the stream's life begins anew.
const BATCH_AGE_MAX: Duration = Duration::from_secs(10);
/// Entries a pipeline: more would make a neighbour's small call wait.
const BATCH_ENTRIES_MAX: usize = 400;
/// Bytes a pipeline, but for its last chunk.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Writes one generation aside. Dropped before it is finished, what it wrote is unlinked.
pub struct GenerationWriter {
    draft: Draft,
    unpublished: Unpublished,
    items: u64,
    content: ContentHasher,
    columns: Columns,
    /// The generation that each chunk is compared with.
    base: Option<Base>,
    /// Chunks that differ from it.
    changed: ChunkSet,
    /// Items of the chunk that is not full yet.
    chunk: Vec<Item>,
    /// Entries of the pipeline that is not full yet.
    batch: Commands,
    /// The pipelines before it.
    on_their_way: OnTheirWay,
    sent_at: Instant,
    next: ChunkIndex,
    /// Entries of its own.
    entries: u64,
    /// Whether the first entry, and with it the expiry, is in Redis.
    begun: bool,
}

impl GenerationWriter {
    pub(super) fn begin(access: Arc<Access>, draft: Draft) -> Self {
        Self {
            unpublished: Unpublished::new(access, &draft),
            items: 0,
            content: ContentHasher::new(draft.chunk_len),
            columns: Columns::new(draft.sidecar_key.clone(), Segments::new(draft.chunk_len)),
            base: None,
            changed: ChunkSet::default(),
            chunk: Vec::with_capacity(draft.chunk_len.get().min(1000) as usize),
            batch: Commands::default(),
            on_their_way: OnTheirWay::default(),
            sent_at: Instant::now(),
            next: ChunkIndex(0),
            entries: 0,
            begun: false,
            draft,
        }
    }

    /// Says which version of the origin's data the items are: a later refresh that finds it unchanged reads nothing.
    #[must_use]
    pub fn of_version(mut self, version: Option<DataVersion>) -> Self {
        self.draft.version = version;
        self
    }

    /// Leaves out the chunks that a base has at the same place. It stays in Redis as long as what is written here needs it.
    #[must_use]
    pub fn over(mut self, base: Option<Base>) -> Self {
        self.base = base.filter(|base| base.chunk_len == self.draft.chunk_len);
        self
    }

    /// Adds an item at the end, with its sort key or without. Sends a pipeline when one is full, or has waited for long; that it
    /// could not be written is told when the next one is sent.
    pub async fn append<'k>(&mut self, item: impl Into<Keyed<'k>>) -> Result<(), StoreError> {
        self.append_all([item]).await
    }

    /// Adds items at the end, as [`append`](Self::append) does.
    pub async fn append_all<'k>(
        &mut self,
        items: impl IntoIterator<Item = impl Into<Keyed<'k>>>,
    ) -> Result<(), StoreError> {
        for item in items {
            let Keyed { item, key } = item.into();
            self.items += 1;
            self.columns.push(&item.id, key);
            self.content.push(&item, key);
            self.chunk.push(item);
            if self.chunk.len() < self.draft.chunk_len.get() as usize {
                continue;
            }
            if self.is_in_base() {
                self.skip_chunk();
            } else if self.batch.len() + 1 >= BATCH_ENTRIES_MAX || self.batch.bytes() >= BATCH_BYTES_MAX {
                self.end_batch().await?;
            } else {
                self.end_chunk();
            }
            self.columns.end_chunk(self.base.as_ref().map(|_| &self.changed));
        }
        self.columns.send_much(&self.unpublished.access).await?;
        self.keep_alive().await
    }

    /// Sends what there is where that is long ago, and with it the stream's life begins anew: to be called now and then by
    /// a writer that has nothing to append for long.
    pub async fn keep_alive(&mut self) -> Result<(), StoreError> {
        match self.sent_at.elapsed() >= BATCH_AGE_MAX {
            true => {
                self.columns.send(&self.unpublished.access).await?;
                self.send().await
            }
            false => Ok(()),
        }
    }

    /// Items appended so far.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Sends what is left. Only what this returns can be published.
    pub async fn finish(mut self) -> Result<FinishedGeneration, StoreError> {
        self.content.end_chunk();
        if !self.chunk.is_empty() && self.is_in_base() {
            self.skip_chunk();
        }
        // A generation without a chunk of its own has no stream.
        if !self.chunk.is_empty() || !self.batch.is_empty() {
            self.end_batch().await?;
        }
        self.on_their_way.all_arrived().await?;
        let delta = self.delta().await?;
        let content = self.content.finish();
        let access = &self.unpublished.access;
        let base = self.base.as_ref();
        // Where it takes from a base, the keys are whole only where that one's are.
        let base_has_keys = base.is_none_or(|base| base.has_keys);
        let changed = base.map(|_| &self.changed);
        let base = base.filter(|_| delta.is_none());
        let base = base.map(|base| access.keys.sidecar(&self.draft.key, base.generation));
        let has_keys = self.columns.finish(access, changed, base.as_ref()).await?;
        let finished = FinishedGeneration {
            written: Written {
                total: self.items,
                content: content.whole(),
                has_keys: has_keys && base_has_keys,
                delta,
                draft: self.draft,
            },
            unpublished: self.unpublished,
        };
        finished.write_sidecar(Some(&content)).await?;
        Ok(finished)
    }

    /// The delta in the end. Where too much differs, the base's chunks are put in between, and the generation is whole.
    async fn delta(&self) -> Result<Option<Arc<Delta>>, StoreError> {
        let (chunks, changed) = (self.next.0, &self.changed);
        let Some(base) = self.base.as_ref().filter(|_| changed.len() < chunks) else {
            return Ok(None);
        };
        let delta = base.delta(changed.clone(), chunks);
        if delta.is_none() {
            let (access, draft) = (&self.unpublished.access, &self.draft);
            let whole = Whole {
                access,
                own: &draft.stream_key,
                base: access.keys.stream(&draft.key, base.generation),
                aside: access.keys.aside(&draft.key, draft.generation),
                changed,
            };
            whole.make(chunks).await?;
        }
        Ok(delta)
    }

    /// The generation that takes all from another one, which is described so. Its content is not known without reading it: the
    /// next refresh that finds the same items publishes them anew.
    pub(super) fn copied(mut self, from: Generation, description: Description) -> FinishedGeneration {
        (self.draft.chunk_len, self.draft.copy_of) = (description.chunk_len, Some(from));
        FinishedGeneration {
            written: Written {
                draft: self.draft,
                total: description.total,
                content: 0,
                has_keys: description.has_keys,
                delta: description.delta,
            },
            unpublished: self.unpublished,
        }
    }

    /// Unlinks what was written, and returns when that is done.
    pub async fn abandon(mut self) {
        self.unpublished.unlink().await;
    }

    fn end_chunk(&mut self) {
        if self.begun && self.batch.is_empty() && self.unpublished.access.redis.writes_quietly() {
            self.batch.begin_quiet();
        }
        self.add_chunk();
    }

    /// Sends what there is. Its last entry is not quiet, so that Redis says where it is full, or the stream gone. Should it be
    /// so for some entries only, the stream is too short, and publishing it is refused.
    async fn end_batch(&mut self) -> Result<(), StoreError> {
        self.batch.end_quiet();
        if !self.chunk.is_empty() {
            self.add_chunk();
        }
        self.send().await
    }

    /// Whether the chunk that has just ended is the base's.
    fn is_in_base(&self) -> bool {
        let chunk = self.content.chunks().last();
        let base = self.base.as_ref().zip(chunk);
        base.is_some_and(|(base, chunk)| base.has(self.next.0, *chunk))
    }

    fn skip_chunk(&mut self) {
        self.chunk.clear();
        self.next.0 += 1;
    }

    fn add_chunk(&mut self) {
        let (key, is_first) = (&self.draft.stream_key, self.entries == 0);
        // The first entry and the expiry come together or not at all: nothing without expiry is ever left behind.
        if is_first {
            self.batch.add(&redis::cmd("MULTI"));
        }
        add_chunk(&mut self.batch, key, self.next, &self.chunk, !is_first);
        if is_first {
            self.renew();
            self.batch.add(&redis::cmd("EXEC"));
        }
        self.chunk.clear();
        self.changed.push(self.next.0);
        self.entries += 1;
        self.next.0 += 1;
    }

    fn renew(&mut self) {
        let life = BUILDING_LIFE.as_millis() as u64;
        self.batch
            .add(redis::cmd("PEXPIRE").arg(&self.draft.stream_key).arg(life));
    }

    async fn send(&mut self) -> Result<(), StoreError> {
        self.sent_at = Instant::now();
        if self.begun {
            self.batch.end_quiet();
            self.renew();
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let access = &self.unpublished.access;
        if self.begun {
            self.on_their_way
                .send(access, self.draft.stream_key.key(), &mut self.batch)
                .await
        } else {
            // The first makes the stream: it must not arrive after the unlinking.
            deliver(
                access.clone(),
                self.draft.stream_key.key().to_owned(),
                self.batch.take(),
            )
            .await?;
            self.begun = true;
            Ok(())
        }
    }
}
