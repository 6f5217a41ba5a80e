//! One listing in one order, and what a client asks for to get it.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    engine::{declared::names::Existence, error::ParameterError, l1::L1},
    listing::{
        Definition, Direction, HeadState, ListingKey, Order, Policy, SortName, Window,
        definition::{Defined, Links, Resolved},
    },
};

/// Parameters a name's definition declares, beyond those every listing has.
#[derive(Clone, Debug, Default)]
pub struct DeclaredParameters {
    /// Variants and filters, in the order of declaration.
    pub names: Vec<Arc<str>>,
}

impl DeclaredParameters {
    /// Empty for pushed and unknown names.
    pub fn of(resolved: &Resolved) -> Self {
        let Resolved::Defined(defined) = resolved else {
            return Self::default();
        };
        let variants = defined.definition.variants.iter().map(|variant| &variant.parameter);
        let filters = defined.definition.filters.iter().map(|filter| &filter.parameter);
        Self {
            names: variants.chain(filters).cloned().collect(),
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
    /// Declared variants and filters with their values.
    pub choices: Vec<(&'a str, &'a str)>,
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
