//! Holdings: which listing holds which items, by four bytes an item.

use std::collections::{BTreeSet, HashMap};

use crate::listing::{Family, Generation, ItemId, ListingKey, ListingName, sidecar::IdHash};

/// The items of some listings, one sort of each family.
#[derive(Default)]
pub(crate) struct Holdings {
    listings: HashMap<ListingKey, Held>,
    of_name: HashMap<ListingName, BTreeSet<ListingKey>>,
}

struct Held {
    generation: Generation,
    /// Sorted. `None`: it is not known, and may be any.
    ids: Option<Box<[IdHash]>>,
}

impl Holdings {
    /// A listing holds the items of a generation; without ids it may hold any.
    pub(crate) fn set(&mut self, listing: &ListingKey, generation: Generation, ids: Option<&[IdHash]>) {
        let ids = ids.map(|ids| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids.dedup();
            ids.into()
        });
        self.listings.insert(listing.clone(), Held { generation, ids });
        let of_name = self.of_name.entry(listing.name().clone()).or_default();
        of_name.insert(listing.clone());
    }

    /// A listing is not kept any more.
    pub(crate) fn remove(&mut self, listing: &ListingKey) {
        self.listings.remove(listing);
        if let Some(of_name) = self.of_name.get_mut(listing.name()) {
            of_name.remove(listing);
            if of_name.is_empty() {
                self.of_name.remove(listing.name());
            }
        }
    }

    /// The generation that is known of a listing.
    pub(crate) fn generation(&self, listing: &ListingKey) -> Option<Generation> {
        self.listings.get(listing).map(|held| held.generation)
    }

    /// The families that are kept of a name.
    pub(crate) fn families_of(&self, name: &ListingName) -> BTreeSet<&Family> {
        let of_name = self.of_name.get(name).into_iter().flatten();
        of_name.map(|listing| &listing.family).collect()
    }

    /// All families that are kept.
    pub(crate) fn families(&self) -> BTreeSet<&Family> {
        self.listings.keys().map(|listing| &listing.family).collect()
    }

    /// The families that hold items, each with those that it holds, by their places in `ids`.
    pub(crate) fn holders(&self, ids: &[ItemId]) -> HashMap<&Family, Vec<usize>> {
        let mut wanted: Vec<(IdHash, usize)> = ids.iter().map(|id| IdHash::of(id.as_str())).zip(0..).collect();
        wanted.sort_unstable();
        let mut holders: HashMap<&Family, Vec<usize>> = HashMap::new();
        for (listing, held) in &self.listings {
            let found = match &held.ids {
                None => (0..ids.len()).collect(),
                Some(ids) => common(ids, &wanted),
            };
            if !found.is_empty() {
                holders.entry(&listing.family).or_default().extend(found);
            }
        }
        holders
    }
}

/// The places of those wanted that are among the ids. Both are sorted: few are searched, many are walked along.
fn common(ids: &[IdHash], wanted: &[(IdHash, usize)]) -> Vec<usize> {
    const WALK_FROM: usize = 16;
    if wanted.len() * WALK_FROM < ids.len() {
        let is_held = |(id, _): &&(IdHash, usize)| ids.binary_search(id).is_ok();
        return wanted.iter().filter(is_held).map(|(_, place)| *place).collect();
    }
    let (mut found, mut at) = (Vec::new(), 0);
    for (id, place) in wanted {
        while ids.get(at).is_some_and(|held| held < id) {
            at += 1;
        }
        if ids.get(at) == Some(id) {
            found.push(*place);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATION: Generation = Generation { id: 7, nonce: 1 };

    fn id(number: i64) -> ItemId {
        ItemId::from_integer(number)
    }

    fn hashes(numbers: impl Iterator<Item = i64>) -> Vec<IdHash> {
        numbers.map(|number| IdHash::of(id(number).as_str())).collect()
    }

    #[test]
    fn an_item_is_found_in_all_families_that_hold_it_and_in_no_other() {
        let mut holdings = Holdings::default();
        let listing = |text: &str| ListingKey::parse(text).unwrap();
        for (text, numbers) in [
            ("a/price", 0..1000),
            ("b/price?g=1", 500..600),
            ("b/price?g=2", 0..3),
            ("c/x", 0..0),
        ] {
            holdings.set(&listing(text), GENERATION, Some(&hashes(numbers)));
        }
        let found = |numbers: &[i64]| {
            let ids: Vec<ItemId> = numbers.iter().map(|number| id(*number)).collect();
            let mut found: Vec<String> = Vec::new();
            for (family, mut places) in holdings.holders(&ids) {
                places.sort_unstable();
                found.push(format!("{family} {places:?}"));
            }
            found.sort();
            found
        };
        assert_eq!(found(&[2, 550]), ["a [0, 1]", "b?g=1 [1]", "b?g=2 [0]"]);
        assert_eq!(found(&[1001]), Vec::<String>::new());
        let many: Vec<i64> = (990..1200).collect();
        assert_eq!(found(&many), [format!("a {:?}", (0..10).collect::<Vec<_>>())]);
    }

    #[test]
    fn a_listing_of_unknown_items_may_hold_any_and_one_that_is_gone_holds_none() {
        let mut holdings = Holdings::default();
        let [one, other] = ["a/price", "a/name"].map(|text| ListingKey::parse(text).unwrap());
        holdings.set(&one, GENERATION, None);
        holdings.set(&other, GENERATION, Some(&[]));
        assert_eq!(holdings.holders(&[id(1)]).len(), 1);
        assert_eq!(holdings.generation(&one), Some(GENERATION));
        holdings.remove(&one);
        assert_eq!((holdings.holders(&[id(1)]).len(), holdings.families().len()), (0, 1));
        holdings.remove(&other);
        assert_eq!(holdings.families_of(other.name()).len(), 0);
    }
}
