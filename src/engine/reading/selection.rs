//! One listing in one order, and what a client asks for to get it.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::{declared::names::Existence, error::ParameterError, l1::L1},
    listing::{
        Definition, Direction, Filtering, Filters, HeadState, ListingKey, Order, Policy, SortName, Window,
        definition::{Defined, Links, Resolved},
    },
};

/// Parameters a name's definition declares, beyond those every listing has.
#[derive(Clone, Debug, Default)]
pub struct DeclaredParameters {
    /// Variants, in the order of declaration.
    pub names: Vec<Arc<str>>,
    /// The names of the filters that are asked for as `f.<name>`.
    pub filters: Vec<Arc<str>>,
}

impl DeclaredParameters {
    /// Empty for unknown names.
    pub fn of(resolved: &Resolved) -> Self {
        let (variants, filters) = match resolved {
            Resolved::Defined(defined) => (&*defined.definition.variants, &defined.definition.filters),
            Resolved::Pushed(filters) => (&[][..], filters),
            Resolved::Unknown => return Self::default(),
        };
        Self {
            names: variants.iter().map(|variant| variant.parameter.clone()).collect(),
            filters: filters.iter().map(|filter| filter.name.clone()).collect(),
        }
    }
}

/// The choices of a client, as text, each known parameter at most once.
#[derive(Clone, Debug, Default)]
pub struct Asked<'a> {
    /// The sort, if not the default.
    pub sort: Option<&'a str>,
    /// The order.
    pub order: Order,
    /// Declared variants with their values.
    pub choices: Vec<(&'a str, &'a str)>,
    /// Names of filters, without `f.`, each with a value.
    pub filters: Vec<(&'a str, &'a str)>,
    /// Names of filters whose values are to be counted.
    pub facets: Vec<&'a str>,
    /// Whether a generation is asked for, by its name or a cursor.
    pub is_pinned: bool,
}

/// One listing in one order, chosen and checked.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The listing whose stream is read.
    pub key: ListingKey,
    /// The order asked for.
    pub order: Order,
    /// Which way the stream is read for it.
    pub direction: Direction,
    /// Lives and limits.
    pub policy: Arc<Policy>,
    /// The form of links.
    pub links: Links,
    /// Choices that are not the defaults, for canonical URLs.
    pub canonical_choices: Vec<(Arc<str>, Arc<str>)>,
    /// Whether the sort is the name's default, which canonical URLs drop.
    pub sort_is_default: bool,
    /// The values that select items; `None` where all are.
    pub filtering: Option<Arc<Filtering>>,
    /// The filters whose values are counted, by their places among the declared ones, each once.
    pub facets: Vec<usize>,
    /// The filters that the listing declares.
    pub declared_filters: Arc<Filters>,
    /// The definition of the listing; `None` if it is pushed.
    pub(crate) defined: Option<Defined>,
    /// Whether the name exists, so that an empty listing is a listing.
    pub(crate) existence: Existence,
    /// How long the choice waited, of the time that a request may wait in all.
    pub(crate) waited: Duration,
    /// How long it may be kept.
    pub lasts: Lasts,
}

/// How long a selection may be reused for the same URL. None outlives the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// For this request only.
    Once,
    /// As long as its listing is there: where a pushed name has no default sort, it has another one.
    WhileLive,
    /// As long as [`Selector::stands_by`](super::selector::Selector::stands_by) it.
    WhileItStands,
}

impl Selection {
    /// The filters that the listing declares, where the page needs them.
    pub fn filters(&self) -> Option<&Arc<Filters>> {
        let is_needed = self.filtering.is_some() || !self.facets.is_empty();
        is_needed.then_some(&self.declared_filters)
    }

    /// What fills the listing; `None` where it is pushed.
    pub fn definition(&self) -> Option<&Definition> {
        self.defined.as_ref().map(|defined| &*defined.definition)
    }

    /// The hash of what is asked for of filters, as cursors carry it; 0 where nothing is.
    pub fn filters_hash(&self) -> u64 {
        self.filtering.as_ref().map_or(0, |filtering| filtering.hash())
    }

    /// The window of a page.
    pub(crate) fn window(&self, offset: u64, limit: NonZeroU32) -> Window {
        Window {
            offset,
            limit,
            direction: self.direction,
        }
    }

    /// Whether an enumeration or a head tells of the name. Anybody can make up other names.
    pub(crate) fn is_known(&self, l1: &L1) -> bool {
        let has_head = |state| state != HeadState::Absent;
        self.existence == Existence::Enumerated || l1.heads.last_known(&self.key).is_some_and(has_head)
    }

    /// When the choice was made that began then.
    pub fn made_at(&self, began: Instant) -> Instant {
        began + self.waited
    }

    /// A pushed listing, which has no definition: descending is its stream backwards.
    pub fn pushed(key: ListingKey, order: Order, policy: Arc<Policy>) -> Self {
        Self {
            sort_is_default: key.sort().as_str() == SortName::DEFAULT,
            key,
            order,
            direction: match order {
                Order::Asc => Direction::Forward,
                Order::Desc => Direction::Reverse,
            },
            policy,
            links: Links::Pinned,
            canonical_choices: Vec::new(),
            filtering: None,
            facets: Vec::new(),
            declared_filters: Arc::default(),
            defined: None,
            existence: Existence::Enumerated,
            waited: Duration::ZERO,
            lasts: Lasts::Once,
        }
    }
}

pub(crate) fn unknown_sort(definition: &Definition) -> ParameterError {
    let sorts: Vec<_> = definition.sorts.iter().map(|sort| sort.name.as_str()).collect();
    invalid("sort", format!("unknown; this listing has {}", sorts.join(", ")))
}

pub(crate) fn invalid(parameter: &str, detail: String) -> ParameterError {
    ParameterError {
        parameter: parameter.to_owned(),
        detail,
    }
}
