//! Reads for pages. Each is one turn of plain commands: a script would cost the server three to five times as much.

use std::{num::NonZeroU32, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use redis::Value;

use super::heads::seen_head;
use crate::{
    listing::{Chunk, ChunkIndex, Generation, Head, HeadState, ListingKey},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            chunk_codec::{decode_entry, decode_range, read_range},
            head_codec::read_head,
        },
        wire::{commands::Commands, connections::ReplySize, reply},
    },
};

/// A pinned page's reading: one turn.
#[derive(Debug)]
pub struct PinnedRead {
    /// The listing's head, which may forbid pins as old as this one.
    pub head: HeadState,
    /// Fewer than asked for where the stream has fewer.
    pub chunks: Vec<Chunk>,
    /// How long the stream is still kept; `None` where it is gone.
    pub left: Option<Duration>,
    /// The stream's own figures, if they were asked for and the stream is there.
    pub description: Option<Description>,
}

/// The own figures of a generation's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Items in it.
    pub total: u64,
    /// Items in its first entry: only the last one may have fewer.
    pub chunk_len: NonZeroU32,
}

/// Reads the items of generations.
#[derive(Clone)]
pub struct PageReads(pub(crate) Arc<Access>);

impl PageReads {
    /// The head and, of a generation that may be current, a range of chunks: fewer where the stream has fewer, none where
    /// it is gone.
    pub async fn read(
        &self,
        key: &ListingKey,
        generation: Generation,
        chunks: Range<u64>,
    ) -> Result<(HeadState, Vec<Chunk>), StoreError> {
        const OPERATION: &str = "read head and chunks";
        let (head_key, stream_key) = (self.0.keys.head(key), self.stream_key(key, generation));
        let mut turn = Commands::default();
        read_head(&mut turn, &head_key);
        if !chunks.is_empty() {
            read_range(&mut turn, &stream_key, &chunks);
        }
        let size = ReplySize::of_chunks(chunks.end.saturating_sub(chunks.start));
        let replies = self.0.redis.read_raw(size, OPERATION, turn).await?;
        let mut replies = replies.into_iter();
        let head = seen_head(&self.0, key, &head_key, next_value(&mut replies, OPERATION)?)?;
        let chunks = replies.next().map(|reply| decode_range(&reply, &stream_key, &chunks));
        Ok((head, chunks.transpose()?.unwrap_or_default()))
    }

    /// A range of a generation's chunks: fewer where the stream has fewer, none where it is gone.
    pub async fn chunks(
        &self,
        key: &ListingKey,
        generation: Generation,
        chunks: Range<u64>,
    ) -> Result<Vec<Chunk>, StoreError> {
        if chunks.is_empty() {
            return Ok(Vec::new());
        }
        let stream_key = self.stream_key(key, generation);
        let mut turn = Commands::default();
        read_range(&mut turn, &stream_key, &chunks);
        let size = ReplySize::of_chunks(chunks.end.saturating_sub(chunks.start));
        let replies = self.0.redis.read_raw(size, "read chunks", turn).await?;
        decode_range(&replies.into_iter().next().unwrap_or_default(), &stream_key, &chunks)
    }

    /// A range of a pinned generation's chunks, with what decides whether it may be served; and, with `describe`, with what the
    /// generation says of itself.
    pub async fn pinned(
        &self,
        key: &ListingKey,
        generation: Generation,
        chunks: Range<u64>,
        describe: bool,
    ) -> Result<PinnedRead, StoreError> {
        const OPERATION: &str = "read pinned";
        let (head_key, stream_key) = (self.0.keys.head(key), self.stream_key(key, generation));
        let mut turn = Commands::default();
        read_head(&mut turn, &head_key);
        time_left(&mut turn, &stream_key);
        if describe {
            read_description(&mut turn, &stream_key);
        }
        if !chunks.is_empty() {
            read_range(&mut turn, &stream_key, &chunks);
        }
        let described = if describe { ENTRIES_DESCRIBED } else { 0 };
        let size = ReplySize::of_chunks(chunks.end.saturating_sub(chunks.start) + described);
        let replies = self.0.redis.read_raw(size, OPERATION, turn).await?;
        let mut replies = replies.into_iter();
        let head = seen_head(&self.0, key, &head_key, next_value(&mut replies, OPERATION)?)?;
        let left = reply::time_left(next_value(&mut replies, OPERATION)?, &stream_key)?;
        let description = match describe {
            true => next_value(&mut replies, OPERATION)?.filter(|_| left.is_some()),
            false => None,
        };
        let chunks = replies.next().map(|reply| decode_range(&reply, &stream_key, &chunks));
        Ok(PinnedRead {
            head,
            chunks: chunks.transpose()?.unwrap_or_default(),
            left,
            description: description.map(|info| decode_info(info, &stream_key)).transpose()?,
        })
    }

