//! Holdings: which listing holds which items.
//!
//! An item takes the four bytes of its id's hash in each name that holds it. Variants of a name mostly hold the same items in other orders
//! or at other prices: equal ones share their hashes, in memory and in a search. A listing takes some 200 bytes besides, which a test counts.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::listing::{
    Choices, Family, Generation, HeadState, ItemId, ListingKey, ListingName, StoredSort, sidecar::IdHash,
};

/// The items of some listings, one sort of each family.
#[derive(Default)]
pub(crate) struct Holdings {
    of_name: HashMap<ListingName, Box<[Held]>>,
}

struct Held {
    choices: Choices,
    stored: StoredSort,
    /// `None`: the listing is lost, and other sorts of its family are kept.
    generation: Option<Generation>,
    /// Sorted, without repetition. `None`: it is not known, and may be any.
    ids: Option<Arc<[IdHash]>>,
}

impl Held {
    fn is_of(&self, listing: &ListingKey) -> bool {
        self.choices == listing.family.choices && self.stored == listing.stored
    }
}

impl Holdings {
    /// A listing holds the items of a generation; without ids it may hold any.
    pub(crate) fn set(&mut self, listing: &ListingKey, generation: Generation, ids: Option<Vec<IdHash>>) {
        self.put(listing, Some(generation), ids);
    }

    /// A listing is lost, and other sorts of its family are kept: they may hold any item.
    pub(crate) fn set_unknown(&mut self, listing: &ListingKey) {
        self.put(listing, None, None);
    }

    fn put(&mut self, listing: &ListingKey, generation: Option<Generation>, ids: Option<Vec<IdHash>>) {
        let of_name = self.of_name.entry(listing.name().clone()).or_default();
        let ids = ids.map(|mut ids| {
            ids.sort_unstable();
            ids.dedup();
            let mut known = of_name.iter().filter_map(|held| held.ids.as_ref());
            let equal = known.find(|known| ***known == *ids).cloned();
            equal.unwrap_or_else(|| ids.into())
        });
        if let Some(held) = of_name.iter_mut().find(|held| held.is_of(listing)) {
            (held.generation, held.ids) = (generation, ids);
            return;
        }
        let mut more = std::mem::take(of_name).into_vec();
        more.reserve_exact(1);
        more.push(Held {
            choices: listing.family.choices.clone(),
            stored: listing.stored.clone(),
            generation,
            ids,
        });
        *of_name = more.into();
    }

    /// A listing is not kept any more.
    pub(crate) fn remove(&mut self, listing: &ListingKey) {
        let Some(of_name) = self.of_name.get_mut(listing.name()) else {
            return;
        };
        let mut left = std::mem::take(of_name).into_vec();
        left.retain(|held| !held.is_of(listing));
        *of_name = left.into();
        if of_name.is_empty() {
            self.of_name.remove(listing.name());
        }
    }

    /// The generation that is known of a listing.
    pub(crate) fn generation(&self, listing: &ListingKey) -> Option<Generation> {
        let of_name = self.of_name.get(listing.name())?;
        of_name.iter().find(|held| held.is_of(listing))?.generation
    }

    /// Whether something is known of a listing.
    pub(crate) fn knows(&self, listing: &ListingKey) -> bool {
        let of_name = self.of_name.get(listing.name());
        of_name.is_some_and(|of_name| of_name.iter().any(|held| held.is_of(listing)))
    }

    /// Whether a listing's items must be read again: its head names a later generation than the known one. An earlier one was heard of late.
    pub(crate) fn is_behind(&self, listing: &ListingKey, head: &HeadState) -> bool {
        let named = head.live().map(|head| head.generation);
        match self.generation(listing) {
            Some(known) => head.id() >= known.id && named != Some(known),
            None => named.is_some(),
        }
    }

    /// The families that are kept of a name.
    pub(crate) fn families_of(&self, name: &ListingName) -> BTreeSet<Family> {
        let of_name = self.of_name.get(name).into_iter().flatten();
        of_name.map(|held| family(name, held)).collect()
    }

    /// All families that are kept.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        self.of_name.keys().flat_map(|name| self.families_of(name))
    }

    /// The families that hold items, each with those that it holds, by their places in `ids`.
    pub(crate) fn holders(&self, ids: &[ItemId]) -> HashMap<Family, Vec<usize>> {
        let wanted = Wanted::new(ids);
        let mut holders: HashMap<Family, Vec<usize>> = HashMap::new();
        for (name, of_name) in &self.of_name {
            // By the address of the ids: those that are shared are searched once.
            let mut searched: Vec<(*const IdHash, Vec<usize>)> = Vec::new();
            for held in of_name {
                let found = match &held.ids {
                    None => (0..ids.len()).collect(),
                    Some(ids) => match searched.iter().find(|(at, _)| *at == ids.as_ptr()) {
                        Some((_, found)) => found.clone(),
                        None => {
                            let found = wanted.among(ids);
                            searched.push((ids.as_ptr(), found.clone()));
                            found
                        }
                    },
                };
                if !found.is_empty() {
                    holders.entry(family(name, held)).or_default().extend(found);
                }
            }
        }
        holders
    }
}

