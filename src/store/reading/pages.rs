//! Reads for pages. Each is one turn of plain commands: a script would cost the server three to five times as much.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::Value;

use super::{
    decoding::{decoded, put_back},
    heads::seen_head,
};
use crate::{
    listing::{Chunk, Content, Delta, Generation, Head, HeadState, Item, ListingKey},
    store::{
        access::Access,
        dictionaries::Dictionaries,
        error::StoreError,
        layout::{
            chunk_codec::{Undecoded, decode_items, decode_range, read_range},
            delta_codec::{decode_layered, decode_layered_items, read_layered},
            head_codec::read_head,
            kept_codec::Placed,
            keys::{Keys, ListingPlace},
            sidecar_codec::{
                Description, decode_description, decode_with_content, read_description, read_with_content,
            },
        },
        wire::{commands::Commands, connections::ReplySize, reply},
    },
};

/// A pinned page's reading: one turn, and a second one where a generation turns out to take its chunks from another.
#[derive(Debug)]
pub struct PinnedRead {
    /// The listing's head, which may forbid pins as old as this one.
    pub head: HeadState,
    /// Fewer than asked for where fewer are there.
    pub chunks: Vec<Chunk>,
    /// How long the generation is still kept; `None` where it is gone.
    pub left: Option<Duration>,
    /// What the generation says of itself, if that was asked for and it is there.
    pub description: Option<Description>,
}

/// Reads the items of generations.
#[derive(Clone)]
pub struct PageReads(pub(crate) Arc<Access>);

/// Where some chunks of a generation lie: in its stream; of a delta, in its base's stream and in the hash beside it.
pub(crate) struct Lying<'a> {
    /// The stream, and which of its chunks are read.
    stream: (ListingPlace, Range<u64>),
    chunks: Range<u64>,
    layered: Option<Layered<'a>>,
}

struct Layered<'a> {
    delta: &'a Delta,
    deltas: ListingPlace,
    /// Those of them that count from layers.
    chunks: Vec<u64>,
}

impl<'a> Lying<'a> {
    /// Where chunks of a generation lie.
    pub(crate) fn of(
        keys: &Keys,
        listing: &ListingKey,
        generation: Generation,
        delta: Option<&'a Delta>,
        chunks: Range<u64>,
    ) -> Self {
        let Some(delta) = delta else {
            return Self {
                stream: (keys.stream(listing, generation), chunks.clone()),
                chunks,
                layered: None,
            };
        };
        let base_listing = delta.base_listing(listing);
        let is_layered = |chunk: &u64| delta.layer_of(*chunk).is_some();
        // All between the first and the last that count from the base: to leave some out would take more commands.
        let first = chunks.clone().find(|chunk| !is_layered(chunk)).unwrap_or(chunks.end);
        let last = chunks.clone().rev().find(|chunk| !is_layered(chunk));
        let from_base = first..last.map_or(first, |last| last + 1);
        Self {
            stream: (keys.stream(base_listing, delta.base), from_base),
            layered: Some(Layered {
                delta,
                deltas: keys.deltas(base_listing, delta.base),
                chunks: chunks.clone().filter(is_layered).collect(),
            }),
            chunks,
        }
    }

    /// Adds the commands that read them.
    pub(crate) fn read(&self, to: &mut Commands) {
        let (stream, chunks) = &self.stream;
        if !chunks.is_empty() {
            read_range(to, stream.key(), chunks);
        }
        if let Some(layered) = self.layered.as_ref().filter(|layered| !layered.chunks.is_empty()) {
            read_layered(to, &layered.deltas, layered.delta, layered.chunks.iter().copied());
        }
    }

    /// How many chunks the replies may have.
    pub(super) fn size(&self) -> u64 {
        let layered = self.layered.as_ref().map_or(0, |layered| layered.chunks.len() as u64);
        layered + self.stream.1.end.saturating_sub(self.stream.1.start)
    }

    /// Takes the replies apart: fewer chunks where fewer are there.
    pub(crate) fn decode(
        &self,
        replies: &mut dyn Iterator<Item = Bytes>,
        dictionaries: &Dictionaries,
    ) -> Result<Vec<Chunk>, Undecoded> {
        self.decode_by(
            replies,
            |reply, place, chunks| decode_range(reply, place, chunks, dictionaries),
            |reply, Layered { delta, deltas, chunks }| {
                decode_layered(reply, deltas, delta, chunks.iter().copied(), dictionaries)
            },
        )
    }

    /// The same, with ids.
    pub(crate) fn decode_items(
        &self,
        replies: &mut dyn Iterator<Item = Bytes>,
        dictionaries: &Dictionaries,
    ) -> Result<Vec<Vec<Item>>, Undecoded> {
        self.decode_by(
            replies,
            |reply, place, chunks| decode_items(reply, place, chunks, dictionaries),
            |reply, Layered { delta, deltas, chunks }| {
                decode_layered_items(reply, deltas, delta, chunks.iter().copied(), dictionaries)
            },
        )
    }