    /// A generation's own figures; `None` if its stream is gone, or was never there because it has no items.
    pub async fn describe(&self, key: &ListingKey, generation: Generation) -> Result<Option<Description>, StoreError> {
        let stream_key = self.stream_key(key, generation);
        let mut turn = Commands::default();
        time_left(&mut turn, &stream_key);
        read_description(&mut turn, &stream_key);
        let mut replies = self.0.redis.read("describe", turn).await?.into_iter();
        let left = reply::time_left(replies.next(), &stream_key)?;
        let info = replies.next().unwrap_or_default();
        left.map(|_| decode_info(info, &stream_key)).transpose()
    }

    /// Whether the stream of a head has as many entries as the head promises: fewer where some were lost.
    pub async fn is_whole(&self, key: &ListingKey, head: &Head) -> Result<bool, StoreError> {
        let stream_key = self.stream_key(key, head.generation);
        let mut command = redis::cmd("XLEN");
        command.arg(&stream_key);
        match self.0.redis.read_one("count chunks", &stream_key, &command).await {
            Ok(entries) => {
                let promised = head.total.div_ceil(head.chunk_len.get().into());
                Ok(reply::unsigned(&entries) == Some(promised))
            }
            Err(StoreError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Bytes of a stream by MEMORY USAGE.
    pub async fn stream_bytes(&self, key: &ListingKey, generation: Generation) -> Result<Option<u64>, StoreError> {
        let stream_key = self.stream_key(key, generation);
        let mut command = redis::cmd("MEMORY");
        command.arg("USAGE").arg(&stream_key);
        let reply = self.0.redis.read_one("measure stream", &stream_key, &command).await?;
        Ok(reply::unsigned(&reply))
    }

    /// Where a generation lies.
    pub fn stream_key(&self, key: &ListingKey, generation: Generation) -> String {
        self.0.keys.stream(key, generation)
    }
}

/// The next of several replies, where it is a small one.
fn next_value(replies: &mut impl Iterator<Item = Bytes>, operation: &'static str) -> Result<Option<Value>, StoreError> {
    replies.next().map(|bytes| reply::value(&bytes, operation)).transpose()
}

fn time_left(to: &mut Commands, key: &str) {
    to.call(&[b"PTTL", key.as_bytes()]);
}

/// Without the stream XINFO is an error, which only its text tells from others: ask for the time left in the same turn.
fn read_description(to: &mut Commands, key: &str) {
    to.call(&[b"XINFO", b"STREAM", key.as_bytes()]);
}

/// XINFO STREAM answers with so many entries: the first and the last.
const ENTRIES_DESCRIBED: u64 = 2;

fn decode_info(info: Value, key: &str) -> Result<Description, StoreError> {
    let info = reply::answered(info, "describe", key)?;
    description_of(info).ok_or_else(|| StoreError::corrupt(key, "a stream that is no generation"))
}

/// Total and chunk length: all entries but the last are as long as the first.
fn description_of(info: Value) -> Option<Description> {
    let (mut length, mut first, mut last) = (None, None, None);
    for (name, value) in reply::pairs(info)? {
        match reply::bytes(name)?.as_slice() {
            b"length" => length = reply::unsigned(&value),
            b"first-entry" => first = Some(value),
            b"last-entry" => last = Some(value),
            _ => {}
        }
    }
    let before_last = length?.checked_sub(1)?;
    let first = decode_entry(first?, ChunkIndex(0)).ok()?;
    let last = decode_entry(last?, ChunkIndex(before_last)).ok()?;
    let chunk_len = NonZeroU32::new(u32::try_from(first.len()).ok()?)?;
    let whole = before_last.checked_mul(chunk_len.get().into())?;
    Some(Description {
        total: whole.checked_add(last.len() as u64)?,
        chunk_len,
    })
}