fn family(name: &ListingName, held: &Held) -> Family {
    Family {
        name: name.clone(),
        choices: held.choices.clone(),
    }
}

/// Ids that are searched for.
struct Wanted {
    /// Sorted, with their places.
    ids: Vec<(IdHash, usize)>,
    /// A bit for each beginning of a hash, set where one of them begins so: most others are told by it.
    beginnings: Vec<u64>,
}

impl Wanted {
    /// So that all bits take 32 KB: they stay in the processor's nearest cache.
    const BEGINNING_BITS: u32 = 18;
    /// A list is searched for each wanted id where it is so many times as long as they are many. A shorter one is looked through.
    const SEARCH_FROM: usize = 16;

    fn new(ids: &[ItemId]) -> Self {
        let mut ids: Vec<(IdHash, usize)> = ids.iter().map(|id| IdHash::of(id.as_str())).zip(0..).collect();
        ids.sort_unstable();
        let mut beginnings = vec![0; 1 << (Self::BEGINNING_BITS - u64::BITS.ilog2())];
        for (id, _) in &ids {
            let (word, bit) = Self::beginning(*id);
            beginnings[word] |= bit;
        }
        Self { ids, beginnings }
    }

    fn beginning(id: IdHash) -> (usize, u64) {
        let beginning = id.0 >> (u32::BITS - Self::BEGINNING_BITS);
        ((beginning / u64::BITS) as usize, 1 << (beginning % u64::BITS))
    }

    /// The places of those that are among these, which are sorted and without repetition.
    fn among(&self, held: &[IdHash]) -> Vec<usize> {
        if self.ids.len() * Self::SEARCH_FROM < held.len() {
            let is_held = |(id, _): &&(IdHash, usize)| held.binary_search(id).is_ok();
            return self.ids.iter().filter(is_held).map(|(_, place)| *place).collect();
        }
        let mut found = Vec::new();
        for id in held {
            let (word, bit) = Self::beginning(*id);
            if self.beginnings[word] & bit == 0 {
                continue;
            }
            let first = self.ids.partition_point(|(wanted, _)| wanted < id);
            let same = self.ids[first..].iter().take_while(|(wanted, _)| wanted == id);
            found.extend(same.map(|(_, place)| *place));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        time::{Duration, Instant},
    };

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
            holdings.set(&listing(text), GENERATION, Some(hashes(numbers)));
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
        holdings.set(&other, GENERATION, Some(Vec::new()));
        assert_eq!(holdings.holders(&[id(1)]).len(), 1);
        assert_eq!(holdings.generation(&one), Some(GENERATION));
        holdings.remove(&one);
        assert_eq!((holdings.holders(&[id(1)]).len(), holdings.families().count()), (0, 1));
        holdings.set_unknown(&one);
        assert_eq!((holdings.holders(&[id(1)]).len(), holdings.generation(&one)), (1, None));
        assert!(holdings.knows(&one) && !holdings.is_behind(&one, &HeadState::Absent));
        holdings.remove(&one);
        holdings.remove(&other);
        assert_eq!(holdings.families_of(other.name()).len(), 0);
    }

    /// Categories as large as those of a real catalogue, some 67,000 items in all: 302 of them, the middle one of 134, the largest of 1,882.
    fn catalogue(variants: usize) -> Holdings {
        let mut holdings = Holdings::default();
        let mut next = 0;
        for category in 0..302 {
            let rank = f64::from(category) / 301.0;
            let size = match rank < 0.5 {
                true => 1.0 + 266.0 * rank,
                false => 134.0 * 14.04_f64.powf((2.0 * rank - 1.0).powi(3)),
            } as i64;
            let ids = hashes(next..next + size);
            next += size;
            for variant in 0..variants {
                let choices = match variants {
                    1 => String::new(),
                    _ => format!("?grp={}&store={}", variant / 4, variant % 4),
                };
                let text = format!("category:SOME CATEGORY {category}/price{choices}").replace(' ', "%20");
                holdings.set(&ListingKey::parse(&text).unwrap(), GENERATION, Some(ids.clone()));
            }
        }
        holdings
    }

