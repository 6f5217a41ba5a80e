//! Generations are written aside, into streams that nobody reads yet.
//!
//! Invariant 7 begins here: whatever befalls a writer, what is published stays as it is.
//! `GenerationWriter → FinishedGeneration → publish`: only a finished generation can be published, and only whole ones
//! are finished. A writer that is killed leaves nothing behind, for its stream has an expiry from its first entry on; a
//! stream that expired under a slow writer is not born again, for every later entry needs it to be there.

use std::{
    fmt,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use redis::{Pipeline, Value};

use super::in_flight::{OnTheirWay, deliver};
use crate::{
    listing::{ChunkIndex, ContentHasher, DataVersion, Generation, Item, ListingKey, Policy, Timestamp},
    store::{
        Store,
        error::StoreError,
        layout::chunk_codec::add_chunk,
        wire::{commands::Commands, reply},
    },
};

/// How long an unpublished stream outlives its writer's last batch.
pub(crate) const BUILDING_LIFE: Duration = Duration::from_secs(60);
/// What a slow source has given so far is sent after this: with each pipeline the stream's life begins anew.
const BATCH_AGE_MAX: Duration = Duration::from_secs(10);
/// Entries a pipeline: more would make a neighbour's small call wait.
const BATCH_ENTRIES_MAX: usize = 400;
/// Bytes a pipeline, but for its last chunk.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Where a generation lies, and what its head will say of it.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub key: ListingKey,
    pub generation: Generation,
    pub as_of: Timestamp,
    pub definition: u64,
    pub definition_version: u32,
    /// See [`GenerationWriter::of_version`].
    pub version: Option<DataVersion>,
    pub chunk_len: NonZeroU32,
    pub stream_key: String,
}

/// All of a generation that was written aside.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub draft: Draft,
    pub total: u64,
    pub content: u128,
    pub entries: u64,
}

/// Unlinks a stream that was not published, unless told that it may have been.
struct Unpublished {
    store: Store,
    stream_key: Option<String>,
}

impl Unpublished {
    fn keep(&mut self) {
        self.stream_key = None;
    }

    async fn unlink(&mut self) {
        if let Some(stream_key) = self.stream_key.take() {
            self.store.unlink(stream_key).await;
        }
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if let Some(stream_key) = self.stream_key.take() {
            let store = self.store.clone();
            self.store.spawn(async move { store.unlink(stream_key).await });
        }
    }
}

/// Writes one generation aside. Dropped before it is finished, what it wrote is unlinked.
pub struct GenerationWriter {
    draft: Draft,
    unpublished: Unpublished,
    items: u64,
    content: ContentHasher,
    /// Items of the chunk that is not full yet.
    chunk: Vec<Item>,
    /// Entries of the pipeline that is not full yet.
    batch: Commands,
    /// The pipelines before it.
    on_their_way: OnTheirWay,
    sent_at: Instant,
    next: ChunkIndex,
    /// Whether the first entry, and with it the expiry, is in Redis.
    begun: bool,
}

impl GenerationWriter {
    /// Says which version of the origin's data the items are: a later refresh that finds it unchanged reads nothing.
    #[must_use]
    pub fn of_version(mut self, version: Option<DataVersion>) -> Self {
        self.draft.version = version;
        self
    }

    /// Adds an item at the end. Sends a pipeline when one is full, or has waited for long; that it could not be written is
    /// told when the next one is sent.
    pub async fn append(&mut self, item: Item) -> Result<(), StoreError> {
        self.append_all([item]).await
    }

    /// Adds items at the end, as [`append`](Self::append) does.
    pub async fn append_all(&mut self, items: impl IntoIterator<Item = Item>) -> Result<(), StoreError> {
        for item in items {
            self.items += 1;
            self.content.push(&item);
            self.chunk.push(item);
            if self.chunk.len() < self.draft.chunk_len.get() as usize {
                continue;
            }
            if self.batch.len() + 1 >= BATCH_ENTRIES_MAX || self.batch.bytes() >= BATCH_BYTES_MAX {
                self.end_batch().await?;
            } else {
                self.end_chunk();
            }
        }
        self.keep_alive().await
    }

    /// Sends what there is where that is long ago, and with it the stream's life begins anew: to be called now and then by
    /// whoever has nothing to append for long.
    pub async fn keep_alive(&mut self) -> Result<(), StoreError> {
        match self.sent_at.elapsed() >= BATCH_AGE_MAX {
            true => self.send().await,
            false => Ok(()),
        }
    }

    /// Items appended so far.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Sends what is left. Only what this returns can be published.
    pub async fn finish(mut self) -> Result<FinishedGeneration, StoreError> {
        // An empty listing has no stream.
        if !self.chunk.is_empty() || !self.batch.is_empty() {
            self.end_batch().await?;
        }
        self.on_their_way.all_arrived().await?;
        Ok(FinishedGeneration {
            written: Written {
                draft: self.draft,
                total: self.items,
                content: self.content.finish(),
                entries: self.next.0,
            },
            unpublished: self.unpublished,
        })
    }

