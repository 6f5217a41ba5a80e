//! What a CDN in front would hold of a trace, if it went by what the answers say: each page by its URL and coding, for `max-age`.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::Seen;

/// What came of it.
pub struct Edge {
    /// Of all requests, those that it would have answered itself.
    pub hit_rate: f64,
    /// Different URLs and codings that were asked for.
    pub objects: usize,
    /// The most bytes that were fresh at a time.
    pub bytes_most: u64,
    /// Of its hits, those that were older than what listcache gave.
    pub stale: u64,
}

struct Object {
    until: Instant,
    bytes: u64,
    revision: u64,
}

/// Goes through the answers in the order of their times.
pub fn of(seen: &[Seen]) -> Edge {
    let mut objects: HashMap<(&str, bool), Object> = HashMap::new();
    let (mut hits, mut stale, mut bytes_most) = (0_u64, 0, 0);
    for page in seen {
        if let Some(object) = objects.get(&(page.url.as_str(), page.takes_gzip))
            && object.until > page.at
        {
            hits += 1;
            stale += u64::from(!page.is_pinned && object.revision < page.revision);
            continue;
        }
        objects.insert(
            (&page.url, page.takes_gzip),
            Object {
                until: page.at + Duration::from_secs(page.max_age),
                bytes: page.bytes,
                revision: page.revision,
            },
        );
        // Looked at only now and then: it takes a look at all.
        if objects.len().is_multiple_of(64) {
            let fresh = objects.values().filter(|object| object.until > page.at);
            bytes_most = bytes_most.max(fresh.map(|object| object.bytes).sum());
        }
    }
    Edge {
        hit_rate: hits as f64 / seen.len() as f64,
        objects: objects.len(),
        bytes_most,
        stale,
    }
}
