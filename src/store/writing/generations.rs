//! Writing a generation aside, into a stream that no reader knows yet.
//!
//! Invariant 7 begins here: whatever happens to a writer, the published generation stays as it is.
//! `GenerationWriter → FinishedGeneration → publish`: only a finished generation can be published, and only whole ones
//! are finished. A killed writer leaves nothing behind, because its stream has an expiry from its first entry on. A stream that expired
//! under a slow writer does not come back, because every later entry needs it to be there.

use std::{
    fmt,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use super::in_flight::{OnTheirWay, deliver, unlink};
use crate::{
    listing::{ChunkIndex, ContentHasher, DataVersion, Generation, Item, ListingKey, Timestamp},
    store::{access::Access, error::StoreError, layout::chunk_codec::add_chunk, wire::commands::Commands},
};

/// How long an unpublished stream outlives its writer's last batch.
pub(crate) const BUILDING_LIFE: Duration = Duration::from_secs(60);
/// The items of a slow source are sent after this: with each pipeline the stream's life begins anew.
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
    /// The generation that it is a copy of, where it is one.
    pub copy_of: Option<Generation>,
}

impl Draft {
    /// Whether a generation is undone by this one: this is a copy of it, or of one before it.
    pub(crate) fn undoes(&self, generation: &Generation) -> bool {
        self.copy_of.is_some_and(|from| generation.id >= from.id)
    }
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
    access: Arc<Access>,
    stream_key: Option<String>,
}

impl Unpublished {
    fn keep(&mut self) {
        self.stream_key = None;
    }

    async fn unlink(&mut self) {
        if let Some(stream_key) = self.stream_key.take() {
            unlink(&self.access, &stream_key).await;
        }
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if let Some(stream_key) = self.stream_key.take() {
            let access = self.access.clone();
            self.access
                .runtime
                .spawn(async move { unlink(&access, &stream_key).await });
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
    pub(super) fn begin(access: Arc<Access>, draft: Draft) -> Self {
        Self {
            unpublished: Unpublished {
                access,
                stream_key: Some(draft.stream_key.clone()),
            },
            items: 0,
            content: ContentHasher::default(),
            chunk: Vec::with_capacity(draft.chunk_len.get().min(1000) as usize),
            batch: Commands::default(),
            on_their_way: OnTheirWay::default(),
            sent_at: Instant::now(),
            next: ChunkIndex(0),
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
    /// a writer that has nothing to append for long.
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

    /// The generation that a copy in Redis makes. Its content is not known without reading it: the next refresh that finds the
    /// same items publishes them anew.
    pub(super) fn copied(mut self, from: Generation, chunk_len: NonZeroU32, total: u64) -> FinishedGeneration {
        (self.draft.chunk_len, self.draft.copy_of) = (chunk_len, Some(from));
        FinishedGeneration {
            written: Written {
                draft: self.draft,
                total,
                content: 0,
                entries: total.div_ceil(chunk_len.get().into()),
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
        let access = &self.unpublished.access;
        if self.begun {
            self.on_their_way
                .send(access, &self.draft.stream_key, &mut self.batch)
                .await
        } else {
            // The first makes the stream: it must not arrive after the unlinking.
            deliver(access.clone(), self.draft.stream_key.clone(), self.batch.take()).await?;
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

    /// Its content, see [`ContentHasher`].
    pub fn content(&self) -> u128 {
        self.written.content
    }

    /// From here on it may have been published, whatever becomes of the reply: it is left to its expiry.
    pub(crate) fn keep(&mut self) {
        self.unpublished.keep();
    }

    /// A definite refusal: it is of no use any more.
    pub(crate) async fn unlink(self) {
        unlink(&self.unpublished.access, &self.written.draft.stream_key).await;
    }
}

impl fmt::Debug for FinishedGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, generation) = (self.key(), self.generation());
        write!(f, "FinishedGeneration({key} {generation}, {} items)", self.total())
    }
}
