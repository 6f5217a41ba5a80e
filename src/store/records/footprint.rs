//! An estimate of the bytes that listings will take in Redis, made before they are written, from the sizes of the server's own
//! structures.
//!
//! A stream is a radix tree of listpacks. A listpack takes entries until it would exceed `stream-node-max-bytes` (4096) or 100 entries.
//! The last of several has room for 4096 bytes at least; the others are as large as their content, rounded up as jemalloc rounds. Chunks count
//! as if they were plain: how they pack is not known before. The measure is `MEMORY USAGE`, because operators see it: it counts 240 bytes a
//! node of the tree, of which a few dozen are used.
//!
//! The tests hold streams of 1 to 20,000 items to the byte that Redis gives, and a whole plan to within 10 %. Measuring a sample with
//! `MEMORY USAGE` instead would make a plan write to Redis, and would not be exact for lists that differ in length.

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    listing::{
        ListingKey, ListingName,
        sidecar::{Column, Segments},
    },
    store::{
        access::Access,
        error::StoreError,
        layout::{
            announcements::LOG_ENTRIES_MAX,
            chunk_codec::{SUM_BYTES, SUM_FIELD},
            keys::{PARTITIONS, Partition},
        },
        wire::reply,
    },
};

/// `stream-node-max-bytes`, as the documents recommend it.
const NODE_BYTES_MAX: u64 = 4096;
/// See `writing/aside/stream_writer.rs`.
const SEALED_BYTES_MAX: u64 = 64 * 1024;
/// `stream-node-max-entries`.
const NODE_ENTRIES_MAX: u64 = 100;
/// A node of the radix tree, as `MEMORY USAGE` reckons it.
const TREE_NODE_BYTES: u64 = 4 + 30 * 8;
/// The id of a listpack's first entry.
const STREAM_ID_BYTES: u64 = 16;
/// Object, stream and dictionary entry.
const STREAM_BYTES: u64 = 120;
/// A head without its key: twelve short fields in a listpack, object and dictionary entry.
const HEAD_BYTES: u64 = 320;
/// A member of a sorted set besides its text: 10 in a small set, some 90 in one of more than 128.
const MEMBER_BYTES: u64 = 50;
/// An announcement in the log besides the listing's key: fields and body.
const ANNOUNCEMENT_BYTES: u64 = 195;

/// A small hash besides its fields: object and dictionary entry.
const SMALL_HASH_BYTES: u64 = 40;
/// A larger one, with its table; and each field of it besides its texts.
const HASH_BYTES: u64 = 112;
const FIELD_BYTES: u64 = 24;
/// A hash with a longer value is no small one: `hash-max-listpack-value`.
const SMALL_VALUE_MAX: u64 = 64;
/// The bytes of a sort key in a sidecar, what it has in common with the one before it left out.
const KEY_BYTES: u64 = 5;

/// The size of one stream, chunk by chunk, and of its sidecar.
#[derive(Clone, Debug, Default)]
pub struct StreamSize {
    chunks: u64,
    items: u64,
    chunk_len: u32,
    /// Listpacks that are full, and their bytes.
    nodes: u64,
    full_bytes: u64,
    /// The one that is being filled.
    node: Option<Node>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    bytes: u64,
    entries: u64,
}

