//! Chunks packed and unpacked.

use std::sync::Arc;

use super::{
    body::{self, Body, ITEMS_MAX},
    frame::{UnpackError, as_it_is, pack, unpack_bytes},
};
use crate::{
    listing::{Chunk, Item},
    store::dictionaries::{Dictionary, DictionaryHash},
};

/// A chunk in its plain form: what is packed, and what dictionaries are trained from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PlainChunk(Vec<u8>);

impl PlainChunk {
    /// The plain form of items.
    ///
    /// `None` where there are none of them, more than [`ITEMS_MAX`], or lengths beyond 32 bits.
    pub(crate) fn of(items: &[Item]) -> Option<Self> {
        if !(1..=ITEMS_MAX).contains(&items.len()) {
            return None;
        }
        let size = body::size(items)?;
        let mut plain = Vec::with_capacity(size);
        body::write(items, &mut plain);
        Some(Self(plain))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Packs it: the zstd frame, or where that is no smaller, or it is too large, the bytes as they are. They then name no dictionary.
    pub(crate) fn pack(&self, dictionary: Option<&Dictionary>) -> Vec<u8> {
        pack(&self.0, dictionary)
    }

    /// As it is.
    pub(crate) fn unpacked(&self) -> Vec<u8> {
        as_it_is(&self.0)
    }
}

/// Unpacks a chunk without its ids, as pages need it. `find`: the dictionary of a name, if this process has it.
///
/// Costs two allocations, those of the chunk: bytes are unpacked into a scratch of the thread.
pub(crate) fn unpack_chunk(
    packed: &[u8],
    find: impl FnOnce(DictionaryHash) -> Option<Arc<Dictionary>>,
) -> Result<Chunk, UnpackError> {
    unpack_bytes(packed, find, |plain| Body::parse(plain)?.chunk())
}

/// Unpacks the items of a chunk, ids and JSON. `find`: the dictionary of a name, if this process has it.
pub(crate) fn unpack_items(
    packed: &[u8],
    find: impl FnOnce(DictionaryHash) -> Option<Arc<Dictionary>>,
) -> Result<Vec<Item>, UnpackError> {
    unpack_bytes(packed, find, |plain| Body::parse(plain)?.items())
}
