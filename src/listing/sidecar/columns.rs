//! The encoder: takes each item of a stream once, in its order, and gives segments.

use xxhash_rust::xxh3::xxh3_64;

use super::{
    front_coding::{KEY_BYTES_MAX, KeyEncoder, Unreadable},
    segments::{Column, Segments},
};
use crate::listing::{chunk::ChunkIndex, item::Item, item::ItemId};

/// An item of a stream, with the key by which it stands there.
#[derive(Clone, Debug)]
pub struct Keyed<'k> {
    /// The item.
    pub item: Item,
    /// `None` where there is none: pushed items stand where they were pushed.
    pub key: Option<&'k [u8]>,
}

impl From<Item> for Keyed<'_> {
    fn from(item: Item) -> Self {
        Self { item, key: None }
    }
}

/// A hash of an item's id: the last 4 bytes of its XXH3-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdHash(pub u32);

impl IdHash {
    const BYTES: usize = 4;

    /// That of an id.
    pub fn of(id: &str) -> Self {
        Self(xxh3_64(id.as_bytes()) as u32)
    }
}

/// Why a stream has no column of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// An item came without one.
    #[error("item {position} has no sort key")]
    Missing {
        /// 0-based.
        position: u64,
    },
    /// A key was longer than [`KEY_BYTES_MAX`].
    #[error("the sort key of item {position} is too long")]
    TooLong {
        /// 0-based.
        position: u64,
    },
    /// A key was smaller than the one before it: the origin's order is another than that of the keys.
    #[error("the sort key of item {position} is smaller than the one before it")]
    NotInOrder {
        /// 0-based.
        position: u64,
    },
}

/// A segment, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Of which column.
    pub column: Column,
    /// Its first chunk.
    pub first: ChunkIndex,
    /// Its bytes, not packed.
    pub bytes: Vec<u8>,
}

impl Segment {
    /// The name of its field.
    pub fn field(&self) -> String {
        self.column.field(self.first)
    }
}

/// The end of a stream's columns.
#[derive(Clone, Debug)]
pub struct EndOfColumns {
    /// The last segments.
    pub segments: Vec<Segment>,
    /// Whether the keys are whole; else why the stream has none.
    pub keys: Result<(), NoKeys>,
    /// First chunks of the segments of keys that were handed out before the column turned out not to be whole: they mean nothing.
    pub in_vain: Vec<ChunkIndex>,
}

/// Makes the columns of one stream. At most one segment of each column is in memory, and those that were not taken yet.
#[derive(Debug)]
pub struct ColumnEncoder {
    segments: Segments,
    items: u64,
    ids: Vec<u8>,
    keys: Result<KeyEncoder, NoKeys>,
    last_key: Vec<u8>,
    full: Vec<Segment>,
    key_segments: u64,
}

impl ColumnEncoder {
    /// For a stream that is cut so.
    pub fn new(segments: Segments) -> Self {
        Self {
            segments,
            items: 0,
            ids: Vec::new(),
            keys: Ok(KeyEncoder::default()),
            last_key: Vec::new(),
            full: Vec::new(),
            key_segments: 0,
        }
    }

    /// Takes the stream's next item.
    pub fn push(&mut self, id: &ItemId, key: Option<&[u8]>) {
        self.push_hash(IdHash::of(id.as_str()), key);
    }

    /// The same, of an item whose id's hash is known.
    pub fn push_hash(&mut self, id: IdHash, key: Option<&[u8]>) {
        self.ids.extend_from_slice(&id.0.to_be_bytes());
        if let Ok(keys) = &mut self.keys {
            match judge(key, &self.last_key, self.items) {
                Ok(key) => {
                    keys.push(key);
                    self.last_key.clear();
                    self.last_key.extend_from_slice(key);
                }
                Err(none) => self.keys = Err(none),
            }
        }
        self.items += 1;
        if self.items.is_multiple_of(self.segments.items_each()) {
            self.end_segment();
        }
    }

    /// The segments that became full since the last call: to be called at the end of each chunk.
    pub fn take_full(&mut self) -> Vec<Segment> {
        std::mem::take(&mut self.full)
    }

    /// Ends the stream.
    pub fn finish(mut self) -> EndOfColumns {
        if !self.ids.is_empty() {
            self.end_segment();
        }
        let key_segments = match &self.keys {
            Ok(_) => 0,
            Err(_) => self.key_segments,
        };
        let untaken = self.full.into_iter();
        EndOfColumns {
            segments: match &self.keys {
                Ok(_) => untaken.collect(),
                Err(_) => untaken.filter(|segment| segment.column != Column::Keys).collect(),
            },
            in_vain: (0..key_segments)
                .map(|at| ChunkIndex(at * self.segments.chunks_each()))
                .collect(),
            keys: self.keys.map(|_| ()),
        }
    }

    fn end_segment(&mut self) {
        let last = (self.items - 1) / self.segments.items_each();
        let first = ChunkIndex(last * self.segments.chunks_each());
        self.full.push(Segment {
            column: Column::Ids,
            first,
            bytes: std::mem::take(&mut self.ids),
        });
        if let Ok(keys) = &mut self.keys {
            self.key_segments += 1;
            self.full.push(Segment {
                column: Column::Keys,
                first,
                bytes: keys.end_segment(),
            });
        }
    }
}

/// The key, if it may stand behind the last one.
fn judge<'k>(key: Option<&'k [u8]>, last: &[u8], position: u64) -> Result<&'k [u8], NoKeys> {
    match key {
        None => Err(NoKeys::Missing { position }),
        Some(key) if key.len() > KEY_BYTES_MAX => Err(NoKeys::TooLong { position }),
        Some(key) if key < last => Err(NoKeys::NotInOrder { position }),
        Some(key) => Ok(key),
    }
}

/// The hashes of a segment that must have so many.
pub fn decode_ids(segment: &[u8], items: u64) -> Result<Vec<IdHash>, Unreadable> {
    let (hashes, rest) = segment.as_chunks::<{ IdHash::BYTES }>();
    if !rest.is_empty() || hashes.len() as u64 != items {
        return Err(Unreadable("another number of ids"));
    }
    Ok(hashes.iter().map(|hash| IdHash(u32::from_be_bytes(*hash))).collect())
}
