//! Writing a generation aside, into a stream that no reader knows yet.
//!
//! Invariant 7 begins here: whatever happens to a writer, the published generation stays as it is.
//! `GenerationWriter → FinishedGeneration → publish`: only a finished generation can be published, and only whole ones
//! are finished. A killed writer leaves nothing behind, because its stream has an expiry from its first entry on. A stream that expired
//! under a slow writer does not come back, because every later entry needs it to be there.

use std::{sync::Arc, time::Duration};

use super::{
    base::{Base, layered_content},
    columns::Columns,
    fields::Fields,
    finished::{Draft, FinishedGeneration, Unpublished, Written},
    packer::Packer,
    stream_writer::StreamWriter,
    whole::Whole,
};
use crate::{
    listing::{
        ChunkIndex, ChunkSet, ContentHasher, DataVersion, Generation, Item,
        sidecar::{IdHash, Keyed, Segments},
    },
    store::{
        access::Access,
        dictionaries::Dictionary,
        error::StoreError,
        layout::{
            chunk_codec::Entry,
            delta_codec::{chunk_field, sealed},
            kept_codec::Bytes,
            packed::PlainChunk,
            sidecar_codec::Description,
        },
    },
};

/// The items of a slow source are sent after this: with each pipeline the life of what is written begins anew.
const BATCH_AGE_MAX: Duration = Duration::from_secs(10);
/// Chunks that are held back to see whether a base is worth it: what was written over one that is not would be read and written again.
const PROBED_CHUNKS: usize = 8;

/// Writes one generation aside. Dropped before it is finished, what it wrote is unlinked.
pub struct GenerationWriter {
    draft: Draft,
    unpublished: Unpublished,
    items: u64,
    content: ContentHasher,
    columns: Columns,
    /// The generation that each chunk is compared with.
    base: Option<Base>,
    /// The first chunks, until they have shown whether the base is worth it.
    probe: Option<Vec<Vec<Item>>>,
    /// Packs the chunks, where they are packed and the first was written.
    packer: Option<Packer>,
    /// Chunks that differ from it, or all.
    changed: ChunkSet,
    /// Items of the chunk that is not full yet.
    chunk: Vec<Item>,
    stream: StreamWriter,
    next: ChunkIndex,
}

impl GenerationWriter {
    pub(in crate::store::writing) fn begin(access: Arc<Access>, draft: Draft) -> Self {
        let segments = Segments::new(draft.chunk_len);
        Self {
            unpublished: Unpublished::new(access.clone(), &draft),
            items: 0,
            content: ContentHasher::new(draft.chunk_len),
            columns: Columns::new(draft.generation, segments),
            base: None,
            probe: None,
            packer: None,
            changed: ChunkSet::default(),
            chunk: Vec::with_capacity(draft.chunk_len.get().min(1000) as usize),
            stream: StreamWriter::new(
                access.clone(),
                draft.stream_key.clone(),
                access.keys.aside(&draft.key, draft.generation),
            ),
            next: ChunkIndex(0),
            draft,
        }
    }

    /// Says which version of the origin's data the items are: a later refresh that finds it unchanged reads nothing.
    #[must_use]
    pub fn of_version(mut self, version: Option<DataVersion>) -> Self {
        self.draft.version = version;
        self
    }

    /// Leaves out the chunks that a base has at the same place, unless most of the first ones differ. It stays in Redis as long as what is
    /// written here needs it.
    #[must_use]
    pub fn over(mut self, base: Option<Base>) -> Self {
        self.base = base.filter(|base| base.chunk_len == self.draft.chunk_len);
        if let Some(base) = &self.base {
            let (group, keys) = (base.delta(), &self.unpublished.access.keys);
            let place = keys.deltas(group.base_listing(&self.draft.key), group.base);
            self.unpublished.fields = Fields::among_others(place);
            self.probe = Some(Vec::new());
        }
        self
    }

    /// The same, where it is known that most chunks are the base's.
    #[must_use]
    pub fn over_known(self, base: Option<Base>) -> Self {
        let mut writer = self.over(base);
        writer.probe = None;
        writer
    }

