//! A page, once the engine has found it.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use super::selection::Selection;
use crate::{
    engine::{
        l1::{
            filter_cache::KnownColumns,
            items::{Form, PackedItems, PageItems},
            shape::{Layers, Shape},
        },
        refreshing::page_state::PageState,
    },
    listing::{Delta, Facet, Generation, Matches, Order},
};

/// A place in a listing, as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// So many items from an offset on.
    Offset {
        /// Items before the page.
        offset: u64,
        /// Items a page.
        limit: NonZeroU32,
        /// The snapshot asked for, if not the current one.
        pinned: Option<Generation>,
    },
    /// The text of the `cursor` parameter.
    Cursor(String),
}

/// A page as it is asked for.
#[derive(Clone, Copy)]
pub struct PageRequest<'a> {
    /// The listing, and the direction.
    pub selection: &'a Selection,
    /// Where in the listing.
    pub place: &'a Place,
    /// The form in which the items are wanted. Packed: as fragments, and as chunks only where a fragment is missing.
    pub form: Form,
    /// When the wait for the page began.
    pub began: Instant,
}

impl Place {
    /// Whether a generation is asked for.
    pub fn is_pinned(&self) -> bool {
        !matches!(self, Self::Offset { pinned: None, .. })
    }
}

/// A page without its items: everything that headers, links and the body's prefix need.
#[derive(Clone, Debug)]
pub struct PageMeta {
    /// The snapshot it is cut from.
    pub generation: Generation,
    /// Items of the listing, selected or not.
    pub total: u64,
    /// Items a chunk.
    pub chunk_len: NonZeroU32,
    /// The snapshot's delta, as far as it is known.
    pub(crate) delta: Option<Arc<Delta>>,
    /// Items before the page.
    pub offset: u64,
    /// Items asked for.
    pub limit: NonZeroU32,
    /// The order.
    pub order: Order,
    /// Asked for by generation or cursor.
    pub pinned: bool,
    /// How long it may be used.
    pub freshness: PageFreshness,
    /// Which layers were asked.
    pub served: Served,
    /// What filters make of it; `None` without any, and before the page is narrowed.
    pub(crate) narrowed: Option<Narrowed>,
}

/// What filters make of a page's generation.
#[derive(Clone, Debug)]
pub(crate) struct Narrowed {
    /// The items that are selected; `None` where all are.
    pub matches: Option<Arc<Matches>>,
    /// What values are counted by; `None` where none are to be.
    pub columns: Option<Arc<KnownColumns>>,
}

impl PageMeta {
    /// How many items the page has.
    pub fn count(&self) -> u64 {
        self.listed().saturating_sub(self.offset).min(self.limit.get().into())
    }

    /// How many items there are to page through: those of the listing, or those of them that filters select.
    pub fn listed(&self) -> u64 {
        self.matches().map_or(self.total, |matches| matches.count())
    }

    /// The items that filters select; `None` where all are.
    pub(crate) fn matches(&self) -> Option<&Arc<Matches>> {
        self.narrowed.as_ref()?.matches.as_ref()
    }

    /// The counts of the filters whose values are to be counted, by the filters' places.
    pub fn facets(&self, selection: &Selection) -> Vec<(usize, Facet)> {
        let narrowed = self.narrowed.as_ref();
        narrowed.map(|narrowed| narrowed.facets(selection)).unwrap_or_default()
    }

    /// Whether it comes straight from the origin: it is of no generation then, and for nobody to keep.
    pub fn is_direct(&self) -> bool {
        matches!(self.freshness.state, PageState::Direct { .. })
    }

    /// The page's generation.
    pub(crate) fn layers(&self) -> Layers {
        Layers {
            shape: self.shape(),
            delta: self.delta.clone(),
        }
    }

    /// The shape of the page's generation.
    pub fn shape(&self) -> Shape {
        Shape {
            generation: self.generation,
            total: self.total,
            chunk_len: self.chunk_len,
        }
    }
}

impl Narrowed {
    /// What the matches have of the filters whose values are to be counted, by the filters' places.
    pub(crate) fn facets(&self, selection: &Selection) -> Vec<(usize, Facet)> {
        let (Some(known), Some(filters)) = (&self.columns, selection.filters()) else {
            return Vec::new();
        };
        let values_max = usize::try_from(selection.policy.facet_values_max).unwrap_or(usize::MAX);
        let filtering = selection.filtering.as_deref();
        let count = |at: &usize| {
            let facet = Facet::count(filters, *at, &known.columns, filtering, values_max)?;
            Some((*at, facet))
        };
        selection.facets.iter().filter_map(count).collect()
    }
}

/// How long a page may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFreshness {
    /// Milliseconds of freshness left; negative when stale. For a pinned page: how long its generation is kept, at least.
    pub ttl_ms: i64,
    /// And why.
    pub state: PageState,
    /// Milliseconds until the listing changes at an instant that is known; not positive when it has come, and [`PageFreshness::NEVER`]
    /// where none is known.
    pub until_ms: i64,
}

impl PageFreshness {
    /// So long until an instant that nobody knows.
    pub const NEVER: i64 = i64::MAX;

    /// Milliseconds past `fresh_for`, where the page is stale.
    pub(crate) fn stale_ms(&self) -> Option<u64> {
        (self.ttl_ms < 0).then(|| self.ttl_ms.unsigned_abs())
    }
}

/// Which layers were asked, for `Cache-Status` and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Everything came from L1.
    pub l1_hit: bool,
    /// Redis did not have it: the origin was read while the request waited.
    pub filled: bool,
    /// The wait was for somebody else's load.
    pub collapsed: bool,
}

/// How long a page waited for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// For Redis; zero where it was not asked.
    pub redis: Duration,
    /// For a read of the origin; zero where it was not.
    pub origin: Duration,
}

/// A page, or only its meta where the caller needs no items.
#[derive(Clone, Debug)]
pub struct Page {
    /// All but the items.
    pub meta: PageMeta,
    /// `None` where the caller needs none, or they were found packed.
    pub items: Option<PageItems>,
    /// The items packed, where they are wanted so.
    pub packed: Option<PackedItems>,
    /// How many items the page has.
    pub count: u64,
    /// The times that it waited.
    pub waited: Waited,
}

impl Page {
    /// A page whose items are found.
    pub(crate) fn with_items(meta: PageMeta, items: PageItems) -> Self {
        Self {
            items: Some(items),
            ..Self::without_items(meta)
        }
    }

    /// A page whose items were found packed.
    pub(crate) fn with_packed(meta: PageMeta, packed: PackedItems) -> Self {
        Self {
            packed: Some(packed),
            ..Self::without_items(meta)
        }
    }

    /// A page without its items.
    pub(crate) fn without_items(meta: PageMeta) -> Self {
        Self {
            count: meta.count(),
            items: None,
            packed: None,
            waited: Waited::default(),
            meta,
        }
    }
}

/// Milliseconds, as [`PageFreshness`] counts them.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
