//! Targets: the families that a warm-up is for, in the order in which they are begun.

use std::collections::{HashMap, HashSet, VecDeque};

use super::warm_ups::WarmUps;
use crate::{
    engine::error::EngineError,
    listing::{
        Family, ListingKey, ListingName, VariantsOf, WarmScope,
        definition::{Defined, Resolved},
    },
};

/// How many families of recorded reads are asked for; beyond them the order matters little.
const POPULAR_MAX: usize = 100_000;

/// A family to warm.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its definition.
    pub defined: Defined,
    /// Which it is.
    pub family: Family,
}

impl Target {
    /// Its listings, one a stored sort.
    pub fn listings(&self) -> Vec<ListingKey> {
        let streams = self.defined.definition.streams();
        streams.map(|stream| self.family.listing(stream.stored())).collect()
    }

    /// Where its items come from, by the name in the configuration.
    pub fn origin(&self) -> &str {
        &self.defined.definition.origin
    }

    /// The values of the name's parameters.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.defined.parameters.iter().map(|(_, value)| &**value)
    }
}

/// Recorded reads, of families and of names with all their families.
#[derive(Clone, Debug, Default)]
pub struct RecordedReads {
    of_families: HashMap<Family, u64>,
    of_names: HashMap<ListingName, u64>,
}

impl RecordedReads {
    fn new(recorded: Vec<(Family, u64)>) -> Self {
        let mut of_names: HashMap<ListingName, u64> = HashMap::new();
        for (family, reads) in &recorded {
            *of_names.entry(family.name.clone()).or_default() += reads;
        }
        Self {
            of_families: recorded.into_iter().collect(),
            of_names,
        }
    }

    /// A family's reads, and those of its name: of two that were never read that of the more popular name comes first.
    pub fn of(&self, family: &Family) -> (u64, u64) {
        let reads = self.of_families.get(family).copied().unwrap_or(0);
        (reads, self.of_names.get(&family.name).copied().unwrap_or(0))
    }
}

impl WarmUps {
    /// The reads that the nodes have counted.
    ///
    /// # Errors
    /// [`EngineError::RedisDown`].
    pub async fn recorded_reads(&self) -> Result<RecordedReads, EngineError> {
        Ok(RecordedReads::new(self.means.store.reads.popular(POPULAR_MAX).await?))
    }

    /// The families that a warm-up is for, in the order of the definitions. A name that nothing enumerates is known by its reads
    /// alone.
    ///
    /// # Errors
    /// [`EngineError::NothingYet`] where an enumeration could not be read.
    pub async fn targets(&self, scope: &WarmScope, reads: &RecordedReads) -> Result<Vec<Target>, EngineError> {
        let declaration = &self.means.declaration;
        let mut read: HashMap<&ListingName, Vec<Family>> = HashMap::new();
        if scope.variants == VariantsOf::Read {
            for family in reads.of_families.keys() {
                read.entry(&family.name).or_default().push(family.clone());
            }
        }
        let enumerated = declaration.enumerate().await?;
        let mut seen = HashSet::with_capacity(enumerated.len());
        let mut names: Vec<&ListingName> = enumerated.iter().filter(|name| seen.insert(*name)).collect();
        names.extend(read.keys().copied().filter(|name| !seen.contains(name)));
        let mut targets = Vec::new();
        for name in names.into_iter().filter(|name| scope.takes(name)) {
            let Resolved::Defined(defined) = declaration.resolve(name) else {
                continue;
            };
            let is_enumerated = seen.contains(name);
            if !is_enumerated && defined.definition.enumerates() {
                // It does not exist any more.
                continue;
            }
            let read = read.get(name).map(Vec::as_slice).unwrap_or_default();
            let mut families = scope.families(&defined.definition, name, read);
            if !is_enumerated {
                families.retain(|family| reads.of_families.contains_key(family));
            }
            targets.extend(families.into_iter().map(|family| Target {
                defined: defined.clone(),
                family,
            }));
        }
        Ok(targets)
    }
}

/// The families of one origin that are not begun, each with its place among all.
type Placed<T> = VecDeque<(usize, T)>;

/// The families that are not begun: the first one whose origin may be asked now is next.
pub(super) struct Queue<T> {
    /// By origin.
    of_origins: Vec<(Box<str>, Placed<T>)>,
    len: usize,
}

impl<T> Queue<T> {
    /// In the order given.
    pub(super) fn new(all: impl IntoIterator<Item = (Box<str>, T)>) -> Self {
        let mut queue = Self {
            of_origins: Vec::new(),
            len: 0,
        };
        for (place, (origin, one)) in all.into_iter().enumerate() {
            let found = queue.of_origins.iter_mut().find(|(name, _)| *name == origin);
            match found {
                Some((_, of_origin)) => of_origin.push_back((place, one)),
                None => queue.of_origins.push((origin, VecDeque::from([(place, one)]))),
            }
            queue.len += 1;
        }
        queue
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether none is left.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next one of an origin that may be asked.
    pub(super) fn next(&mut self, may_ask: impl Fn(&str) -> bool) -> Option<T> {
        let firsts = self.of_origins.iter().enumerate();
        let firsts = firsts.filter(|(_, (origin, _))| may_ask(origin));
        let (at, _) = firsts
            .filter_map(|(at, (_, of_origin))| Some((at, of_origin.front()?.0)))
            .min_by_key(|(_, place)| *place)?;
        self.len -= 1;
        Some(self.of_origins.get_mut(at)?.1.pop_front()?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_is_busy_holds_up_no_other() {
        let all = [("shop", 1), ("shop", 2), ("search", 3), ("shop", 4), ("search", 5)];
        let mut queue = Queue::new(all.map(|(origin, one)| (Box::from(origin), one)));
        assert_eq!(queue.next(|_| true), Some(1));
        assert_eq!(queue.next(|origin| origin != "shop"), Some(3));
        assert_eq!(queue.next(|_| true), Some(2));
        assert_eq!(queue.next(|_| false), None);
        assert_eq!((queue.next(|_| true), queue.next(|_| true)), (Some(4), Some(5)));
        assert!(queue.is_empty() && queue.next(|_| true).is_none());
    }

    #[test]
    fn a_family_counts_by_its_own_reads_first() {
        let family = |text: &str| Family::parse(text).unwrap();
        let reads = RecordedReads::new(vec![
            (family("a?currency=EUR"), 10),
            (family("a?currency=USD"), 100),
            (family("b?currency=EUR"), 20),
        ]);
        let mut families = [
            "a?currency=CHF",
            "a?currency=EUR",
            "c?currency=EUR",
            "b?currency=EUR",
            "a?currency=USD",
        ]
        .map(family);
        families.sort_by_key(|family| std::cmp::Reverse(reads.of(family)));
        let order: Vec<String> = families.iter().map(Family::to_string).collect();
        assert_eq!(
            order,
            [
                "a?currency=USD",
                "b?currency=EUR",
                "a?currency=EUR",
                "a?currency=CHF",
                "c?currency=EUR"
            ]
        );
    }
}