    fn decode_by<T>(
        &self,
        replies: &mut dyn Iterator<Item = Bytes>,
        decode: impl Fn(&[u8], &ListingPlace, Range<u64>) -> Result<Vec<T>, Undecoded>,
        decode_layered: impl Fn(&[u8], &Layered<'_>) -> Result<Vec<Option<T>>, Undecoded>,
    ) -> Result<Vec<T>, Undecoded> {
        let (stream, chunks) = &self.stream;
        let from_stream = match chunks.is_empty() {
            true => Vec::new(),
            false => decode(&replies.next().unwrap_or_default(), stream, chunks.clone())?,
        };
        let Some(layered) = &self.layered else {
            return Ok(from_stream);
        };
        let from_layers = match layered.chunks.is_empty() {
            true => Vec::new(),
            false => decode_layered(&replies.next().unwrap_or_default(), layered)?,
        };
        let mut from_base = chunks.clone().zip(from_stream).peekable();
        let mut from_layers = layered.chunks.iter().zip(from_layers).peekable();
        let merged = self.chunks.clone().map_while(|index| {
            if let Some((_, chunk)) = from_layers.next_if(|(at, _)| **at == index) {
                return chunk;
            }
            // Those in between that layers have changed were read too.
            while from_base.next_if(|(at, _)| *at < index).is_some() {}
            let (_, chunk) = from_base.next_if(|(at, _)| *at == index)?;
            Some(chunk)
        });
        Ok(merged.collect())
    }
}

impl PageReads {
    /// The head and, of a generation that may be current, a range of chunks: fewer where fewer are there, none where it is gone.
    pub async fn read(
        &self,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&Delta>,
        chunks: Range<u64>,
    ) -> Result<(HeadState, Vec<Chunk>), StoreError> {
        const OPERATION: &str = "read head and chunks";
        let head_key = self.0.keys.head(key);
        let lying = Lying::of(&self.0.keys, key, generation, delta, chunks);
        let mut turn = Commands::default();
        read_head(&mut turn, head_key.key());
        lying.read(&mut turn);
        let replies = self
            .0
            .redis
            .read_raw(ReplySize::of_chunks(lying.size()), OPERATION, turn)
            .await?;
        let mut replies = replies.into_iter();
        let head = seen_head(&self.0, key, &head_key, next_value(&mut replies, OPERATION)?)?;
        let chunks = decoded(&self.0, key.name(), replies.as_slice(), |replies, dictionaries| {
            lying.decode(replies, dictionaries)
        });
        Ok((head, chunks.await?))
    }

    /// A range of a generation's chunks: fewer where fewer are there, none where it is gone.
    pub async fn chunks(
        &self,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&Delta>,
        chunks: Range<u64>,
    ) -> Result<Vec<Chunk>, StoreError> {
        if chunks.is_empty() {
            return Ok(Vec::new());
        }
        let lying = Lying::of(&self.0.keys, key, generation, delta, chunks);
        let mut turn = Commands::default();
        lying.read(&mut turn);
        let replies = self
            .0
            .redis
            .read_raw(ReplySize::of_chunks(lying.size()), "read chunks", turn)
            .await?;
        decoded(&self.0, key.name(), &replies, |replies, dictionaries| {
            lying.decode(replies, dictionaries)
        })
        .await
    }

    /// A range of a pinned generation's chunks, with what decides whether it may be served. Where nothing is `known` of the
    /// generation, it is asked what it says of itself.
    pub async fn pinned(
        &self,
        key: &ListingKey,
        generation: Generation,
        known: Option<Option<&Delta>>,
        chunks: Range<u64>,
    ) -> Result<PinnedRead, StoreError> {
        const OPERATION: &str = "read pinned";
        let (head_key, sidecar) = (self.0.keys.head(key), self.0.keys.sidecar(key, generation));
        let lying = Lying::of(&self.0.keys, key, generation, known.flatten(), chunks.clone());
        let mut turn = Commands::default();
        read_head(&mut turn, head_key.key());
        time_left(&mut turn, sidecar.key());
        if known.is_none() {
            read_description(&mut turn, &sidecar);
        }
        lying.read(&mut turn);
        let replies = self
            .0
            .redis
            .read_raw(ReplySize::of_chunks(lying.size()), OPERATION, turn)
            .await?;
        let mut replies = replies.into_iter();
        let head = seen_head(&self.0, key, &head_key, next_value(&mut replies, OPERATION)?)?;
        let left = reply::time_left(next_value(&mut replies, OPERATION)?, sidecar.key())?;
        let description = match known {
            Some(_) => None,
            None => {
                let reply = next_value(&mut replies, OPERATION)?.unwrap_or_default();
                decode_description(reply, &sidecar, generation)?
            }
        };
        let delta = description.as_ref().and_then(|description| description.delta.clone());
        let chunks = match delta {
            Some(delta) => self.chunks(key, generation, Some(&delta), chunks).await?,
            None => {
                let chunks = decoded(&self.0, key.name(), replies.as_slice(), |replies, dictionaries| {
                    lying.decode(replies, dictionaries)
                });
                chunks.await?
            }
        };
        Ok(PinnedRead {
            head,
            chunks,
            left,
            description,
        })
    }