    /// Adds the base's next chunk as it is, which the base must [lend](Base::lends): of its items only the hashes of their ids and their sort keys
    /// are told. To be called between two chunks.
    pub async fn append_lent<'k>(
        &mut self,
        items: impl IntoIterator<Item = (IdHash, Option<&'k [u8]>)>,
    ) -> Result<(), StoreError> {
        let lent = self.base.as_ref().and_then(|base| base.lends(self.next.0));
        let Some(content) = lent.filter(|_| self.chunk.is_empty()) else {
            let reason = "a chunk is taken from a base that does not have it";
            return Err(StoreError::corrupt(self.draft.stream_key.key(), reason));
        };
        for (id, key) in items {
            self.items += 1;
            self.columns.push_hash(id, key);
        }
        self.content.push_chunk(content);
        self.next.0 += 1;
        self.columns
            .end_chunk(self.base.as_ref().map(|_| &self.changed), &mut self.unpublished.fields);
        self.unpublished.fields.send_much(&self.unpublished.access).await
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
            self.end_chunk().await?;
            if self.probe.is_some() {
                continue;
            }
            self.columns
                .end_chunk(self.base.as_ref().map(|_| &self.changed), &mut self.unpublished.fields);
        }
        self.unpublished.fields.send_much(&self.unpublished.access).await?;
        self.keep_alive().await
    }

    /// Sends what there is where that is long ago, and with it the life of what is written begins anew: to be called now and then by
    /// a writer that has nothing to append for long.
    pub async fn keep_alive(&mut self) -> Result<(), StoreError> {
        match self.stream.idle() >= BATCH_AGE_MAX {
            true => {
                self.unpublished.fields.send(&self.unpublished.access).await?;
                self.stream.send().await
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
        if !self.chunk.is_empty() {
            self.end_chunk().await?;
        }
        if let (Some(probe), Some(base)) = (self.probe.take(), &self.base) {
            let is_worth = base.suits(self.content.chunks());
            self.place_all(probe, is_worth).await?;
        }
        self.stream.finish().await?;
        let (access, fields) = (&self.unpublished.access, &mut self.unpublished.fields);
        let changed = self.base.as_ref().map(|_| &self.changed);
        let has_keys = self.columns.finish(changed, fields);
        fields.send(access).await?;
        let content = self.content.finish();
        let mut written = Written {
            total: self.items,
            content: content.whole(),
            has_keys,
            delta: None,
            codec: self.packer.as_ref().map(Packer::codec).unwrap_or_default(),
            bytes: Bytes::whole(self.stream.bytes() + fields.bytes()),
            draft: self.draft,
        };
        if let Some(base) = self.base {
            // Where it takes from a base, the keys are whole only where that one's are.
            written.has_keys &= base.has_keys;
            let (changed, chunks) = (self.changed, self.next.0);
            written.delta = base.next(written.draft.generation, changed.clone(), chunks);
            written.bytes = match &written.delta {
                Some(_) => base.bytes.next(fields.bytes()),
                None => {
                    let layered = base.delta().follow(written.draft.generation, changed, chunks);
                    let packer = packer(access, &written.draft, None).await?;
                    written.codec = packer.as_ref().map(Packer::codec).unwrap_or_default();
                    let whole = Whole::of(access, &written, packer.as_ref(), &layered);
                    Bytes::whole(whole.make(self.stream).await?)
                }
            };
            if written.delta.is_some() {
                written.codec = base.codec;
            }
            if written.delta.is_none() {
                fields.delete(access).await;
            }
        }
        let content = written
            .delta
            .as_ref()
            .map(|delta| layered_content(&content, delta))
            .unwrap_or(content);
        let finished = FinishedGeneration {
            written,
            unpublished: self.unpublished,
        };
        finished.write_sidecar(&content).await?;
        Ok(finished)
    }

    /// The generation that takes all from another one, which is described so. Its content is not known without reading it: the
    /// next refresh that finds the same items publishes them anew.
    pub(in crate::store::writing) fn copied(
        mut self,
        from: Generation,
        description: Description,
        bytes: Bytes,
    ) -> FinishedGeneration {
        (self.draft.chunk_len, self.draft.copy_of) = (description.chunk_len, Some(from));
        FinishedGeneration {
            written: Written {
                draft: self.draft,
                total: description.total,
                content: 0,
                has_keys: description.has_keys,
                delta: description.delta,
                codec: description.codec,
                bytes,
            },
            unpublished: self.unpublished,
        }
    }

    /// Unlinks what was written, and returns when that is done.
    pub async fn abandon(mut self) {
        self.unpublished.unlink().await;
    }

    /// Ends a chunk: it waits for others to judge the base by, or goes where it belongs.
    async fn end_chunk(&mut self) -> Result<(), StoreError> {
        let index = self.next;
        self.next.0 += 1;
        let Some(probe) = &mut self.probe else {
            let mut chunk = std::mem::take(&mut self.chunk);
            self.place(index, &chunk).await?;
            chunk.clear();
            self.chunk = chunk;
            return Ok(());
        };
        probe.push(std::mem::take(&mut self.chunk));
        if let (true, Some(base)) = (probe.len() >= PROBED_CHUNKS, &self.base) {
            let chunks = (0..).zip(self.content.chunks());
            let same = chunks.filter(|(index, chunk)| base.has(*index, **chunk)).count();
            let probe = self.probe.take().unwrap_or_default();
            self.place_all(probe, 2 * same >= PROBED_CHUNKS).await?;
        }
        Ok(())
    }

    /// Places the first chunks, over the base or without it.
    async fn place_all(&mut self, chunks: Vec<Vec<Item>>, over_base: bool) -> Result<(), StoreError> {
        if !over_base {
            self.base = None;
            self.unpublished.fields = Fields::of(self.draft.sidecar_key.clone());
        }
        for (index, items) in (0..).zip(chunks) {
            self.place(ChunkIndex(index), &items).await?;
        }
        Ok(())
    }

    /// Writes a chunk where it is not the base's.
    async fn place(&mut self, index: ChunkIndex, items: &[Item]) -> Result<(), StoreError> {
        let at = usize::try_from(index.0).ok();
        let comes_to = at.and_then(|at| self.content.chunks().get(at));
        if let (Some(base), Some(chunk)) = (&self.base, comes_to)
            && base.has(index.0, *chunk)
        {
            return Ok(());
        }
        self.changed.push(index.0);
        if self.packer.is_none() {
            let dictionary = self.base.as_ref().map(|base| base.dictionary.clone());
            self.packer = packer(&self.unpublished.access, &self.draft, dictionary).await?;
        }
        match (&self.base, PlainChunk::of(items)) {
            (Some(_), Some(chunk)) => {
                let (field, fields) = (chunk_field(self.draft.generation, index), &mut self.unpublished.fields);
                let packed = self.packer.as_ref().map(|packer| packer.pack(&chunk));
                let value = sealed(fields.place(), &field, packed.unwrap_or_else(|| chunk.unpacked()));
                fields.add(field, &value);
                Ok(())
            }
            (_, chunk) => {
                let packed = self
                    .packer
                    .as_ref()
                    .zip(chunk)
                    .map(|(packer, chunk)| packer.pack(&chunk));
                let entry = packed.as_deref().map_or(Entry::Items(items), Entry::Packed);
                self.stream.add(index, entry).await
            }
        }
    }
}

/// What packs a generation's chunks: with the dictionary of its base, where it has one, else with that of its scope.
async fn packer(
    access: &Arc<Access>,
    draft: &Draft,
    of_base: Option<Option<Arc<Dictionary>>>,
) -> Result<Option<Packer>, StoreError> {
    let Some(scope) = draft.packing else { return Ok(None) };
    let dictionary = of_base.unwrap_or_else(|| access.dictionaries.for_writing(scope));
    Packer::begin(access, draft.key.name(), scope, dictionary)
        .await
        .map(Some)
}
