//! The families that changes concern: those that hold an item, those that are named, those that an item belongs to by name, and for a recall those
//! that held an item.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt, stream};
use globset::Glob;

use super::{
    holdings::Holdings,
    ledger::{Ledger, Subject, Work},
};
use crate::{
    engine::{
        error::{Chain, EngineError},
        refreshing::means::Means,
    },
    listing::{ChangeOf, Family, ItemId, ItemState, ListingName},
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
        let (declared, changes) = (self.0.declaration.take(), &self.0.store.changes);
        // Each change that names nothing is in all partitions: it is looked for once.
        let unnamed = entries.iter().flat_map(|entry| entry.changes.iter());
        let unnamed = unnamed
            .filter(|change| change.names.is_empty())
            .filter_map(|change| change.item());
        let ids: Vec<ItemId> = unnamed.collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let mut holders: HashMap<(u8, &ItemId), Vec<Family>> = HashMap::new();
        for (family, places) in holdings.holders(&ids) {
            let partition = changes.partition_of(&family.name);
            for id in places.into_iter().filter_map(|place| ids.get(place)) {
                holders.entry((partition, id)).or_default().push(family.clone());
            }
        }
        let asks_names: Vec<&str> = declared
            .definitions
            .defined
            .iter()
            .filter(|definition| definition.names_of.is_some())
            .map(|definition| definition.pattern.as_str())
            .collect();
        for entry in entries {
            let key = (entry.partition, entry.id);
            for change in entry.changes.iter() {
                let mut work = Work {
                    entries: BTreeSet::from([key]),
                    ..Work::default()
                };
                let families: Vec<Family> = match &change.of {
                    ChangeOf::Listings(glob) => {
                        work.whole = true;
                        let Ok(glob) = Glob::new(glob) else { continue };
                        let glob = glob.compile_matcher();
                        let here = |family: &Family| changes.partition_of(&family.name) == entry.partition;
                        let fits = |family: &Family| glob.is_match(family.name.as_str());
                        holdings.families().filter(here).filter(fits).collect()
                    }
                    ChangeOf::Item(id, state) => {
                        match state {
                            ItemState::Changed | ItemState::Returned => work.changed.insert(id.clone()),
                            ItemState::Gone(_) => work.gone.insert(id.clone()),
                            ItemState::Recalled(_) => work.recalled.insert(id.clone()),
                        };
                        match change.names.is_empty() {
                            true => {
                                let held = holders.get(&(entry.partition, id)).cloned().unwrap_or_default();
                                let names = asks_names.iter().filter(|_| state.is_there());
                                let names = names.map(|pattern| Subject::Names((*pattern).into()));
                                let kept = matches!(state, ItemState::Recalled(_)).then_some(Subject::Kept);
                                for subject in names.chain(kept) {
                                    let work = Work {
                                        held: held.iter().map(|family| (family.clone(), id.clone())).collect(),
                                        ..work.clone()
                                    };
                                    ledger.add(subject, work);
                                }
                                held
                            }
                            false => {
                                let here = |name: &&ListingName| changes.partition_of(name) == entry.partition;
                                let names = change.names.iter().filter(here);
                                names.flat_map(|name| holdings.families_of(name)).collect()
                            }
                        }
                    }
                };
                for family in families.into_iter().filter(|family| change.may_concern(family)) {
                    ledger.add(Subject::Family(family), work.clone());
                }
            }
        }
    }

    /// Families of which some generation that is kept may have an item: current ones, earlier ones, and their bases.
    pub(super) async fn find_kept(
        &self,
        ids: &BTreeSet<ItemId>,
    ) -> Result<Vec<(Family, BTreeSet<ItemId>)>, EngineError> {
        let store = &self.0.store;
        let (mut found, mut after) = (BTreeSet::new(), None);
        loop {
            let listings = store.names.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            let Some((last, _)) = listings.last() else {
                return Ok(found.into_iter().map(|family| (family, ids.clone())).collect());
            };
            after = Some(last.clone());
            let mut looks = stream::iter(listings.into_iter().map(|(listing, _)| async move {
                let has = store.pages.has_kept(&listing, ids).await?;
                Ok::<_, StoreError>(has.then_some(listing.family))
            }))
            .buffer_unordered(LISTINGS_AT_ONCE);
            while let Some(family) = looks.next().await {
                found.extend(family?);
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
