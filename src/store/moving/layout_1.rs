//! Layout 1, to be read only: its keys, its heads, its chunks.
//!
//! These rules are history and never change. They stand here a second time, so that the present layout may change without a thought of them:
//! this file uses no key and no codec of the present one.
//!
//! ```text
//! P = <prefix>:1:{00} to {63}                   a name's listings lie in one partition, which the index of names shows
//! P:names                       sorted set      listing keys, such as promo:summer/default
//! P:head:<listing>              hash            id nonce total chunk_len as_of definition definition_version pins_from sum; deleted
//! P:gen:<id>-<nonce>:<listing>  stream          entry 0-(n+1) is chunk n: id, JSON, id, JSON, …, and a check sum under an empty name
//! ```

use std::{num::NonZeroU32, ops::Range};

use redis::Value;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::bare::Bare;
use crate::{
    listing::{Generation, Item, ItemId, Timestamp},
    store::{
        connect_error::ConnectError,
        error::StoreError,
        handle::StoreOptions,
        reading::exports::Exportable,
        wire::{reply, resp, resp::Values},
    },
};

/// Names that are read in one turn.
const NAMES_A_TURN: usize = 500;

/// Reads layout 1. It needs the rights to `ZRANGE`, `HMGET` and `XRANGE`, and writes nothing.
pub struct Layout1 {
    bare: Bare,
    prefix: String,
}

impl Layout1 {
    /// The number of this layout.
    pub const LAYOUT: u32 = 1;
    /// Partitions of names.
    pub const PARTITIONS: u8 = 64;

    /// Connects, and does nothing else.
    ///
    /// # Errors
    /// There is no server, or it refuses the credentials.
    pub async fn open(options: &StoreOptions) -> Result<Self, ConnectError> {
        let bare = Bare::open(options).await?;
        let prefix = options.prefix.clone();
        Ok(Self { bare, prefix })
    }

    fn key(&self, partition: u8, rest: std::fmt::Arguments<'_>) -> String {
        format!("{}:1:{{{partition:02}}}:{rest}", self.prefix)
    }

    /// Listing keys of a partition in the order of their texts, from after one on: none after the last.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn names(&mut self, partition: u8, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        const OPERATION: &str = "read names";
        let key = self.key(partition, format_args!("names"));
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg(from).arg("+").arg("BYLEX");
        command.arg("LIMIT").arg(0).arg(NAMES_A_TURN);
        let reply = self.bare.ask_one(OPERATION, &key, &command).await?;
        let names = reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        Ok(names.into_iter().filter_map(reply::text).collect())
    }

    /// The current generation of a listing; `None` where it is deleted or gone.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where something else lies in the head's place; Redis's own.
    pub async fn current(&mut self, partition: u8, listing: &str) -> Result<Option<Exportable>, StoreError> {
        const OPERATION: &str = "read head";
        let key = self.key(partition, format_args!("head:{listing}"));
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(&HEAD_FIELDS);
        let reply = self.bare.ask_one(OPERATION, &key, &command).await?;
        let values = reply::array(reply).and_then(|values| <[Value; HEAD_FIELDS.len()]>::try_from(values).ok());
        let values = values.ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        let head = decode_head(&values.map(reply::text));
        head.ok_or_else(|| StoreError::corrupt(&key, "a head with missing or unreadable fields"))
    }

    /// The items of a range of chunks: fewer where the stream has fewer, none where it is gone.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where an entry is missing among others, or is not as it was written; Redis's own.
    pub async fn items(
        &mut self,
        (partition, listing): (u8, &str),
        generation: Generation,
        chunks: Range<u64>,
    ) -> Result<Vec<Vec<Item>>, StoreError> {
        const OPERATION: &str = "read chunks";
        let key = self.key(partition, format_args!("gen:{generation}:{listing}"));
        let mut command = redis::cmd("XRANGE");
        command.arg(&key).arg(entry_id(chunks.start)).arg("+");
        command.arg("COUNT").arg(chunks.end.saturating_sub(chunks.start));
        let replies = self.bare.ask(OPERATION, (&command).into()).await?;
        let reply = replies.first().ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        decode_chunks(reply, &key, &chunks)
    }
}