    /// Bytes that are asked of the allocator: of the table, names, choices, sorts and hashes.
    fn bytes(holdings: &Holdings) -> usize {
        const COUNTS_OF_ARC: usize = 2 * size_of::<usize>();
        let text = |text: &str| COUNTS_OF_ARC + text.len();
        let buckets = (holdings.of_name.capacity() * 8 / 7).next_power_of_two();
        let mut bytes = buckets * (size_of::<(ListingName, Box<[Held]>)>() + 1);
        let mut shared = BTreeSet::new();
        for (name, of_name) in &holdings.of_name {
            bytes += text(name.as_str()) + size_of_val::<[Held]>(of_name);
            for held in of_name {
                bytes += text(held.stored.sort.as_str());
                if !held.choices.is_empty() {
                    let texts = held.choices.iter().map(|(name, value)| text(name) + text(value));
                    bytes += COUNTS_OF_ARC + size_of_val::<[_]>(&held.choices) + texts.sum::<usize>();
                }
                if let Some(ids) = held.ids.as_ref().filter(|ids| shared.insert(ids.as_ptr())) {
                    bytes += COUNTS_OF_ARC + size_of_val::<[_]>(ids);
                }
            }
        }
        bytes
    }

    fn items(holdings: &Holdings) -> usize {
        let held = holdings.of_name.values().flatten();
        held.filter_map(|held| held.ids.as_ref()).map(|ids| ids.len()).sum()
    }

    #[test]
    fn an_item_takes_five_bytes_a_listing_and_less_where_variants_hold_the_same() {
        for (variants, most) in [(1, 5.0), (16, 1.5)] {
            let holdings = catalogue(variants);
            let (bytes, items) = (bytes(&holdings), items(&holdings));
            let each = bytes as f64 / items as f64;
            println!("{variants} variants: {items} items, {bytes} bytes, {each:.2} an item");
            assert!((60_000..75_000).contains(&(items / variants)), "{items}");
            assert!(each <= most, "{variants} variants: {each}");
        }
    }

    #[test]
    fn variants_that_hold_the_same_are_told_apart_once_they_do_not() {
        let mut holdings = Holdings::default();
        let [one, other] = ["a/price?g=1", "a/price?g=2"].map(|text| ListingKey::parse(text).unwrap());
        let holders = |holdings: &Holdings, number| {
            let mut found: Vec<String> = holdings
                .holders(&[id(number)])
                .keys()
                .map(ToString::to_string)
                .collect();
            found.sort();
            found
        };
        holdings.set(&one, GENERATION, Some(hashes(0..10)));
        holdings.set(&other, GENERATION, Some(hashes((0..10).rev())));
        assert_eq!(holders(&holdings, 3), ["a?g=1", "a?g=2"]);
        holdings.set(&one, GENERATION, Some(hashes(4..12)));
        assert_eq!(holders(&holdings, 3), ["a?g=2"]);
        assert_eq!(holders(&holdings, 11), ["a?g=1"]);
        holdings.remove(&one);
        assert_eq!(holders(&holdings, 5), ["a?g=2"]);
    }

    /// The families that hold ids, with how many of them: each list is gone through by a plain set.
    fn plain_holders(holdings: &Holdings, ids: &[ItemId]) -> HashMap<Family, usize> {
        let wanted: HashSet<IdHash> = ids.iter().map(|id| IdHash::of(id.as_str())).collect();
        let mut holders = HashMap::new();
        for (name, of_name) in &holdings.of_name {
            for held in of_name {
                let ids = held.ids.iter().flat_map(|ids| ids.iter());
                let found = ids.filter(|id| wanted.contains(id)).count();
                if found > 0 {
                    holders.insert(family(name, held), found);
                }
            }
        }
        holders
    }

    #[test]
    fn a_thousand_ids_are_found_as_by_a_plain_search_and_much_sooner_where_variants_share_them() {
        for (variants, times_as_fast) in [(1, 1.5), (16, 8.0)] {
            let holdings = catalogue(variants);
            let ids: Vec<ItemId> = (0..1000).map(|number| id(number * 67)).collect();
            // The best of several, by turns: a busy machine slows each of them now and then.
            let (mut own, mut plain) = (Duration::MAX, Duration::MAX);
            for _ in 0..7 {
                let begun = Instant::now();
                let found = holdings.holders(&ids);
                own = own.min(begun.elapsed());
                let begun = Instant::now();
                let expected = plain_holders(&holdings, &ids);
                plain = plain.min(begun.elapsed());
                let counts = found.into_iter().map(|(family, places)| (family, places.len()));
                assert_eq!(counts.collect::<HashMap<_, _>>(), expected);
            }
            println!("{variants} variants: {own:?}, by a plain search {plain:?}");
            assert!(
                own.mul_f64(times_as_fast) <= plain,
                "{variants} variants: {own:?}, {plain:?}"
            );
        }
    }
}
