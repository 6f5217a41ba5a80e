//! The parts around a page's items, fixed while its generation is current: the body's prefix, the entity tag, links, dates.
//!
//! A popular page is asked for thousands of times between two publishes. Its envelope is written once a generation, window
//! and spelling of links, and kept in a table of bounded size; nothing in it needs invalidation, for its key names the
//! generation.

mod dialects;

use std::{
    fmt::Write,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use actix_web::http::header::HeaderValue;
use bytes::Bytes;
use foldhash::quality::RandomState;
use moka::sync::Cache;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(crate) use self::dialects::Dialects;
use self::dialects::PageTags;
use super::{
    facets,
    lifetime::Lifetimes,
    links::{self, PageLinks},
    packed::PackedEnvelope,
};
use crate::{
    engine::{PageMeta, Selection, Shape},
    listing::{ListingKey, Order, cache_tag, definition::Links},
};

/// Bytes of all envelopes that are kept: those of some thousands of pages.
const KEPT_BYTES_MAX: u64 = 16 << 20;
/// The bytes of an envelope's values and bookkeeping besides their text, roughly.
const ENTRY_BYTES: usize = 512;
/// The longest `Link` that is sent whole. A page's other headers take some 2 KB where names are long, and proxies give an
/// answer's head 4 KB by default: nginx makes a 502 of a longer one. The body has the links anyway.
const LINK_BYTES_MAX: usize = 2048;

/// Envelopes that were written lately.
#[derive(Debug)]
pub(crate) struct Envelopes {
    kept: Cache<EnvelopeKey, Arc<Envelope>, RandomState>,
    limit_default: NonZeroU32,
    dialects: Dialects,
}

/// Everything that an envelope is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EnvelopeKey {
    listing: ListingKey,
    shape: Shape,
    offset: u64,
    limit: NonZeroU32,
    order: Order,
    pinned: bool,
    links: Links,
    sort_is_default: bool,
    canonical_choices: Vec<(Arc<str>, Arc<str>)>,
    surrogate_keys: Arc<str>,
    filters: Option<Arc<str>>,
    /// The filters themselves, by their hash, where their values are counted.
    facets: (u64, Vec<usize>),
}

/// The parts of an answer that every request for the page shares.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The shape of the page's generation.
    pub shape: Shape,
    /// All of the body before its first item. It depends on the listing key, the generation and the window, and on nothing
    /// else: no clock, no hit state, no host.
    pub prefix: Bytes,
    /// Weak, so that a proxy that compresses the page may keep it.
    pub etag: HeaderValue,
    /// RFC 8288; `None` where there is nothing to tell that is short enough.
    pub link: Option<HeaderValue>,
    /// The page's canonical URL.
    pub content_location: HeaderValue,
    /// Tags for purging, in the headers that CDNs read.
    pub tags: PageTags,
    /// Number of items in the listing.
    pub total_count: HeaderValue,
    /// The headers that the clock changes, good for a second.
    pub lifetimes: Lifetimes,
    /// The parts of the page's gzip member besides its items.
    pub packed: PackedEnvelope,
    /// The generation's second; none where a tag alone tells of changes.
    second: Option<(SystemTime, HeaderValue)>,
    is_over: AtomicBool,
}

