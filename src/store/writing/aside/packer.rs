//! Packing the chunks of one generation, with the dictionary that its group has.

use std::{num::NonZeroU64, sync::Arc};

use crate::{
    listing::{Codec, Item, ListingName},
    store::{
        access::Access,
        dictionaries::{Dictionary, DictionaryScope, Packing},
        error::StoreError,
        layout::packed::PlainChunk,
        reading::decoding::put_dictionary,
    },
};

/// Packs chunks.
pub(super) struct Packer {
    access: Arc<Access>,
    scope: DictionaryScope,
    dictionary: Option<Arc<Dictionary>>,
}

impl Packer {
    /// With this dictionary, which is in Redis from here on.
    pub(super) async fn begin(
        access: &Arc<Access>,
        name: &ListingName,
        scope: DictionaryScope,
        dictionary: Option<Arc<Dictionary>>,
    ) -> Result<Self, StoreError> {
        if let Some(dictionary) = &dictionary {
            put_dictionary(access, name, dictionary).await?;
        }
        Ok(Self {
            access: access.clone(),
            scope,
            dictionary,
        })
    }

    /// How what it packs lies in Redis.
    pub(super) fn codec(&self) -> Codec {
        let hash = self.dictionary.as_ref().map(|dictionary| dictionary.hash());
        Codec::Packed {
            dictionary: hash.and_then(|hash| NonZeroU64::new(hash.number())),
        }
    }

    /// Packs a chunk. What its kind packs to is remembered, and now and then a better dictionary trained, for generations to come.
    pub(super) fn pack(&self, chunk: &PlainChunk) -> Vec<u8> {
        let packed = chunk.pack(self.dictionary.as_deref());
        let packing = Packing {
            plain: chunk.bytes(),
            packed_len: packed.len(),
            dictionary: self.dictionary.as_ref().map(|dictionary| dictionary.hash()),
        };
        if let Some(training) = self.access.dictionaries.record(self.scope, &packing) {
            self.access.runtime.spawn_blocking(|| training.run());
        }
        packed
    }

    /// Packs a chunk of these items; `None` where they are none that can be packed.
    pub(super) fn pack_items(&self, items: &[Item]) -> Option<Vec<u8>> {
        PlainChunk::of(items).map(|chunk| self.pack(&chunk))
    }
}
