//! The families that changes concern: those that [are found](super::finding) at once, those that an item belongs to by name, and for a recall
//! those that held an item.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};

use super::{finding::find_work, holdings::Holdings, ledger::Ledger};
use crate::{
    engine::{
        error::{Chain, EngineError},
        refreshing::means::Means,
    },
    listing::{Family, ItemId, ListingName},
    origin::ROWS_MAX,
    store::{RecordedChanges, StoreError},
};

/// Listings that are looked into at once, of those that are listed together.
const LISTINGS_AT_ONCE: usize = 16;
const LISTINGS_A_TURN: usize = 500;

/// Finds families.
pub(super) struct Concerned<'a>(pub &'a Means);

impl Concerned<'_> {
    /// Adds the work that entries bring.
    pub(super) fn find_work(&self, ledger: &mut Ledger, holdings: &Holdings, entries: &[RecordedChanges]) {
        let declared = self.0.declaration.take();
        let definitions = declared.definitions.defined.iter();
        let told = definitions.filter(|definition| definition.names_of.is_some());
        find_work(
            ledger,
            holdings,
            told.map(|definition| definition.pattern.as_str()),
            entries,
        );
    }

    /// Families of which some generation that is kept may have an item: current ones, earlier ones, and their bases.
    pub(super) async fn find_kept(
        &self,
        ids: &BTreeSet<ItemId>,
    ) -> Result<Vec<(Family, BTreeSet<ItemId>)>, EngineError> {
        let store = &self.0.store;
        let (mut found, mut after) = (BTreeMap::<Family, BTreeSet<ItemId>>::new(), None);
        loop {
            let listings = store.names.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            let Some((last, _)) = listings.last() else {
                return Ok(found.into_iter().collect());
            };
            after = Some(last.clone());
            let mut looks = stream::iter(listings.into_iter().map(|(listing, _)| async move {
                let has = store.pages.kept_among(&listing, ids).await?;
                Ok::<_, StoreError>((listing.family, has))
            }))
            .buffer_unordered(LISTINGS_AT_ONCE);
            while let Some(look) = looks.next().await {
                let (family, has) = look?;
                if !has.is_empty() {
                    found.entry(family).or_default().extend(has);
                }
            }
        }
    }

    /// Families of the names that items belong to. Not all of them need be kept.
    pub(super) async fn find_names(
        &self,
        pattern: &str,
        ids: &BTreeSet<ItemId>,
    ) -> Result<Vec<(Family, BTreeSet<ItemId>)>, EngineError> {
        let declared = self.0.declaration.take();
        let mut definitions = declared.definitions.defined.iter();
        let Some(definition) = definitions.find(|definition| definition.pattern.as_str() == pattern) else {
            return Ok(Vec::new());
        };
        let (Some(query), Some(origin)) = (&definition.names_of, declared.origins.get(&definition.origin)) else {
            return Ok(Vec::new());
        };
        let fields: Vec<_> = definition
            .pattern
            .parameters()
            .map(|parameter| definition.field_of(parameter))
            .collect();
        let ids: Vec<ItemId> = ids.iter().cloned().collect();
        let mut found: BTreeMap<ListingName, BTreeSet<ItemId>> = BTreeMap::new();
        for ids in ids.chunks(ROWS_MAX) {
            let rows = origin.names_of(query, &definition.id, &fields, ids).await;
            let rows = rows.map_err(|error| EngineError::RefreshFailed(Chain(&error).to_string().into()))?;
            for row in rows {
                let Some((id, values)) = row.split_first() else {
                    continue;
                };
                let values: Vec<&str> = values.iter().map(String::as_str).collect();
                let name = definition
                    .pattern
                    .fill(&values)
                    .and_then(|name| ListingName::parse(&name).ok());
                if let (Some(name), Some(id)) = (name, ItemId::parse(id)) {
                    found.entry(name).or_default().insert(id);
                }
            }
        }
        let mut families = Vec::new();
        for (name, ids) in found {
            let kept: BTreeSet<Family> = self
                .0
                .store
                .names
                .listings_of(&name)
                .await?
                .into_iter()
                .map(|listing| listing.family)
                .collect();
            families.extend(kept.into_iter().map(|family| (family, ids.clone())));
        }
        Ok(families)
    }
}