    /// What a generation says of itself; `None` if it is gone.
    pub async fn describe(&self, key: &ListingKey, generation: Generation) -> Result<Option<Description>, StoreError> {
        let sidecar = self.0.keys.sidecar(key, generation);
        let mut turn = Commands::default();
        read_description(&mut turn, &sidecar);
        let reply = self.0.redis.read("describe", turn).await?.into_iter().next();
        decode_description(reply.unwrap_or_default(), &sidecar, generation)
    }

    /// The same, with what its chunks come to: of a delta those in its layers.
    pub(crate) async fn describe_with_content(
        &self,
        key: &ListingKey,
        generation: Generation,
    ) -> Result<Option<(Description, Content)>, StoreError> {
        let sidecar = self.0.keys.sidecar(key, generation);
        let mut turn = Commands::default();
        read_with_content(&mut turn, &sidecar);
        let reply = self.0.redis.read("describe", turn).await?.into_iter().next();
        decode_with_content(reply.unwrap_or_default(), &sidecar, generation)
    }

    /// Whether all is there that a head promises: its sidecar, as many entries in the stream of its group, and at least as many changed
    /// chunks beside it.
    pub async fn is_whole(&self, key: &ListingKey, head: &Head) -> Result<bool, StoreError> {
        const OPERATION: &str = "count chunks";
        let (keys, placed) = (&self.0.keys, Placed::of(head));
        let (of, base) = (placed.base_listing(key), placed.base());
        let (sidecar, stream, deltas) = (
            keys.sidecar(key, head.generation),
            keys.stream(of, base),
            keys.deltas(of, base),
        );
        let mut turn = Commands::default();
        turn.call(&[b"EXISTS", sidecar.key().as_bytes()]);
        turn.call(&[b"XLEN", stream.key().as_bytes()]);
        turn.call(&[b"HLEN", deltas.key().as_bytes()]);
        let dictionary = placed
            .dictionary
            .map(|hash| keys.dictionary(key.name(), format_args!("{hash:016x}")));
        if let Some(dictionary) = &dictionary {
            turn.call(&[b"EXISTS", dictionary.as_bytes()]);
        }
        let replies = self.0.redis.read(OPERATION, turn).await?.into_iter();
        let mut counted = Vec::new();
        for reply in replies {
            match reply::answered(reply, OPERATION, stream.key()) {
                Ok(reply) => counted.push(reply::unsigned(&reply)),
                // Something else lies there.
                Err(StoreError::Corrupt { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let has_dictionary = dictionary.is_none() || counted.pop() == Some(Some(1));
        let has_chunks = matches!(
            counted[..],
            [Some(1), Some(held), Some(changed)] if held == head.group_chunks() && changed >= head.layered_chunks()
        );
        Ok(has_chunks && (has_dictionary || put_back(&self.0, key.name(), head.codec).await?))
    }

    /// Bytes of a generation by MEMORY USAGE: the stream of its group, its sidecar, and what was changed since its base.
    pub async fn bytes(&self, key: &ListingKey, head: &Head) -> Result<[Option<u64>; 3], StoreError> {
        let (keys, placed) = (&self.0.keys, Placed::of(head));
        let (of, base) = (placed.base_listing(key), placed.base());
        let stream = self.measure(&keys.stream(of, base), None).await?;
        // A few fields of a hash tell nothing of the others: all are counted.
        let sidecar = self.measure(&keys.sidecar(key, head.generation), Some(0)).await?;
        let deltas = self.measure(&keys.deltas(of, base), Some(0)).await?;
        Ok([stream, sidecar, deltas])
    }

    /// The memory of a key, by so many samples of its parts.
    async fn measure(&self, place: &ListingPlace, samples: Option<u32>) -> Result<Option<u64>, StoreError> {
        let mut command = redis::cmd("MEMORY");
        command.arg("USAGE").arg(place);
        if let Some(samples) = samples {
            command.arg("SAMPLES").arg(samples);
        }
        let reply = self.0.redis.read_one("measure", place.key(), &command).await?;
        Ok(reply::unsigned(&reply))
    }

    /// The stream of a whole generation.
    pub fn stream_key(&self, key: &ListingKey, generation: Generation) -> String {
        self.0.keys.stream(key, generation).into()
    }
}

/// The next of several replies, where it is a small one.
fn next_value(replies: &mut impl Iterator<Item = Bytes>, operation: &'static str) -> Result<Option<Value>, StoreError> {
    replies.next().map(|bytes| reply::value(&bytes, operation)).transpose()
}

fn time_left(to: &mut Commands, key: &str) {
    to.call(&[b"PTTL", key.as_bytes()]);
}
