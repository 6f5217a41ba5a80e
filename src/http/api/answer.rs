//! Answers that are JSON documents of the service's own: small, built per request, never cached.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;

/// An answer for the one who asked, which no cache may keep.
pub(crate) fn private(status: StatusCode, document: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Texts, numbers and lists of them: serialising does not fail.
        .body(serde_json::to_vec(document).unwrap_or_default())
}

/// Selections and pages for the tests of this layer.
#[cfg(test)]
pub(crate) mod sample {
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
            offset,
            limit: NonZeroU32::new(limit).unwrap(),
            order: Order::Asc,
            pinned: false,
            freshness: PageFreshness {
                ttl_ms: 48_900,
                state: PageState::Fresh,
            },
            served: Served {
                l1_hit: true,
                ..Served::default()
            },
        }
    }
}
