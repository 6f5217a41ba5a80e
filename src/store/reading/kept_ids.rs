//! The ids of all generations of a listing that are kept: for recalls.

use std::collections::{BTreeSet, HashSet};

use super::{heads::HeadReads, pages::PageReads};
use crate::{
    listing::{Generation, Head, ItemId, ListingKey, Timestamp, sidecar::IdHash},
    store::{
        error::StoreError,
        layout::kept_codec::{KeptRead, Placed},
    },
};

impl PageReads {
    /// Those of some items that a generation of a listing may have: the current one, one that is kept, or the base of one. Hashes may say so
    /// of one too many, never of one too few.
    pub async fn kept_among(&self, key: &ListingKey, ids: &BTreeSet<ItemId>) -> Result<BTreeSet<ItemId>, StoreError> {
        let stored = HeadReads(self.0.clone()).read_for_writing(key, KeptRead::All).await?;
        let current = stored.state.live().map(Placed::of);
        let kept = stored.kept.read.into_iter().map(|kept| kept.placed);
        let (mut seen, mut held) = (HashSet::new(), HashSet::new());
        for (placed, is_current) in current
            .into_iter()
            .map(|head| (head, true))
            .chain(kept.map(|kept| (kept, false)))
        {
            let own = (key.clone(), placed.generation, is_current);
            let base = (placed.base_listing(key).clone(), placed.base(), false);
            for (listing, generation, is_current) in [own, base] {
                if !seen.insert(generation) {
                    continue;
                }
                match self.ids_of(&listing, generation).await? {
                    Ids::Known(hashes) => held.extend(hashes),
                    Ids::Unknown => return Ok(ids.clone()),
                    // Pages of the current generation need no sidecar; of others nobody reads any without it.
                    Ids::Gone if is_current => return Ok(ids.clone()),
                    Ids::Gone => {}
                }
            }
        }
        let may_be_held = |id: &&ItemId| held.contains(&IdHash::of(id.as_str()));
        Ok(ids.iter().filter(may_be_held).cloned().collect())
    }

    async fn ids_of(&self, key: &ListingKey, generation: Generation) -> Result<Ids, StoreError> {
        let Some(described) = self.describe(key, generation).await? else {
            return Ok(Ids::Gone);
        };
        let head = Head {
            generation,
            total: described.total,
            chunk_len: described.chunk_len,
            as_of: Timestamp(0),
            definition: 0,
            definition_version: 0,
            pins_from: 0,
            delta: described.delta,
            codec: described.codec,
            next_change: None,
        };
        let columns = self.columns(key, &head, false).await?;
        Ok(columns.map_or(Ids::Unknown, |columns| Ids::Known(columns.ids().to_vec())))
    }
}

/// The ids of a generation.
enum Ids {
    Known(Vec<IdHash>),
    /// A part of them is lost.
    Unknown,
    /// Its sidecar is not there.
    Gone,
}
