//! Whole generations with the ids of their items, for exports: pages never need ids.

use std::{num::NonZeroU32, ops::Range, sync::Arc};

use crate::{
    listing::{Delta, Generation, Item, ListingKey, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::keys::Partition,
        reading::{decoding::decoded, heads::HeadReads, pages::Lying},
        wire::{commands::Commands, connections::ReplySize, reply},
    },
};

/// Names that are read in one turn.
const NAMES_A_TURN: usize = 500;

/// A generation that an export can write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exportable {
    /// Which one.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
    /// Items a chunk: only the last one may have fewer.
    pub chunk_len: NonZeroU32,
    /// When its items were pushed or read.
    pub as_of: Timestamp,
    /// Whether no definition has shaped it.
    pub is_pushed: bool,
    /// Its delta; `None` where it is whole.
    pub delta: Option<Arc<Delta>>,
}

/// Reads names, generations and items of the present layout.
#[derive(Clone)]
pub struct ExportReads(pub(crate) Arc<Access>);

impl ExportReads {
    /// Listing keys of a partition in the order of their texts, from after one on: none after the last. Those whose heads are gone or
    /// damaged are among them, and stay.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn names(&self, partition: u8, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        const OPERATION: &str = "read names";
        let key = self.0.keys.names(Partition(partition));
        let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg(from).arg("+").arg("BYLEX");
        command.arg("LIMIT").arg(0).arg(NAMES_A_TURN);
        let reply = self.0.redis.read_one(OPERATION, &key, &command).await?;
        let names = reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        Ok(names.into_iter().filter_map(reply::text).collect())
    }

    /// The current generation of a listing; `None` where it is deleted or gone.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where something else lies in the head's place; Redis's own.
    pub async fn current(&self, listing: &ListingKey) -> Result<Option<Exportable>, StoreError> {
        let head = HeadReads(self.0.clone()).read(listing).await?;
        Ok(head.live().map(|head| Exportable {
            generation: head.generation,
            total: head.total,
            chunk_len: head.chunk_len,
            as_of: head.as_of,
            is_pushed: head.definition == 0,
            delta: head.delta.clone(),
        }))
    }

    /// The items of a range of chunks: fewer where the stream has fewer, none where it is gone.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where an entry is missing among others, or is not as it was written; Redis's own.
    pub async fn items(
        &self,
        listing: &ListingKey,
        exportable: &Exportable,
        chunks: Range<u64>,
    ) -> Result<Vec<Vec<Item>>, StoreError> {
        let mut turn = Commands::default();
        let delta = exportable.delta.as_deref();
        let lying = Lying::of(&self.0.keys, listing, exportable.generation, delta, chunks);
        lying.read(&mut turn);
        let replies = self.0.redis.read_raw(ReplySize::Large, "read chunks", turn).await?;
        decoded(&self.0, listing.name(), &replies, |replies, dictionaries| {
            lying.decode_items(replies, dictionaries)
        })
        .await
    }
}
