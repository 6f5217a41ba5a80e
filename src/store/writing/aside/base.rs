//! Bases: what a new generation is compared with, chunk by chunk, so that only what differs is written.

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    listing::{ChunkSet, Codec, Content, Delta, Generation, Head, ListingKey},
    store::{
        access::Access,
        dictionaries::Dictionary,
        error::StoreError,
        layout::{
            head_codec::{decode_for_writing, read_for_writing},
            kept_codec::{Bytes, KeptRead},
            sidecar_codec::{Description, decode_with_content, read_with_content},
        },
        reading::{decoding::dictionary_of, heads::HeadReads},
        wire::{commands::Commands, reply},
    },
};

/// A generation is written whole when one chunk in so many differs: what is written is not much less then, and its group can go.
const CHANGED_SHARE: u64 = 3;
/// Variants that are looked at for a base, and bases of theirs that are compared with.
const OTHERS_MAX: usize = 64;
const OTHER_BASES_MAX: usize = 4;
/// A group is given up when its deltas take up so many times what its base does.
const DELTAS_MOST: u64 = 4;
/// A group is given up too when its hash has more fields than this for each chunk of the base, and some spare ones: fields of writers that
/// were killed are in nobody's count of bytes.
const FIELDS_MOST: u64 = 8;
const FIELDS_SPARE: u64 = 256;

/// A generation that another can follow on in its group, and what its chunks come to.
#[derive(Clone, Debug)]
pub struct Base {
    /// What the next delta follows on: without layers where this is a whole generation, or its layers are to be put into one.
    before: Delta,
    pub(super) chunk_len: NonZeroU32,
    /// Of each chunk, wherever it counts from.
    content: Vec<u64>,
    /// Chunks that are written even where they have not changed: `before` has lost their layers.
    absorbed: ChunkSet,
    /// How its group lies, and the dictionary that it needs.
    pub(super) codec: Codec,
    pub(in crate::store::writing) dictionary: Option<Arc<Dictionary>>,
    /// Whether there are sort keys of all items.
    pub(super) has_keys: bool,
    pub(super) bytes: Bytes,
}

impl Base {
    /// The base for a new generation after a head: what the head names. `None` where not all of it is there, where it was cut into other
    /// chunks, or where its group holds too much that does not count any more. Of a generation that is not published the bytes must be `known`.
    pub(in crate::store::writing) async fn of(
        access: &Access,
        listing: &ListingKey,
        head: &Head,
        chunk_len: NonZeroU32,
        known: Option<Bytes>,
    ) -> Result<Option<Self>, StoreError> {
        const OPERATION: &str = "read base";
        if head.total == 0 || head.chunk_len != chunk_len {
            return Ok(None);
        }
        let (keys, delta) = (&access.keys, head.delta.as_deref());
        let base = delta.map_or(head.generation, |delta| delta.base);
        let base_listing = delta.map_or(listing, |delta| delta.base_listing(listing));
        let base_sidecar = keys.sidecar(base_listing, base);
        let own_sidecar = delta.map(|_| keys.sidecar(listing, head.generation));
        let mut turn = Commands::default();
        read_for_writing(&mut turn, keys, listing, KeptRead::Oldest);
        read_with_content(&mut turn, &base_sidecar);
        turn.call(&[b"XLEN", keys.stream(base_listing, base).key().as_bytes()]);
        turn.call(&[b"HLEN", keys.deltas(base_listing, base).key().as_bytes()]);
        if let Some(sidecar) = &own_sidecar {
            read_with_content(&mut turn, sidecar);
        }
        // Through the writing connection, which is the one that the next step needs anyway.
        let mut replies = access.redis.write(OPERATION, turn).await?.into_iter();
        let bytes = decode_for_writing(&mut replies, keys, listing)?.bytes;
        let bytes = known.unwrap_or(bytes);
        let base_read = decode_with_content(replies.next().unwrap_or_default(), &base_sidecar, base)?;
        let [entries, fields] = [replies.next(), replies.next()].map(|reply| reply.as_ref().and_then(reply::unsigned));
        let Some((described, content)) = base_read else {
            return Ok(None);
        };
        let base_chunks = content.chunks.len() as u64;
        let fields_max = base_chunks.saturating_mul(FIELDS_MOST).saturating_add(FIELDS_SPARE);
        let is_worn = bytes.deltas > bytes.base.saturating_mul(DELTAS_MOST) || fields > Some(fields_max);
        if entries != Some(base_chunks) || is_worn {
            return Ok(None);
        }
        let Some(dictionary) = dictionary_of(access, listing.name(), head.codec).await? else {
            return Ok(None);
        };
        let Some((delta, sidecar)) = delta.zip(own_sidecar) else {
            return Ok(Some(Self {
                before: Delta {
                    base,
                    base_of: None,
                    base_chunks,
                    layers: Vec::new(),
                },
                chunk_len,
                content: content.chunks,
                absorbed: ChunkSet::default(),
                codec: head.codec,
                dictionary,
                has_keys: described.has_keys,
                bytes,
            }));
        };
        let own = decode_with_content(replies.next().unwrap_or_default(), &sidecar, head.generation)?;
        let base = own.and_then(|own| Self::layered(delta, content.chunks, own, head.chunks(), bytes));
        Ok(base.map(|base| Self {
            chunk_len,
            codec: head.codec,
            dictionary,
            ..base
        }))
    }