impl StreamSize {
    /// Adds a chunk: ids with the lengths of their JSON.
    pub fn add_chunk<'a>(&mut self, items: impl Iterator<Item = (&'a str, usize)>) {
        let (mut raw, mut ids, mut values) = (0, 0, 0);
        let before = self.items;
        for (id, json) in items {
            let json = json as u64;
            self.items += 1;
            raw += id.len() as u64 + json;
            ids += text_bytes(id);
            values += string_bytes(json);
        }
        if before == 0 {
            self.chunk_len = u32::try_from(self.items).unwrap_or(u32::MAX);
        }
        self.add_entry(
            raw + SUM_BYTES,
            ids + text_bytes(SUM_FIELD),
            values + string_bytes(SUM_BYTES),
        );
    }

    /// Adds an entry by its bytes as given, those of its fields' names, and those of its values, as encoded.
    fn add_entry(&mut self, raw: u64, names: u64, values: u64) {
        self.chunks += 1;
        if let Some(node) = self
            .node
            .take_if(|node| node.bytes + raw >= NODE_BYTES_MAX || node.entries >= NODE_ENTRIES_MAX)
        {
            self.nodes += 1;
            self.full_bytes += allocated(node.bytes);
        }
        match &mut self.node {
            // Its head and end, the master entry with the names, and the entry without them.
            None => {
                self.node = Some(Node {
                    bytes: 23 + names + values,
                    entries: 1,
                })
            }
            Some(node) => {
                node.bytes += names + values + 10;
                node.entries += 1;
            }
        }
    }

    /// The bytes of the sidecar without its key: content, ids and sort keys.
    pub fn sidecar_bytes(&self) -> u64 {
        let mut fields = vec![(5, 5), (9, 2), (7, 8), (3, 16), (7, 8 * self.chunks + 8)];
        if let Some(chunk_len) = NonZeroU32::new(self.chunk_len) {
            let segments = Segments::new(chunk_len);
            for first in segments.firsts(self.items) {
                let positions = segments.positions(first, self.items);
                let items = positions.end - positions.start;
                let columns = [(Column::Ids, 4), (Column::Keys, KEY_BYTES)];
                fields.extend(columns.map(|(column, each)| (column.field(first).len() as u64, each * items + 8)));
            }
        }
        if fields.iter().all(|(_, value)| *value <= SMALL_VALUE_MAX) {
            let names = fields.iter().map(|(name, _)| string_bytes(*name)).sum::<u64>();
            let numbers = text_bytes(&self.items.to_string()) + text_bytes(&self.chunk_len.to_string());
            let texts = fields.iter().skip(2).map(|(_, value)| string_bytes(*value));
            return SMALL_HASH_BYTES + allocated(7 + names + numbers + texts.sum::<u64>());
        }
        // Before and behind each text stand four bytes, or six where it is longer than 255.
        let text = |bytes: u64| allocated(bytes + if bytes < 256 { 4 } else { 6 });
        let texts = fields
            .iter()
            .map(|(name, value)| FIELD_BYTES + text(*name) + text(*value));
        HASH_BYTES + texts.sum::<u64>()
    }

    /// The bytes of the stream without its key; zero without a chunk. A small one is copied once it is written, and is as large as it is then.
    pub fn bytes(&self) -> u64 {
        let is_sealed = self.full_bytes < SEALED_BYTES_MAX;
        self.bytes_as_written(if is_sealed { 0 } else { NODE_BYTES_MAX })
    }

    /// With room for so many bytes in the last node.
    fn bytes_as_written(&self, last_min: u64) -> u64 {
        let Some(node) = self.node else { return 0 };
        let nodes = self.nodes + 1;
        // A leaf a listpack; above them one for what all ids begin with, and one for each 256 ids with one above those.
        let above = match (nodes, self.chunks) {
            (1, _) => 1,
            (_, 0..=255) => 2,
            (_, chunks) => 2 + (chunks + 1).div_ceil(256),
        };
        let tree = (nodes + above) * TREE_NODE_BYTES;
        STREAM_BYTES + self.full_bytes + allocated(node.bytes.max(last_min)) + nodes * STREAM_ID_BYTES + tree
    }
}

/// The bytes of listings that are not written yet, with all that is kept of them.
pub struct Footprint {
    access: Arc<Access>,
    bytes: u64,
    /// Publishes to come, a partition.
    publishes: [u64; PARTITIONS as usize],
    /// Bytes of an announcement, of all together.
    announced: u64,
    count: u64,
}

impl Footprint {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        Self {
            access,
            bytes: 0,
            publishes: [0; PARTITIONS as usize],
            announced: 0,
            count: 0,
        }
    }

    /// Adds a family's due time.
    pub fn add_family(&mut self, family: &crate::listing::Family) {
        self.bytes += member_bytes(family.to_string().len());
    }

    /// Adds a listing: its head, its entry among the names, its sidecar, and its stream, where it has items.
    pub fn add_listing(&mut self, key: &ListingKey, stream: &StreamSize) {
        self.add_head(key);
        // The keys of stream and sidecar name the generation besides: 16 digits and 8.
        let beside = allocated(self.access.keys.head(key).key().len() as u64 + 29);
        self.bytes += stream.sidecar_bytes() + beside;
        if stream.chunks > 0 {
            self.bytes += stream.bytes() + beside;
        }
    }

    /// Adds a listing whose stream and sidecar are measured elsewhere.
    pub fn add_head(&mut self, key: &ListingKey) {
        let text = key.to_string().len();
        let head = self.access.keys.head(key).key().len();
        self.bytes += HEAD_BYTES + allocated(head as u64 + 4) + member_bytes(text);
        self.add_publish(key.name(), text);
    }

    /// Adds what a publish of a listing leaves in the log.
    fn add_publish(&mut self, name: &ListingName, key_bytes: usize) {
        if let Some(publishes) = self.publishes.get_mut(Partition::of(name).index()) {
            *publishes += 1;
        }
        self.announced += ANNOUNCEMENT_BYTES + key_bytes as u64;
        self.count += 1;
    }

    /// All bytes, with what the logs grow by: they are bounded, so where many announcements lie already it is little.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        let entry = self.announced.checked_div(self.count).unwrap_or(0);
        let before = self.log_lengths().await?;
        let growth = self.publishes.iter().zip(before).map(|(publishes, before)| {
            let max = LOG_ENTRIES_MAX as u64;
            log_bytes((before + publishes).min(max), entry).saturating_sub(log_bytes(before.min(max), entry))
        });
        Ok(self.bytes + growth.sum::<u64>())
    }

    /// How many announcements each partition's log holds.
    async fn log_lengths(&self) -> Result<Vec<u64>, StoreError> {
        const OPERATION: &str = "count announcements";
        let mut turn = redis::Pipeline::new();
        for partition in Partition::all() {
            turn.cmd("XLEN").arg(self.access.keys.log(partition));
        }
        let replies = self.access.redis.read(OPERATION, &turn).await?;
        let length = |reply| {
            let reply = reply::answered(reply, OPERATION, "logs")?;
            Ok(reply::unsigned(&reply).unwrap_or(0))
        };
        replies.into_iter().map(length).collect()
    }
}

