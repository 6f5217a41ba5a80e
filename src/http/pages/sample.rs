//! Selections and pages for the tests of this room.

use std::{num::NonZeroU32, sync::Arc};

use crate::{
    engine::{PageFreshness, PageMeta, PageState, Selection, Served},
    listing::{ListingKey, Order, Policy},
};

/// A selection of a listing, ascending, all of it by default.
pub(crate) fn selection(key: &str) -> Selection {
    let key = ListingKey::parse(key).unwrap();
    let mut selection = Selection::pushed(key, Order::Asc, Arc::new(Policy::default()));
    selection.sort_is_default = true;
    selection
}

/// A fresh page from L1.
pub(crate) fn meta(total: u64, offset: u64, limit: u32) -> PageMeta {
    PageMeta {
        generation: "1795291200123456-9f1c02ab".parse().unwrap(),
        total,
        chunk_len: NonZeroU32::new(12).unwrap(),
        delta: None,
        offset,
        limit: NonZeroU32::new(limit).unwrap(),
        order: Order::Asc,
        pinned: false,
        freshness: PageFreshness {
            ttl_ms: 48_900,
            state: PageState::Fresh,
            until_ms: PageFreshness::NEVER,
        },
        served: Served {
            l1_hit: true,
            ..Served::default()
        },
        narrowed: None,
    }
}