    /// That of a delta, whose sidecar was read too.
    fn layered(
        delta: &Delta,
        mut content: Vec<u64>,
        (described, layered): (Description, Content),
        chunks: u64,
        bytes: Bytes,
    ) -> Option<Self> {
        let changed = delta.changed();
        if changed.len() != layered.chunks.len() as u64 {
            return None;
        }
        content.resize(usize::try_from(chunks).ok()?, 0);
        for (chunk, comes_to) in changed.iter().zip(layered.chunks) {
            *content.get_mut(usize::try_from(chunk).ok()?)? = comes_to;
        }
        let (mut before, mut absorbed) = (delta.clone(), ChunkSet::default());
        if before.layers.len() >= Delta::LAYERS_MAX {
            before.layers.clear();
            absorbed = changed;
        }
        Some(Self {
            before,
            chunk_len: described.chunk_len,
            content,
            absorbed,
            codec: Codec::Plain,
            dictionary: None,
            has_keys: described.has_keys,
            bytes,
        })
    }

    /// The bases of other listings of the same name, of those that were shaped by the same definition.
    pub(in crate::store::writing) async fn of_others(
        access: &Arc<Access>,
        listing: &ListingKey,
        mut others: Vec<ListingKey>,
        definition: u64,
        chunk_len: NonZeroU32,
    ) -> Result<Vec<Self>, StoreError> {
        others.truncate(OTHERS_MAX);
        let heads = HeadReads(access.clone()).read_all(&others).await?;
        let (mut bases, mut known) = (Vec::new(), Vec::new());
        for (other, head) in others.into_iter().zip(heads) {
            let Some(head) = head.live().filter(|head| head.definition == definition) else {
                continue;
            };
            let base = head.delta.as_ref().map_or(head.generation, |delta| delta.base);
            if known.contains(&base) || known.len() >= OTHER_BASES_MAX {
                continue;
            }
            known.push(base);
            bases.extend(Self::of(access, &other, head, chunk_len, None).await?.map(|mut base| {
                let before = &mut base.before;
                let of = before.base_of.take().unwrap_or(other);
                before.base_of = Some(of).filter(|of| of != listing);
                // Their own deltas are counted with them.
                base.bytes.deltas = 0;
                base
            }));
        }
        Ok(bases)
    }

    /// Where the group lies.
    pub(super) fn delta(&self) -> &Delta {
        &self.before
    }

    /// The content of a chunk that need not be written where it stays as it is.
    pub fn lends(&self, index: u64) -> Option<u64> {
        let content = self.content.get(usize::try_from(index).ok()?)?;
        (!self.absorbed.contains(index)).then_some(*content)
    }

    /// Whether a chunk of it comes to this, and need not be written.
    pub(super) fn has(&self, index: u64, chunk: u64) -> bool {
        let at = usize::try_from(index).ok();
        at.and_then(|at| self.content.get(at)) == Some(&chunk) && !self.absorbed.contains(index)
    }

    /// Whether a generation of which the chunks come to this is better written as what differs.
    pub fn suits(&self, content: &[u64]) -> bool {
        let mut changed = ChunkSet::default();
        for (index, chunk) in (0..).zip(content) {
            if !self.has(index, *chunk) {
                changed.push(index);
            }
        }
        let unknown = Generation {
            id: u64::MAX,
            nonce: u32::MAX,
        };
        self.next(unknown, changed, content.len() as u64).is_some()
    }

    /// The delta of a generation with so many chunks in all that changed these, if it is worth one.
    pub(super) fn next(&self, generation: Generation, changed: ChunkSet, chunks: u64) -> Option<Arc<Delta>> {
        if chunks == 0 || changed.len() * CHANGED_SHARE > chunks {
            return None;
        }
        let next = self.before.follow(generation, changed, chunks);
        next.fits().then(|| Arc::new(next))
    }
}

/// What is kept of the content of a delta: of the chunks in its layers, in their order.
pub(super) fn layered_content(content: &Content, delta: &Delta) -> Content {
    let chunks = (0..).zip(&content.chunks);
    let layered = chunks.filter(|(index, _)| delta.layer_of(*index).is_some());
    Content {
        chunks: layered.map(|(_, chunk)| *chunk).collect(),
    }
}
