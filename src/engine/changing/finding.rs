//! Finding: the work that changes bring, as far as it can be told at once. It waits for nothing, and knows no Redis.
//!
//! The families that hold an item and those that are named are known by the [holdings](super::holdings). A search for further ones is work too.

use std::collections::{BTreeSet, HashMap, HashSet};

use globset::Glob;

use super::{
    holdings::Holdings,
    ledger::{EntryKey, Ledger, Subject, Work},
};
use crate::{
    listing::{Change, ChangeOf, Family, ItemId, ItemState, ListingName},
    store::{ChangeRecords, RecordedChanges},
};

/// Adds the work that entries bring. Items belong to names by the definitions of these patterns too.
pub(crate) fn find_work<'p>(
    ledger: &mut Ledger,
    holdings: &Holdings,
    told_by_name: impl Iterator<Item = &'p str>,
    entries: &[RecordedChanges],
) {
    // Each change that names nothing is in all partitions: it is looked for once.
    let unnamed = entries.iter().flat_map(|entry| entry.changes.iter());
    let unnamed = unnamed
        .filter(|change| change.names.is_empty())
        .filter_map(|change| change.item());
    let ids: Vec<ItemId> = unnamed.collect::<BTreeSet<_>>().into_iter().cloned().collect();
    let mut holders: HashMap<(u8, &ItemId), Vec<Family>> = HashMap::new();
    for (family, places) in holdings.holders(&ids) {
        let partition = ChangeRecords::partition_of(&family.name);
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
                    let here = |family: &Family| ChangeRecords::partition_of(&family.name) == entry.partition;
                    let fits = |family: &Family| glob.is_match(family.name.as_str());
                    holdings.families().filter(here).filter(fits).collect()
                }
                ChangeOf::Item(id, _) if change.names.is_empty() => {
                    holders.get(&(entry.partition, id)).cloned().unwrap_or_default()
                }
                ChangeOf::Item(..) => {
                    let here = |name: &&ListingName| ChangeRecords::partition_of(name) == entry.partition;
                    let names = change.names.iter().filter(here);
                    names.flat_map(|name| holdings.families_of(name)).collect()
                }
            };
            for family in families.into_iter().filter(|family| change.may_concern(family)) {
                ledger.add(Subject::Family(family), work_of(&change.of, key));
            }
        }
    }
    for pattern in told_by_name {
        let names = Subject::Names(pattern.into());
        find_further(ledger, names, ItemState::is_there, &holders, entries);
    }
    let is_recalled = |state| matches!(state, ItemState::Recalled(_));
    find_further(ledger, Subject::Kept, is_recalled, &holders, entries);
}

/// The work on families that a search has found, but for those that were known to hold the items.
pub(crate) fn further_work(
    subject: &Subject,
    searched: &Work,
    families: Vec<(Family, BTreeSet<ItemId>)>,
) -> impl Iterator<Item = (Subject, Work)> {
    families.into_iter().filter_map(move |(family, mut ids)| {
        ids.retain(|id| !searched.held.contains(&(family.clone(), id.clone())));
        if ids.is_empty() {
            return None;
        }
        let partition = ChangeRecords::partition_of(&family.name);
        let here = searched.entries.iter().filter(|(of, _)| *of == partition);
        let mut work = Work {
            entries: here.copied().collect(),
            ..Work::default()
        };
        match subject {
            Subject::Kept => work.recalled = ids,
            _ => work.changed = ids,
        }
        Some((Subject::Family(family), work))
    })
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
