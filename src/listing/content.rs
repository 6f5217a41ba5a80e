//! The content of a generation: a number a chunk, and one number for all. Two generations of one definition with the same number have
//! the same pages; two chunks with the same number, at the same place, have the same items and sort keys.

use std::num::NonZeroU32;

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::item::Item;

/// The content of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// XXH3-64 of each chunk's ids, JSON and sort keys.
    pub chunks: Vec<u64>,
}

impl Content {
    /// One number for all: 128 bits, so that chance does not make two contents alike; nobody gains by making it so, for items come
    /// from the shop.
    pub fn whole(&self) -> u128 {
        xxh3_128(&self.to_bytes())
    }

    /// Eight bytes a chunk, the least first.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.chunks.iter().flat_map(|chunk| chunk.to_le_bytes()).collect()
    }

    /// Reads [`Content::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        let chunks = chunks.iter().copied().map(u64::from_le_bytes).collect();
        rest.is_empty().then_some(Self { chunks })
    }
}

/// The content of a generation being read: ids and JSON in their order.
#[derive(Clone)]
pub struct ContentHasher {
    chunk_len: u32,
    chunk: Xxh3,
    items: u32,
    content: Content,
}

impl ContentHasher {
    /// `chunk_len`: items a chunk.
    pub fn new(chunk_len: NonZeroU32) -> Self {
        Self {
            chunk_len: chunk_len.get(),
            chunk: Xxh3::default(),
            items: 0,
            content: Content::default(),
        }
    }

    /// Takes the next item, with its sort key: another key alone is a change too, for the sidecar keeps it.
    pub fn push(&mut self, item: &Item, key: Option<&[u8]>) {
        // Lengths keep neighbouring texts apart.
        self.chunk.update(&(item.id.as_str().len() as u64).to_le_bytes());
        self.chunk.update(item.id.as_str().as_bytes());
        self.chunk.update(&(item.json.len() as u64).to_le_bytes());
        self.chunk.update(&item.json);
        if let Some(key) = key {
            self.chunk.update(&(key.len() as u64).to_le_bytes());
            self.chunk.update(key);
        }
        self.items += 1;
        if self.items == self.chunk_len {
            self.end_chunk();
        }
    }

    /// Takes a whole chunk by its number, between two chunks.
    pub fn push_chunk(&mut self, chunk: u64) {
        self.content.chunks.push(chunk);
    }

    /// The numbers of the chunks that have ended.
    pub fn chunks(&self) -> &[u64] {
        &self.content.chunks
    }

    /// Ends a chunk that is not full: the last one.
    pub fn end_chunk(&mut self) {
        if self.items > 0 {
            self.content.chunks.push(self.chunk.digest());
            self.chunk.reset();
            self.items = 0;
        }
    }

    /// The content.
    pub fn finish(mut self) -> Content {
        self.end_chunk();
        self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::ItemId;

    fn content(items: &[(i64, &'static str)]) -> u128 {
        let mut hasher = ContentHasher::new(NonZeroU32::new(2).unwrap());
        for (id, json) in items {
            hasher.push(
                &Item {
                    id: ItemId::from_integer(*id),
                    json: (*json).into(),
                },
                None,
            );
        }
        hasher.finish().whole()
    }

    #[test]
    fn order_ids_and_bytes_count() {
        let content_of_two = content(&[(1, "{}"), (2, "{}")]);
        assert_eq!(content_of_two, content(&[(1, "{}"), (2, "{}")]));
        assert_ne!(content(&[(1, "{}"), (2, "{}"), (3, "{}")]), content_of_two);
        for other in [
            content(&[(2, "{}"), (1, "{}")]),
            content(&[(1, "{}"), (3, "{}")]),
            content(&[(1, "{}"), (2, "{ }")]),
            content(&[(1, "{}")]),
            content(&[]),
        ] {
            assert_ne!(content_of_two, other);
        }
    }
}
