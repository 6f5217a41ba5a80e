//! The families that changes concern: those that hold an item, those that are named, those that an item belongs to by name, and for a recall those
//! that held an item.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::{StreamExt, stream};
use globset::Glob;

use super::{
    holdings::Holdings,
    ledger::{EntryKey, Ledger, Subject, Work},
};
use crate::{
    engine::{
        error::{Chain, EngineError},
        refreshing::means::Means,
    },
    listing::{Change, ChangeOf, Family, ItemId, ItemState, ListingName},
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
        let changes = &self.0.store.changes;
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
        for entry in entries {
            let key = (entry.partition, entry.id);
            for change in entry.changes.iter() {
                let families: Vec<Family> = match &change.of {
                    ChangeOf::Listings(glob) => {
                        let Ok(glob) = Glob::new(glob) else { continue };
                        let glob = glob.compile_matcher();
                        let here = |family: &Family| changes.partition_of(&family.name) == entry.partition;
                        let fits = |family: &Family| glob.is_match(family.name.as_str());
                        holdings.families().filter(here).filter(fits).collect()
                    }
                    ChangeOf::Item(id, _) if change.names.is_empty() => {
                        holders.get(&(entry.partition, id)).cloned().unwrap_or_default()
                    }
                    ChangeOf::Item(..) => {
                        let here = |name: &&ListingName| changes.partition_of(name) == entry.partition;
                        let names = change.names.iter().filter(here);
                        names.flat_map(|name| holdings.families_of(name)).collect()
                    }
                };
                for family in families.into_iter().filter(|family| change.may_concern(family)) {
                    ledger.add(Subject::Family(family), work_of(&change.of, key));
                }
            }
        }
        let declared = self.0.declaration.take();
        let definitions = declared.definitions.defined.iter();
        for definition in definitions.filter(|definition| definition.names_of.is_some()) {
            let names = Subject::Names(definition.pattern.as_str().into());
            find_further(ledger, names, ItemState::is_there, &holders, entries);
        }
        let is_recalled = |state| matches!(state, ItemState::Recalled(_));
        find_further(ledger, Subject::Kept, is_recalled, &holders, entries);
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

/// Adds the search for families beside those that hold the items: for all items of which a change says what is wanted. An item is in it once,
/// though all partitions have its change.
fn find_further(
    ledger: &mut Ledger,
    subject: Subject,
    is_wanted: impl Fn(ItemState) -> bool,
    holders: &HashMap<(u8, &ItemId), Vec<Family>>,
    entries: &[RecordedChanges],
) {
    let (mut work, mut ids) = (Work::default(), BTreeSet::new());
    let mut known: HashSet<*const Change> = HashSet::new();
    for entry in entries {
        let unnamed = entry.changes.iter().filter(|change| change.names.is_empty());
        let mut wanted = unnamed.filter_map(|change| match &change.of {
            ChangeOf::Item(id, state) if is_wanted(*state) => Some(id),
            _ => None,
        });
        // Partitions that have the same changes share them.
        let is_new = known.insert(entry.changes.as_ptr());
        let Some(first) = wanted.next() else { continue };
        work.entries.insert((entry.partition, entry.id));
        if is_new {
            ids.insert(first.clone());
            ids.extend(wanted.cloned());
        }
    }
    if ids.is_empty() {
        return;
    }
    for ((_, id), families) in holders {
        let held = families.iter().filter(|_| ids.contains(*id));
        work.held.extend(held.map(|family| (family.clone(), (*id).clone())));
    }
    match &subject {
        Subject::Kept => work.recalled = ids,
        _ => work.changed = ids,
    }
    ledger.add(subject, work);
}

/// The work that a change of an entry brings to a family.
fn work_of(of: &ChangeOf, entry: EntryKey) -> Work {
    let mut work = Work {
        entries: BTreeSet::from([entry]),
        ..Work::default()
    };
    match of {
        ChangeOf::Listings(_) => work.whole = true,
        ChangeOf::Item(id, ItemState::Changed | ItemState::Returned) => drop(work.changed.insert(id.clone())),
        ChangeOf::Item(id, ItemState::Gone(_)) => drop(work.gone.insert(id.clone())),
        ChangeOf::Item(id, ItemState::Recalled(_)) => drop(work.recalled.insert(id.clone())),
    }
    work
}