/// A log of so many announcements.
fn log_bytes(entries: u64, entry_bytes: u64) -> u64 {
    let mut log = StreamSize::default();
    for _ in 0..entries {
        log.add_entry(entry_bytes, 0, entry_bytes);
    }
    log.bytes_as_written(NODE_BYTES_MAX)
}

fn member_bytes(text: usize) -> u64 {
    MEMBER_BYTES + allocated(text as u64 + 4)
}

/// A text in a listpack: one that is a number is kept as one.
fn text_bytes(text: &str) -> u64 {
    let plain = text == "0" || !text.trim_start_matches('-').starts_with('0') && !text.starts_with('+');
    match text.parse::<i64>() {
        Ok(number) if plain => {
            let encoded = match number {
                0..=127 => 1,
                -4096..=4095 => 2,
                -32_768..=32_767 => 3,
                -8_388_608..=8_388_607 => 4,
                -2_147_483_648..=2_147_483_647 => 5,
                _ => 9,
            };
            encoded + 1
        }
        _ => string_bytes(text.len() as u64),
    }
}

/// A string of so many bytes in a listpack: before it its length, after it the length of both.
fn string_bytes(len: u64) -> u64 {
    let encoded = len
        + match len {
            0..=63 => 1,
            64..=4095 => 2,
            _ => 5,
        };
    let back = match encoded {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    };
    encoded + back
}

/// The bytes that jemalloc takes for a size: four steps between powers of two.
fn allocated(bytes: u64) -> u64 {
    if bytes <= 128 {
        return bytes.div_ceil(16) * 16;
    }
    let power = 1 << (u64::BITS - 1 - (bytes - 1).leading_zeros());
    bytes.div_ceil(power / 4) * (power / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes that Redis 7.0 told by `MEMORY USAGE … SAMPLES 0`, less the key's 80 bytes.
    #[test]
    fn a_stream_takes_what_redis_says() {
        let check = |items: usize, json: usize, chunk_len: usize, expect: u64| {
            let ids: Vec<String> = (0..items).map(|at| (100_000 + at).to_string()).collect();
            let mut size = StreamSize::default();
            for chunk in ids.chunks(chunk_len) {
                size.add_chunk(chunk.iter().map(|id| (id.as_str(), json)));
            }
            assert_eq!(
                size.bytes(),
                expect,
                "{items} items of {json} bytes, {chunk_len} a chunk"
            );
        };
        check(0, 100, 12, 0);
        check(1, 50, 12, 736);
        check(5, 300, 12, 2416);
        check(12, 296, 12, 4720);
        check(30, 296, 12, 11_628);
        check(100, 50, 12, 7272);
        check(134, 296, 12, 49_552);
        check(1000, 600, 12, 706_480);
        check(5000, 100, 12, 606_580);
        check(300, 3000, 12, 1_031_108);
        check(20_000, 296, 24, 7_046_456);
    }

    /// The same of its sidecar, with keys of five bytes.
    #[test]
    fn a_sidecar_takes_what_redis_says_to_within_a_hundredth() {
        for (items, expect) in [(0_usize, 136_u64), (100, 1656), (192, 2552), (20_000, 225_095)] {
            let ids: Vec<String> = (0..items).map(|at| at.to_string()).collect();
            let mut size = StreamSize::default();
            for chunk in ids.chunks(12) {
                size.add_chunk(chunk.iter().map(|id| (id.as_str(), 100)));
            }
            let found = size.sidecar_bytes();
            assert!(found.abs_diff(expect) * 100 <= expect, "{items}: {found} for {expect}");
        }
    }

    #[test]
    fn jemalloc_has_four_steps_between_powers_of_two() {
        for (bytes, expect) in [
            (1, 16),
            (16, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (256, 256),
            (257, 320),
            (4096, 4096),
            (4097, 5120),
            (8193, 10240),
        ] {
            assert_eq!(allocated(bytes), expect, "{bytes}");
        }
    }

    #[test]
    fn numbers_are_kept_as_numbers() {
        for (text, expect) in [
            ("7", 2),
            ("127", 2),
            ("128", 3),
            ("5000", 4),
            ("100000", 5),
            ("0", 2),
            ("007", 5),
            ("-1", 3),
            ("+1", 4),
            ("tent", 6),
            ("9223372036854775808", 21),
        ] {
            assert_eq!(text_bytes(text), expect, "{text}");
        }
    }
}