impl Envelopes {
    /// None yet. Canonical URLs leave the limit out where it is the default.
    pub(crate) fn new(limit_default: NonZeroU32, dialects: Dialects) -> Self {
        let weigh = |_: &EnvelopeKey, envelope: &Arc<Envelope>| {
            u32::try_from(envelope.text_bytes() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self {
            kept: Cache::builder()
                .max_capacity(KEPT_BYTES_MAX)
                .weigher(weigh)
                .build_with_hasher(RandomState::default()),
            limit_default,
            dialects,
        }
    }

    /// The envelope of a page.
    pub(crate) fn of(&self, selection: &Selection, meta: &PageMeta) -> Arc<Envelope> {
        let key = EnvelopeKey {
            listing: selection.key.clone(),
            shape: meta.shape(),
            offset: meta.offset,
            limit: meta.limit,
            order: meta.order,
            pinned: meta.pinned,
            links: selection.links,
            sort_is_default: selection.sort_is_default,
            canonical_choices: selection.canonical_choices.clone(),
            surrogate_keys: selection.policy.surrogate_keys.clone(),
            filters: selection.filtering.as_ref().map(|filtering| filtering.query().clone()),
            facets: match selection.filters() {
                Some(filters) => (filters.hash, selection.facets.clone()),
                None => Default::default(),
            },
        };
        if let Some(envelope) = self.kept.get(&key) {
            return envelope;
        }
        let envelope = Arc::new(Envelope::write(selection, meta, self.limit_default, &self.dialects));
        if !meta.is_direct() {
            self.kept.insert(key, envelope.clone());
        }
        envelope
    }
}

impl Envelope {
    fn write(selection: &Selection, meta: &PageMeta, limit_default: NonZeroU32, dialects: &Dialects) -> Self {
        let links = PageLinks::of(selection, meta);
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(meta.generation.id / 1_000_000);
        Self {
            shape: meta.shape(),
            prefix: prefix(selection, meta, &links),
            etag: value(etag(selection, meta)),
            link: link(
                &links,
                LINK_BYTES_MAX - selection.policy.surrogate_keys.len().min(LINK_BYTES_MAX),
            )
            .map(value),
            content_location: value(links::canonical(selection, meta, limit_default)),
            tags: dialects.tags(&tags(selection)),
            total_count: value(meta.listed().to_string()),
            lifetimes: Lifetimes::default(),
            packed: PackedEnvelope::default(),
            // A filter may be declared otherwise, and a declaration has no date: with filters and counts the tag alone tells of that.
            second: (selection.filtering.is_none() && selection.facets.is_empty())
                .then(|| (second, value(httpdate::fmt_http_date(second)))),
            is_over: AtomicBool::default(),
        }
    }

    /// The entity tag as text.
    pub(crate) fn etag_text(&self) -> &str {
        // Written by [`etag`], in ASCII.
        self.etag.to_str().unwrap_or_default()
    }

    /// The generation's second, once it is over: until then a later generation could have the same date.
    pub(crate) fn last_modified(&self) -> Option<(&SystemTime, &HeaderValue)> {
        self.last_modified_by(SystemTime::now)
    }

    fn last_modified_by(&self, now: impl FnOnce() -> SystemTime) -> Option<(&SystemTime, &HeaderValue)> {
        let (second, text) = self.second.as_ref()?;
        // A past second stays past, and looking at the clock costs as much as all the rest of it.
        let is_over = self.is_over.load(Ordering::Relaxed) || {
            let is_over = *second + Duration::from_secs(1) <= now();
            self.is_over.store(is_over, Ordering::Relaxed);
            is_over
        };
        is_over.then_some((second, text))
    }

    fn text_bytes(&self) -> usize {
        let link = self.link.as_ref().map_or(0, HeaderValue::len);
        // The prefix may be kept deflated too.
        2 * self.prefix.len() + self.etag.len() + link + self.content_location.len() + self.tags.bytes()
    }
}

fn value(text: String) -> HeaderValue {
    // Everything here is visible ASCII, so the text is a value; it takes the String's buffer over.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn prefix(selection: &Selection, meta: &PageMeta, links: &PageLinks) -> Bytes {
    let key = &selection.key;
    let mut text = String::with_capacity(1024);
    let limit = u64::from(meta.limit.get());
    text.push_str("{\"listing\":");
    // A string always is JSON.
    text.push_str(&serde_json::to_string(key.name().as_str()).unwrap_or_default());
    // Sorts, generations and encoded URLs hold no character that JSON escapes. Writing to a String does not fail.
    let _ = write!(
        text,
        r#","sort":"{}","order":"{}","generation":"#,
        key.sort(),
        meta.order.as_str(),
    );
    let _ = match meta.is_direct() {
        true => write!(text, "null"),
        false => write!(text, r#""{}""#, meta.generation),
    };
    let _ = write!(
        text,
        r#","total":{},"offset":{},"limit":{},"count":{}"#,
        meta.listed(),
        meta.offset,
        limit,
        meta.count(),
    );
    let _ = match meta.offset % limit {
        0 => write!(text, r#","page":{}"#, u128::from(meta.offset / limit) + 1),
        _ => write!(text, r#","page":null"#),
    };
    let _ = write!(text, r#","pages":{}"#, meta.listed().div_ceil(limit));
    let _ = write!(text, r#","links":{{"self":"{}","first":"{}""#, links.this, links.first);
    for (name, link) in [("prev", &links.prev), ("next", &links.next), ("last", &links.last)] {
        let _ = match link {
            Some(link) => write!(text, r#","{name}":"{link}""#),
            None => write!(text, r#","{name}":null"#),
        };
    }
    text.push('}');
    facets::write(&mut text, selection, meta);
    text.push_str(",\"items\":[");
    text.into()
}

/// The page's entity tag, from metadata alone.
fn etag(selection: &Selection, meta: &PageMeta) -> String {
    // Changes with the shape of the body, of which the kind of links is a part.
    let format = match selection.links {
        Links::Pinned => "1",
        Links::Plain => "1p",
    };
    let mut filters = String::new();
    if let Some(declared) = selection.filters() {
        // A page with other counts, or of other filters, is another body.
        let facets = links::facets_text(selection);
        let facets = xxh3_64_with_seed(facets.as_bytes(), declared.hash);
        let _ = write!(filters, ".{:016x}{facets:016x}", selection.filters_hash());
    }
    format!(
        "W/\"{format}.{}.{}.{}.{}.{}{filters}\"",
        meta.generation,
        selection.key.sort(),
        meta.order.as_str(),
        meta.offset,
        meta.limit,
    )
}

/// The listing's own, then those configured, with spaces between them. By listing and never by product: a tag for each of 300 products
/// breaks proxies.
fn tags(selection: &Selection) -> String {
    let tag = cache_tag::of_listing(selection.key.name());
    match &*selection.policy.surrogate_keys {
        "" => tag.into_owned(),
        configured => format!("{tag} {configured}"),
    }
}

/// Where the name is so long that all would be too much it is `next` alone, which is what clients follow.
fn link(links: &PageLinks, bytes_max: usize) -> Option<String> {
    let next = links.next.as_ref().map(|next| format!("<{next}>; rel=\"next\""));
    let mut text = format!("<{}>; rel=\"first\"", links.first);
    if let Some(prev) = &links.prev {
        let _ = write!(text, ", <{prev}>; rel=\"prev\"");
    }
    if let Some(next) = &next {
        let _ = write!(text, ", {next}");
    }
    if let Some(last) = &links.last {
        let _ = write!(text, ", <{last}>; rel=\"last\"");
    }
    if text.len() <= bytes_max { Some(text) } else { next }
}

#[cfg(test)]
mod tests;