    /// Unlinks what was written, and returns when that is done.
    pub async fn abandon(mut self) {
        self.unpublished.unlink().await;
    }

    fn end_chunk(&mut self) {
        if self.begun && self.batch.is_empty() && self.unpublished.store.inner.connections.writes_quietly() {
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

    fn add_chunk(&mut self) {
        let (key, is_first) = (&self.draft.stream_key, self.next.0 == 0);
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
        let store = &self.unpublished.store;
        if self.begun {
            self.on_their_way
                .send(store, &self.draft.stream_key, &mut self.batch)
                .await
        } else {
            // The first makes the stream: it must not arrive after the unlinking.
            deliver(store.clone(), self.draft.stream_key.clone(), self.batch.take()).await?;
            self.begun = true;
            Ok(())
        }
    }
}

/// A generation all of whose chunks are written. Dropped without being published, it is unlinked.
#[must_use]
pub struct FinishedGeneration {
    pub(crate) written: Written,
    unpublished: Unpublished,
}

impl FinishedGeneration {
    /// The listing it is of.
    pub fn key(&self) -> &ListingKey {
        &self.written.draft.key
    }

    /// Which generation it is.
    pub fn generation(&self) -> Generation {
        self.written.draft.generation
    }

    /// How many items it has.
    pub fn total(&self) -> u64 {
        self.written.total
    }

    /// What it holds, see [`ContentHasher`].
    pub fn content(&self) -> u128 {
        self.written.content
    }

    /// From here on it may have been published, whatever becomes of the reply: it is left to its expiry.
    pub(crate) fn keep(&mut self) {
        self.unpublished.keep();
    }

    /// A definite refusal: it is of no use any more.
    pub(crate) async fn unlink(self) {
        self.unpublished
            .store
            .unlink(self.written.draft.stream_key.clone())
            .await;
    }
}

impl fmt::Debug for FinishedGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, generation) = (self.key(), self.generation());
        write!(f, "FinishedGeneration({key} {generation}, {} items)", self.total())
    }
}

impl Store {
    /// Begins to write a generation aside.
    pub fn write_generation(
        &self,
        key: &ListingKey,
        generation: Generation,
        as_of: Timestamp,
        definition: u64,
        policy: &Policy,
    ) -> GenerationWriter {
        let stream_key = self.stream_key(key, generation);
        GenerationWriter {
            unpublished: Unpublished {
                store: self.clone(),
                stream_key: Some(stream_key.clone()),
            },
            draft: Draft {
                key: key.clone(),
                generation,
                as_of,
                definition,
                definition_version: policy.definition_version,
                version: None,
                chunk_len: policy.chunk_len,
                stream_key,
            },
            items: 0,
            content: ContentHasher::default(),
            chunk: Vec::with_capacity(policy.chunk_len.get().min(1000) as usize),
            batch: Commands::default(),
            on_their_way: OnTheirWay::default(),
            sent_at: Instant::now(),
            next: ChunkIndex(0),
            begun: false,
        }
    }

    /// Copies a generation that is kept to a new one, as it lies there; `None` where it is gone.
    pub async fn copy_generation(
        &self,
        key: &ListingKey,
        from: Generation,
        to: Generation,
        as_of: Timestamp,
        definition: u64,
        policy: &Policy,
    ) -> Result<Option<FinishedGeneration>, StoreError> {
        const OPERATION: &str = "copy generation";
        let Some(described) = self.describe(key, from).await? else {
            return Ok(None);
        };
        let writer = self.write_generation(key, to, as_of, definition, policy);
        let mut turn = Pipeline::new();
        turn.cmd("MULTI");
        turn.cmd("COPY")
            .arg(self.stream_key(key, from))
            .arg(&writer.draft.stream_key);
        turn.cmd("PEXPIRE")
            .arg(&writer.draft.stream_key)
            .arg(BUILDING_LIFE.as_millis() as u64);
        turn.cmd("EXEC");
        let replies = self.inner.connections.write(OPERATION, &turn).await?;
        // The first error is the cause, and EXEC's own only its consequence.
        let answered = |reply| reply::answered(reply, OPERATION, key.name().as_str());
        let replies: Vec<Value> = replies.into_iter().map(answered).collect::<Result<_, _>>()?;
        let copied = replies.into_iter().last().and_then(reply::array).unwrap_or_default();
        if copied.iter().any(|reply| *reply != Value::Int(1)) {
            return Ok(None);
        }
        let chunk_len = described.chunk_len;
        Ok(Some(FinishedGeneration {
            written: Written {
                draft: Draft {
                    chunk_len,
                    ..writer.draft
                },
                total: described.total,
                // Not known without reading it: the next refresh that finds the same publishes it anew.
                content: 0,
                entries: described.total.div_ceil(chunk_len.get().into()),
            },
            unpublished: writer.unpublished,
        }))
    }

    /// Unlinks a stream. A failure is let be: the stream has an expiry.
    async fn unlink(&self, stream_key: String) {
        let mut turn = Pipeline::new();
        turn.cmd("UNLINK").arg(stream_key);
        let _ = self.inner.connections.write("unlink generation", &turn).await;
    }
}
