//! The headers of a page, on 200 and on 304: for caches downstream. Those that no clock changes come from
//! the page's [envelope](super::envelope), the others from [`lifetime`](super::lifetime). The headers of every answer, pages
//! or not, are set in [`edge`](crate::http::edge).

use actix_web::{
    HttpResponseBuilder,
    http::header::{self, HeaderName, HeaderValue},
};

use super::{
    envelope::Envelope,
    lifetime::{Lifetime, shortened},
};
use crate::{engine::PageMeta, http::edge::CACHE_STATUS, listing::Policy};

/// Where the time went.
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Number of items in the listing.
pub(crate) const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// `Cache-Status` of a name that does not exist.
pub(crate) const NEGATIVE: &str = "listcache-redis; hit; detail=negative";

/// The entity tag of a page whose lifetimes are shortened: a cache that goes on with the headers that it has must not think that it has this
/// page. No date tells the two apart.
pub(crate) fn shortened_tag(policy: &Policy, meta: &PageMeta, envelope: &Envelope) -> Option<String> {
    let bound = shortened(policy, meta)?;
    let tag = envelope.etag_text();
    Some(format!("{}.{bound}\"", tag.strip_suffix('"').unwrap_or(tag)))
}

/// Sets the headers of a page. `purged`: CDNs are purged in time.
pub(crate) fn set(
    response: &mut HttpResponseBuilder,
    policy: &Policy,
    meta: &PageMeta,
    envelope: &Envelope,
    purged: bool,
) {
    // Without a generation there is nothing that a later answer could be told to be the same as.
    if !meta.is_direct() {
        match shortened_tag(policy, meta, envelope) {
            None => {
                response.insert_header((header::ETAG, envelope.etag.clone()));
                if let Some((_, date)) = envelope.last_modified() {
                    response.insert_header((header::LAST_MODIFIED, date.clone()));
                }
            }
            Some(tag) => drop(response.insert_header((header::ETAG, tag))),
        }
    }
    let lifetime = envelope.lifetimes.of(Lifetime::of(policy, meta, purged));
    response.insert_header((header::CACHE_CONTROL, lifetime.cache_control.clone()));
    if let Some(value) = &lifetime.cdn_cache_control {
        for header in envelope.tags.lifetime_headers() {
            response.insert_header((header, value.clone()));
        }
    }
    response.insert_header((CACHE_STATUS, lifetime.cache_status.clone()));
    response.insert_header((header::CONTENT_LOCATION, envelope.content_location.clone()));
    if let Some(link) = &envelope.link {
        response.insert_header((header::LINK, link.clone()));
    }
    for (header, value) in envelope.tags.iter() {
        response.insert_header((header.clone(), value.clone()));
    }
    response.insert_header((X_TOTAL_COUNT, envelope.total_count.clone()));
    if meta.pinned {
        // A snapshot's pages are many and short-lived: crawlers should keep the plain ones.
        response.insert_header((X_ROBOTS_TAG, HeaderValue::from_static("noindex")));
    }
}
