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
    /// Whether a generation of a listing may have any of these items: the current one, one that is kept, or the base of one. Hashes may say so
    /// of one too many, never of one too few.
    pub async fn has_kept(&self, key: &ListingKey, ids: &BTreeSet<ItemId>) -> Result<bool, StoreError> {
        let wanted: HashSet<IdHash> = ids.iter().map(|id| IdHash::of(id.as_str())).collect();
        let stored = HeadReads(self.0.clone()).read_for_writing(key, KeptRead::All).await?;
        let current = stored.state.live().map(Placed::of);
        let kept = stored.kept.read.into_iter().map(|kept| kept.placed);
        let mut seen = HashSet::new();
        for placed in current.into_iter().chain(kept) {
            let own = (key.clone(), placed.generation);
            let base = (placed.base_listing(key).clone(), placed.base());
            for (listing, generation) in [own, base] {
                if seen.insert(generation) && self.may_have(&listing, generation, &wanted).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn may_have(
        &self,
        key: &ListingKey,
        generation: Generation,
        wanted: &HashSet<IdHash>,
    ) -> Result<bool, StoreError> {
        // Without its sidecar nobody reads it.
        let Some(described) = self.describe(key, generation).await? else {
            return Ok(false);
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
        };
        let columns = self.columns(key, &head, false).await?;
        Ok(columns.is_none_or(|columns| columns.ids().iter().any(|id| wanted.contains(id))))
    }
}