/// Takes entries apart that were asked for as those of a range of chunks.
pub(in crate::store) fn decode_chunks(
    reply: &[u8],
    key: &str,
    chunks: &Range<u64>,
) -> Result<Vec<Vec<Item>>, StoreError> {
    const OPERATION: &str = "decode chunks";
    if resp::is_error(reply) {
        reply::answered(reply::value(reply, OPERATION)?, OPERATION, key)?;
    }
    let mut values = Values::of(reply);
    let entries = values.array().ok_or_else(|| StoreError::odd_reply(OPERATION))?;
    let read = chunks.clone().take(entries);
    let read = read.map(|chunk| decode_chunk(&mut values, chunk));
    read.collect::<Result<_, _>>()
        .map_err(|reason| StoreError::corrupt(key, reason))
}

const HEAD_FIELDS: [&str; 10] = [
    "id",
    "nonce",
    "total",
    "chunk_len",
    "as_of",
    "definition",
    "definition_version",
    "pins_from",
    "deleted",
    "sum",
];

/// `None` where it is no head of this layout.
fn decode_head(fields: &[Option<String>; HEAD_FIELDS.len()]) -> Option<Option<Exportable>> {
    let [
        id,
        nonce,
        total,
        chunk_len,
        as_of,
        definition,
        definition_version,
        pins_from,
        deleted,
        sum,
    ] = fields.each_ref().map(Option::as_deref);
    if fields.iter().all(Option::is_none) {
        return Some(None);
    }
    let generation: Generation = format!("{}-{}", id?, nonce?).parse().ok()?;
    if deleted.is_some() {
        let bare = [total, chunk_len, as_of, definition, sum].iter().all(Option::is_none);
        return bare.then_some(None);
    }
    let total: u64 = total?.parse().ok()?;
    let chunk_len: NonZeroU32 = chunk_len?.parse().ok()?;
    let as_of: u64 = as_of?.parse().ok()?;
    let definition = u64::from_str_radix(definition?, 16).ok()?;
    let definition_version: u32 = definition_version.unwrap_or("0").parse().ok()?;
    let pins_from: u64 = pins_from?.parse().ok()?;
    let summed = format!("{generation} {total} {chunk_len} {as_of} {definition:016x} {definition_version} {pins_from}");
    let is_ours = sum? == format!("{:016x}", xxh3_64(summed.as_bytes()));
    is_ours.then_some(Some(Exportable {
        generation,
        total,
        chunk_len,
        as_of: Timestamp(as_of),
        // A push has no definition.
        is_pushed: definition == 0,
        delta: None,
    }))
}

/// The entry of a chunk.
fn entry_id(chunk: u64) -> String {
    format!("0-{}", chunk + 1)
}

/// Reads the next entry, which must be that of a chunk; else says what is wrong with it.
fn decode_chunk(values: &mut Values<'_>, chunk: u64) -> Result<Vec<Item>, &'static str> {
    const NO_ENTRY: &str = "not a stream entry";
    const NO_ITEMS: &str = "an entry that is no list of items";
    values.array().filter(|parts| *parts == 2).ok_or(NO_ENTRY)?;
    let id = values.bytes().ok_or(NO_ENTRY)?;
    if id != entry_id(chunk).as_bytes() {
        return Err("an entry id that is not the chunk's");
    }
    let many = values.array().ok_or(NO_ENTRY)?;
    let fields: Option<Vec<&[u8]>> = (0..many).map(|_| values.bytes()).collect();
    let fields = fields.ok_or(NO_ITEMS)?;
    let Some((fields, [b"", sum])) = fields.split_last_chunk::<2>() else {
        return Err(NO_ITEMS);
    };
    // Of ids and JSON as the protocol writes them, the chunk's index being the seed.
    let mut summed = Vec::new();
    for field in fields {
        summed.extend_from_slice(format!("${}\r\n", field.len()).as_bytes());
        summed.extend_from_slice(field);
        summed.extend_from_slice(b"\r\n");
    }
    if *sum != format!("{:016x}", xxh3_64_with_seed(&summed, chunk)).as_bytes() {
        return Err("an entry whose check sum is another");
    }
    let (items, []) = fields.as_chunks::<2>() else {
        return Err(NO_ITEMS);
    };
    if items.is_empty() {
        return Err(NO_ITEMS);
    }
    let items = items.iter().map(|[id, json]| {
        Some(Item {
            id: ItemId::parse(std::str::from_utf8(id).ok()?)?,
            json: json.to_vec().into(),
        })
    });
    items.collect::<Option<_>>().ok_or(NO_ITEMS)
}
