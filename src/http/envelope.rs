//! What stands around a page's items for as long as its generation is current: the body's prefix, the entity tag, links, dates.
//!
//! A popular page is asked for thousands of times between two publishes. Its envelope is written once a generation, window
//! and spelling of links, and kept in a table of bounded size; nothing in it needs invalidation, for its key names the
//! generation.

use std::{
    fmt::Write,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use actix_web::http::header::HeaderValue;
use bytes::Bytes;
use foldhash::quality::RandomState;
use moka::sync::Cache;

use super::{
    lifetime::Lifetimes,
    links::{self, PageLinks},
    packed::PackedEnvelope,
};
use crate::{
    engine::{PageMeta, Selection, Shape},
    listing::{ListingKey, Order, definition::Links},
};

/// Bytes of all envelopes that are kept: those of some thousands of pages.
const KEPT_BYTES_MAX: u64 = 16 << 20;
/// What an envelope's values and bookkeeping take besides their text, roughly.
const ENTRY_BYTES: usize = 512;
/// The longest `Link` that is sent whole. A page's other headers take some 2 KB where names are long, and proxies give an
/// answer's head 4 KB by default: nginx makes a 502 of a longer one. The body has the links anyway.
const LINK_BYTES_MAX: usize = 2048;

/// Envelopes that were written lately.
#[derive(Debug)]
pub struct Envelopes {
    kept: Cache<EnvelopeKey, Arc<Envelope>, RandomState>,
    limit_default: NonZeroU32,
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
}

/// The parts of an answer that every request for the page shares.
#[derive(Debug)]
pub struct Envelope {
    /// All of the body before its first item. It depends on the listing key, the generation and the window, and on nothing
    /// else: no clock, no hit state, no host.
    pub prefix: Bytes,
    /// Weak, so that whoever compresses the page on the way may keep it.
    pub etag: HeaderValue,
    /// RFC 8288; `None` where there is nothing to tell that is short enough.
    pub link: Option<HeaderValue>,
    /// The page's canonical URL.
    pub content_location: HeaderValue,
    /// Tags for purging: the listing's own, then those configured.
    pub surrogate_key: HeaderValue,
    /// Number of items in the listing.
    pub total_count: HeaderValue,
    /// What the clock changes, good for a second.
    pub lifetimes: Lifetimes,
    /// What the page has as a gzip member, besides its items.
    pub packed: PackedEnvelope,
    /// The generation's second.
    second: (SystemTime, HeaderValue),
}

impl Envelopes {
    /// None yet. Canonical URLs leave the limit out where it is the default.
    pub fn new(limit_default: NonZeroU32) -> Self {
        let weigh = |_: &EnvelopeKey, envelope: &Arc<Envelope>| {
            u32::try_from(envelope.text_bytes() + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self {
            kept: Cache::builder()
                .max_capacity(KEPT_BYTES_MAX)
                .weigher(weigh)
                .build_with_hasher(RandomState::default()),
            limit_default,
        }
    }

    /// The envelope of a page.
    pub fn of(&self, selection: &Selection, meta: &PageMeta) -> Arc<Envelope> {
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
        };
        if let Some(envelope) = self.kept.get(&key) {
            return envelope;
        }
        let envelope = Arc::new(Envelope::write(selection, meta, self.limit_default));
        if !meta.is_direct() {
            self.kept.insert(key, envelope.clone());
        }
        envelope
    }
}

impl Envelope {
    fn write(selection: &Selection, meta: &PageMeta, limit_default: NonZeroU32) -> Self {
        let links = PageLinks::of(selection, meta);
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(meta.generation.id / 1_000_000);
        Self {
            prefix: prefix(&selection.key, meta, &links),
            etag: value(etag(selection, meta)),
            link: link(
                &links,
                LINK_BYTES_MAX - selection.policy.surrogate_keys.len().min(LINK_BYTES_MAX),
            )
            .map(value),
            content_location: value(links::canonical(selection, meta, limit_default)),
            surrogate_key: value(surrogate_key(selection)),
            total_count: value(meta.total.to_string()),
            lifetimes: Lifetimes::default(),
            packed: PackedEnvelope::default(),
            second: (second, value(httpdate::fmt_http_date(second))),
        }
    }

    /// The entity tag as text.
    pub fn etag_text(&self) -> &str {
        // Written by [`etag`], in ASCII.
        self.etag.to_str().unwrap_or_default()
    }

    /// The generation's second, once it is over: until then a later generation could have the same date.
    pub fn last_modified(&self, now: SystemTime) -> Option<(&SystemTime, &HeaderValue)> {
        let (second, text) = &self.second;
        (*second + Duration::from_secs(1) <= now).then_some((second, text))
    }

    fn text_bytes(&self) -> usize {
        let link = self.link.as_ref().map_or(0, HeaderValue::len);
        // The prefix may be kept deflated too.
        2 * self.prefix.len() + self.etag.len() + link + self.content_location.len() + self.surrogate_key.len()
    }
}

fn value(text: String) -> HeaderValue {
    // Everything here is visible ASCII, so the text is a value; it takes the String's buffer over.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn prefix(key: &ListingKey, meta: &PageMeta, links: &PageLinks) -> Bytes {
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
        meta.total,
        meta.offset,
        limit,
        meta.count(),
    );
    let _ = match meta.offset % limit {
        0 => write!(text, r#","page":{}"#, u128::from(meta.offset / limit) + 1),
        _ => write!(text, r#","page":null"#),
    };
    let _ = write!(text, r#","pages":{}"#, meta.total.div_ceil(limit));
    let _ = write!(text, r#","links":{{"self":"{}","first":"{}""#, links.this, links.first);
    for (name, link) in [("prev", &links.prev), ("next", &links.next), ("last", &links.last)] {
        let _ = match link {
            Some(link) => write!(text, r#","{name}":"{link}""#),
            None => write!(text, r#","{name}":null"#),
        };
    }
    text.push_str("},\"items\":[");
    text.into()
}

/// The page's entity tag, from metadata alone.
fn etag(selection: &Selection, meta: &PageMeta) -> String {
    // Changes with the shape of the body, of which the kind of links is a part.
    let format = match selection.links {
        Links::Pinned => "1",
        Links::Plain => "1p",
    };
    format!(
        "W/\"{format}.{}.{}.{}.{}.{}\"",
        meta.generation,
        selection.key.sort(),
        meta.order.as_str(),
        meta.offset,
        meta.limit,
    )
}

/// By listing and never by product: a tag for each of 300 products breaks proxies.
fn surrogate_key(selection: &Selection) -> String {
    let tag = selection.key.name().tag();
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
mod tests {
    use super::*;
    use crate::{
        http::answer::sample::{meta, selection},
        listing::Policy,
    };

    const LIMIT: NonZeroU32 = NonZeroU32::new(24).unwrap();

    fn envelope(selection: &Selection, meta: &PageMeta) -> Envelope {
        Envelope::write(selection, meta, LIMIT)
    }

    fn prefix(key: &str, meta: &PageMeta) -> String {
        String::from_utf8(envelope(&selection(key), meta).prefix.to_vec()).unwrap()
    }

    #[test]
    fn fields_stand_in_the_contracts_order() {
        let meta = meta(1434, 24, 2);
        let links = PageLinks::of(&selection("a%22b/price"), &meta);
        assert_eq!(
            prefix("a%22b/price", &meta),
            format!(
                concat!(
                    r#"{{"listing":"a\"b","sort":"price","order":"asc","generation":"1795291200123456-9f1c02ab","#,
                    r#""total":1434,"offset":24,"limit":2,"count":2,"page":13,"pages":717,"#,
                    r#""links":{{"self":"{}","first":"{}","prev":"{}","next":"{}","last":"{}"}},"items":["#
                ),
                links.this,
                links.first,
                links.prev.unwrap(),
                links.next.unwrap(),
                links.last.unwrap(),
            )
        );
    }

    #[test]
    fn what_is_absent_is_null() {
        let document = |meta: &PageMeta| -> serde_json::Value {
            serde_json::from_str(&format!("{}]}}", prefix("a/price", meta))).unwrap()
        };
        let empty = document(&meta(0, 0, 24));
        assert_eq!(
            (&empty["pages"], &empty["page"], &empty["count"]),
            (&0.into(), &1.into(), &0.into())
        );
        for absent in ["prev", "next", "last"] {
            assert_eq!(empty["links"][absent], serde_json::Value::Null);
        }
        let between = document(&meta(100, 7, 24));
        assert_eq!(
            (&between["page"], &between["pages"]),
            (&serde_json::Value::Null, &5.into())
        );
    }

    #[test]
    fn the_largest_offset_is_a_page_past_the_end() {
        let text = prefix("a/price", &meta(3, u64::MAX, 1));
        assert!(
            text.contains(r#""count":0,"page":18446744073709551616,"pages":3,"#),
            "{text}"
        );
    }

    #[test]
    fn the_date_is_sent_once_its_second_is_over() {
        let envelope = envelope(&selection("a/price"), &meta(30, 0, 24));
        let at = |millis: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(envelope.last_modified(at(1_795_291_200_999)), None);
        let (second, text) = envelope.last_modified(at(1_795_291_201_000)).unwrap();
        assert_eq!(
            (*second, text.to_str().unwrap()),
            (at(1_795_291_200_000), "Sat, 21 Nov 2026 20:00:00 GMT")
        );
    }

    #[test]
    fn the_tag_names_generation_and_window() {
        let mut selection = selection("a/price?currency=EUR");
        let expect = r#"W/"1.1795291200123456-9f1c02ab.price.asc.24.24""#;
        assert_eq!(envelope(&selection, &meta(1434, 24, 24)).etag_text(), expect);
        selection.links = Links::Plain;
        assert_ne!(envelope(&selection, &meta(1434, 24, 24)).etag_text(), expect);
    }

    #[test]
    fn a_page_is_tagged_by_its_listing_and_as_configured() {
        let mut selection = selection("a%20b%2Cc/price?currency=EUR");
        assert_eq!(envelope(&selection, &meta(30, 0, 24)).surrogate_key, "a%20b%2Cc");
        selection.policy = Arc::new(Policy {
            surrogate_keys: "shop bread".into(),
            ..Policy::default()
        });
        assert_eq!(
            envelope(&selection, &meta(30, 0, 24)).surrogate_key,
            "a%20b%2Cc shop bread"
        );
    }

    #[test]
    fn links_stand_in_the_header_too() {
        let mut selection = selection("a/price");
        selection.links = Links::Plain;
        assert_eq!(
            envelope(&selection, &meta(30, 0, 24)).link.unwrap(),
            "</v1/listings/a?sort=price&offset=0&limit=24>; rel=\"first\", \
             </v1/listings/a?sort=price&offset=24&limit=24>; rel=\"next\", \
             </v1/listings/a?sort=price&offset=24&limit=24>; rel=\"last\""
        );
    }

    #[test]
    fn the_links_of_a_long_name_are_next_alone() {
        let selection = selection(&format!("{}/price", "%20".repeat(256)));
        let link = |offset: u64| envelope(&selection, &meta(100, offset, 24)).link;
        let next = link(24).unwrap();
        let next = next.to_str().unwrap();
        assert!(next.len() < LINK_BYTES_MAX, "{}", next.len());
        assert_eq!(next.matches("rel=").count(), 1);
        assert!(next.ends_with("rel=\"next\""), "{next}");
        assert_eq!(link(96), None, "the last page");
    }

    #[test]
    fn whatever_an_answer_shows_of_a_page_tells_its_envelope_apart() {
        let envelopes = Envelopes::new(LIMIT);
        let (selection, meta) = (selection("a/price?currency=EUR"), meta(100, 24, 24));
        let first = envelopes.of(&selection, &meta);
        assert!(Arc::ptr_eq(&first, &envelopes.of(&selection.clone(), &meta.clone())));

        let choices: [fn(&mut Selection); 5] = [
            |selection| {
                selection.policy = Arc::new(Policy {
                    surrogate_keys: "shop".into(),
                    ..Policy::default()
                })
            },
            |selection| selection.canonical_choices = vec![("currency".into(), "EUR".into())],
            |selection| selection.sort_is_default = false,
            |selection| selection.links = Links::Plain,
            |selection| selection.key = ListingKey::parse("b/price?currency=EUR").unwrap(),
        ];
        for choose in choices {
            let mut other = selection.clone();
            choose(&mut other);
            assert!(!Arc::ptr_eq(&first, &envelopes.of(&other, &meta)), "{other:?}");
        }
        let changes: [fn(&mut PageMeta); 7] = [
            |meta| meta.generation.nonce += 1,
            |meta| meta.total += 1,
            |meta| meta.chunk_len = NonZeroU32::MIN,
            |meta| meta.offset += 1,
            |meta| meta.limit = NonZeroU32::MIN,
            |meta| meta.order = Order::Desc,
            |meta| meta.pinned = true,
        ];
        for change in changes {
            let mut other = meta.clone();
            change(&mut other);
            assert!(!Arc::ptr_eq(&first, &envelopes.of(&selection, &other)), "{other:?}");
        }
    }
}
