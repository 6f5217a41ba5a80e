//! Reads for pages. Each is one turn of plain commands: a script would cost the server three to five times as much.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::Value;

use super::heads::seen_head;
use crate::{
    listing::{Chunk, Delta, Generation, Head, HeadState, Item, ListingKey},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            chunk_codec::{decode_items, decode_range, read_between, read_range},
            head_codec::read_head,
            keys::{Keys, ListingPlace},
            sidecar_codec::{Description, decode_description, read_description},
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

/// Where some chunks of a generation lie: in its own stream, those outside a delta's changed ones in its base's.
pub(crate) struct Lying<'a> {
    own: ListingPlace,
    chunks: Range<u64>,
    layered: Option<Layered<'a>>,
}

struct Layered<'a> {
    delta: &'a Delta,
    base: ListingPlace,
    /// Covers those that the base has.
    from_base: Range<u64>,
    /// The first and the last of those that the delta has.
    from_delta: Option<(u64, u64)>,
}

impl<'a> Lying<'a> {
    /// Where chunks of a generation lie.
    pub(crate) fn of(
        keys: &Keys,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&'a Delta>,
        chunks: Range<u64>,
    ) -> Self {
        let layered = delta.map(|delta| {
            let is_of_base = |index: &u64| !delta.changed.contains(*index);
            let first = chunks.clone().find(is_of_base).unwrap_or(chunks.end);
            let last = chunks.clone().rev().find(is_of_base).map_or(first, |last| last + 1);
            let mut changed = delta.changed.within(chunks.clone());
            let first_changed = changed.next();
            Layered {
                delta,
                base: keys.stream(key, delta.base),
                from_base: first..last,
                from_delta: first_changed.map(|first| (first, changed.last().unwrap_or(first))),
            }
        });
        Self {
            own: keys.stream(key, generation),
            chunks,
            layered,
        }
    }

    /// Adds the commands that read them.
    pub(crate) fn read(&self, to: &mut Commands) {
        let Some(layered) = &self.layered else {
            if !self.chunks.is_empty() {
                read_range(to, self.own.key(), &self.chunks);
            }
            return;
        };
        if !layered.from_base.is_empty() {
            read_range(to, layered.base.key(), &layered.from_base);
        }
        if let Some((first, last)) = layered.from_delta {
            read_between(to, self.own.key(), first, last);
        }
    }

    /// How large the replies may be.
    fn size(&self) -> u64 {
        let chunks = self.chunks.end.saturating_sub(self.chunks.start);
        // Both streams may be asked for all of them.
        if self.layered.is_some() { 2 * chunks } else { chunks }
    }

    /// Takes the replies apart: fewer chunks where fewer are there.
    pub(crate) fn decode(&self, replies: &mut impl Iterator<Item = Bytes>) -> Result<Vec<Chunk>, StoreError> {
        self.decode_by(replies, |reply, place, chunks| decode_range(reply, place, chunks))
    }

    /// The same, with ids.
    pub(crate) fn decode_items(&self, replies: &mut impl Iterator<Item = Bytes>) -> Result<Vec<Vec<Item>>, StoreError> {
        self.decode_by(replies, |reply, place, chunks| decode_items(reply, place, chunks))
    }

    fn decode_by<T: Clone>(
        &self,
        replies: &mut impl Iterator<Item = Bytes>,
        decode: impl Fn(&[u8], &ListingPlace, &mut dyn Iterator<Item = u64>) -> Result<Vec<T>, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let Some(layered) = &self.layered else {
            let reply = if self.chunks.is_empty() { None } else { replies.next() };
            let chunks = reply.map(|reply| decode(&reply, &self.own, &mut self.chunks.clone()));
            return Ok(chunks.transpose()?.unwrap_or_default());
        };
        let from_base = match layered.from_base.is_empty() {
            true => Vec::new(),
            false => decode(
                &replies.next().unwrap_or_default(),
                &layered.base,
                &mut layered.from_base.clone(),
            )?,
        };
        let from_delta = match layered.from_delta {
            None => Vec::new(),
            Some(_) => {
                let mut changed = layered.delta.changed.within(self.chunks.clone());
                decode(&replies.next().unwrap_or_default(), &self.own, &mut changed)?
            }
        };
        let mut from_delta = from_delta.into_iter();
        let of_base = |index: u64| usize::try_from(index.checked_sub(layered.from_base.start)?).ok();
        let merged = self
            .chunks
            .clone()
            .map_while(|index| match layered.delta.changed.contains(index) {
                true => from_delta.next(),
                false => from_base.get(of_base(index)?).cloned(),
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
        Ok((head, lying.decode(&mut replies)?))
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
        lying.decode(&mut replies.into_iter())
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
            None => lying.decode(&mut replies)?,
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

    /// Whether all is there that a head promises: as many entries in its stream and in its base's, and the sidecar.
    pub async fn is_whole(&self, key: &ListingKey, head: &Head) -> Result<bool, StoreError> {
        const OPERATION: &str = "count chunks";
        let own = self.0.keys.stream(key, head.generation);
        let mut turn = Commands::default();
        turn.call(&[b"EXISTS", self.0.keys.sidecar(key, head.generation).key().as_bytes()]);
        turn.call(&[b"XLEN", own.key().as_bytes()]);
        if let Some(delta) = &head.delta {
            turn.call(&[b"XLEN", self.0.keys.stream(key, delta.base).key().as_bytes()]);
        }
        let replies = self.0.redis.read(OPERATION, turn).await?.into_iter();
        let mut counted = Vec::new();
        for reply in replies {
            match reply::answered(reply, OPERATION, own.key()) {
                Ok(reply) => counted.push(reply::unsigned(&reply)),
                // Something else lies there.
                Err(StoreError::Corrupt { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let mut promised = vec![Some(1), Some(head.own_chunks())];
        promised.extend(head.delta.as_ref().map(|delta| Some(delta.base_chunks)));
        Ok(counted == promised)
    }

    /// Bytes of a generation by MEMORY USAGE: its stream, its sidecar, and its base's stream where it names one.
    pub async fn bytes(&self, key: &ListingKey, head: &Head) -> Result<[Option<u64>; 3], StoreError> {
        let keys = &self.0.keys;
        let own = self.measure(&keys.stream(key, head.generation), None).await?;
        // A few fields of a hash tell nothing of the others: all are counted.
        let sidecar = self.measure(&keys.sidecar(key, head.generation), Some(0)).await?;
        let base = match &head.delta {
            None => None,
            Some(delta) => self.measure(&keys.stream(key, delta.base), None).await?,
        };
        Ok([own, sidecar, base])
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

    /// Where a generation's own chunks lie.
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
