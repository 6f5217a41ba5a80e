//! A swap: all rows of some items leave a stream, and others come. It waits for nothing, and knows no Redis.

use std::{
    collections::{BTreeSet, HashSet},
    num::NonZeroU32,
};

use super::rows::KeyedRow;
use crate::listing::{
    Item, ItemId,
    exchange::Exchange,
    sidecar::{IdHash, StreamColumns},
};

/// Items that leave and come.
pub(crate) struct Swap<'a> {
    /// All rows of these leave.
    pub ids: &'a BTreeSet<ItemId>,
    /// In the stream's order.
    pub rows: &'a [KeyedRow],
}

impl Swap<'_> {
    /// The positions at which an item may leave: hashes tell.
    pub(crate) fn candidates(&self, columns: &StreamColumns) -> Vec<u64> {
        let hashes: HashSet<IdHash> = self.ids.iter().map(|id| IdHash::of(id.as_str())).collect();
        let places = (0..).zip(columns.ids()).filter(|(_, hash)| hashes.contains(hash));
        places.map(|(position, _)| position).collect()
    }

    /// Those of them at which one leaves.
    pub(crate) fn leaving<'i>(&self, candidates: Vec<u64>, item: impl Fn(u64) -> Option<&'i Item>) -> Vec<u64> {
        let leaves = |position: &u64| item(*position).is_some_and(|item| self.ids.contains(&item.id));
        candidates.into_iter().filter(leaves).collect()
    }

    /// Whether the rows that come are those that leave.
    pub(crate) fn is_unchanged<'i>(
        &self,
        columns: &StreamColumns,
        leaving: &[u64],
        item: impl Fn(u64) -> Option<&'i Item>,
    ) -> bool {
        leaving.len() == self.rows.len()
            && leaving.iter().zip(self.rows).all(|(position, (key, new))| {
                let stays = columns
                    .get(*position)
                    .is_some_and(|(_, old)| old == Some(key.as_slice()));
                stays && item(*position) == Some(new)
            })
    }

    /// The new stream.
    pub(crate) fn exchange(&self, columns: &StreamColumns, chunk_len: NonZeroU32, leaving: &[u64]) -> Exchange {
        let keys: Vec<&[u8]> = self.rows.iter().map(|(key, _)| key.as_slice()).collect();
        Exchange::new(columns, chunk_len, leaving, &keys)
    }
}
