//! The headers of a page, on 200 and on 304: what caches downstream need to know.
//!
//! `max-age` is the lifetime that is left, without `Age`: nginx ignores `Age`, so a constant lifetime would add up from
//! cache to cache. `s-maxage` is never sent: beside `stale-while-revalidate` it forbids stale answers (RFC 9111, 5.2.2.10).
//! What every answer carries, pages or not, is set in [`edge`](super::edge).

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use actix_web::{
    HttpResponseBuilder,
    http::header::{self, HeaderName, HeaderValue},
};

use super::links::PageLinks;
use crate::{
    engine::{PageMeta, PageState, Selection},
    listing::{Generation, Policy, definition::Links},
};

/// Number of items in the listing.
pub const X_TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
/// RFC 9211.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// `Cache-Status` of a name that does not exist.
pub const NEGATIVE: &str = "listcache-redis; hit; detail=negative";

/// Stale while being refreshed: with 0 every cache downstream would ask again on each request meanwhile.
const REFRESHING_MAX_AGE: u64 = 2;
/// Stale because the origin or Redis fails: nothing better comes in the next seconds.
const FAILING_MAX_AGE: u64 = 5;
/// The longest `Link` that is sent whole. A page's other headers take some 2 KB where names are long, and proxies give an
/// answer's head 4 KB by default: nginx makes a 502 of a longer one. The body has the links anyway.
const LINK_BYTES_MAX: usize = 2048;

/// Sets the headers of a page.
pub fn set(
    response: &mut HttpResponseBuilder,
    selection: &Selection,
    meta: &PageMeta,
    etag: String,
    last_modified: Option<SystemTime>,
    links: &PageLinks,
    canonical: String,
) {
    put(response, header::ETAG, etag);
    if let Some(time) = last_modified {
        put(response, header::LAST_MODIFIED, httpdate::fmt_http_date(time));
    }
    put(response, header::CACHE_CONTROL, cache_control(&selection.policy, meta));
    put(response, header::CONTENT_LOCATION, canonical);
    if let Some(link) = link(links) {
        put(response, header::LINK, link);
    }
    put(response, X_TOTAL_COUNT, meta.total.to_string());
    put(response, CACHE_STATUS, cache_status(&selection.policy, meta));
    if meta.pinned {
        // A snapshot's pages are many and short-lived: crawlers should keep the plain ones.
        response.insert_header((X_ROBOTS_TAG, HeaderValue::from_static("noindex")));
    }
}

fn put(response: &mut HttpResponseBuilder, name: HeaderName, value: String) {
    // Everything here is visible ASCII, so the value is one; it takes the String's buffer over.
    if let Ok(value) = HeaderValue::try_from(value) {
        response.insert_header((name, value));
    }
}

/// The page's entity tag, from metadata alone. Weak, so that whoever compresses it on the way may keep it.
pub fn etag(selection: &Selection, meta: &PageMeta) -> String {
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

/// The generation's second, once it is over: until then a later generation could have the same date.
pub fn last_modified(generation: Generation, now: SystemTime) -> Option<SystemTime> {
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(generation.id / 1_000_000);
    (second + Duration::from_secs(1) <= now).then_some(second)
}

/// Seconds of freshness: what `max-age` says, and the `ttl` of `Cache-Status`.
struct Lifetime {
    max_age: u64,
    ttl: i64,
}

impl Lifetime {
    fn of(policy: &Policy, meta: &PageMeta) -> Self {
        let millis = meta.freshness.ttl_ms;
        if meta.pinned {
            let kept = match meta.freshness.state {
                // How long it is still kept only Redis knows.
                PageState::RedisDown => FAILING_MAX_AGE,
                _ => u64::try_from(millis).unwrap_or(0) / 1000,
            };
            let max_age = kept.min(policy.pinned_max_age.as_secs());
            return Self {
                max_age,
                ttl: i64::try_from(max_age).unwrap_or(i64::MAX),
            };
        }
        let ttl = if millis > 0 {
            // The last second counts as one, for the reason that a stale page does not say 0 either.
            (millis / 1000).max(1)
        } else {
            // Away from zero: stale is always negative.
            (millis / 1000 - i64::from(millis % 1000 != 0)).min(-1)
        };
        let max_age = match meta.freshness.state {
            PageState::Fresh => u64::try_from(ttl).unwrap_or(1),
            PageState::Refreshing => REFRESHING_MAX_AGE,
            PageState::OriginError | PageState::RedisDown => FAILING_MAX_AGE,
        };
        Self { max_age, ttl }
    }
}

fn cache_control(policy: &Policy, meta: &PageMeta) -> String {
    let mut text = format!("max-age={}", Lifetime::of(policy, meta).max_age);
    // A pinned page is one that is left, not revalidated into a newer one.
    if !meta.pinned {
        for (directive, duration) in [
            ("stale-while-revalidate", policy.stale_while_revalidate),
            ("stale-if-error", policy.stale_if_error),
        ] {
            if !duration.is_zero() {
                let _ = write!(text, ", {directive}={}", duration.as_secs());
            }
        }
    }
    text
}

/// RFC 9211: members nearest the origin first, each a hit or forwarded, never both.
fn cache_status(policy: &Policy, meta: &PageMeta) -> String {
    let ttl = Lifetime::of(policy, meta).ttl;
    let detail = match meta.freshness.state {
        PageState::Fresh => "",
        PageState::Refreshing => "; detail=refreshing",
        PageState::OriginError => "; detail=origin-error",
        PageState::RedisDown => "; detail=redis-down",
    };
    let collapsed = if meta.served.collapsed { "; collapsed" } else { "" };
    if meta.served.l1_hit {
        format!("listcache-l1; hit; ttl={ttl}{detail}")
    } else if meta.served.filled {
        format!(
            "listcache-redis; fwd=uri-miss; stored{collapsed}; ttl={ttl}{detail}, listcache-l1; fwd=uri-miss; stored"
        )
    } else {
        format!("listcache-redis; hit; ttl={ttl}{detail}, listcache-l1; fwd=uri-miss; stored{collapsed}")
    }
}

/// RFC 8288. Where the name is so long that all would be too much it is `next` alone, which is what clients follow.
fn link(links: &PageLinks) -> Option<String> {
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
    if text.len() <= LINK_BYTES_MAX { Some(text) } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{PageFreshness, Served},
        http::answer::sample::{meta, selection},
    };

    #[track_caller]
    fn check(ttl_ms: i64, state: PageState, served: Served, control: &str, status: &str) {
        let mut meta = meta(1434, 24, 24);
        meta.freshness = PageFreshness { ttl_ms, state };
        meta.served = served;
        let policy = Policy::default();
        assert_eq!(cache_control(&policy, &meta), control);
        assert_eq!(cache_status(&policy, &meta), status);
    }

    const L1: Served = Served {
        l1_hit: true,
        filled: false,
        collapsed: false,
    };
    const REDIS: Served = Served { l1_hit: false, ..L1 };
    const ORIGIN: Served = Served { filled: true, ..REDIS };
    const TAIL: &str = ", stale-while-revalidate=30, stale-if-error=3600";

    #[test]
    fn each_state_says_how_long_and_from_where() {
        let fresh = |max_age: u64| format!("max-age={max_age}{TAIL}");
        check(48_900, PageState::Fresh, L1, &fresh(48), "listcache-l1; hit; ttl=48");
        check(
            48_900,
            PageState::Fresh,
            REDIS,
            &fresh(48),
            "listcache-redis; hit; ttl=48, listcache-l1; fwd=uri-miss; stored",
        );
        check(
            60_000,
            PageState::Fresh,
            ORIGIN,
            &fresh(60),
            "listcache-redis; fwd=uri-miss; stored; ttl=60, listcache-l1; fwd=uri-miss; stored",
        );
        check(
            60_000,
            PageState::Fresh,
            Served {
                collapsed: true,
                ..ORIGIN
            },
            &fresh(60),
            "listcache-redis; fwd=uri-miss; stored; collapsed; ttl=60, listcache-l1; fwd=uri-miss; stored",
        );
        check(
            -7000,
            PageState::Refreshing,
            L1,
            &fresh(2),
            "listcache-l1; hit; ttl=-7; detail=refreshing",
        );
        check(
            -94_001,
            PageState::OriginError,
            L1,
            &fresh(5),
            "listcache-l1; hit; ttl=-95; detail=origin-error",
        );
        check(
            -1,
            PageState::RedisDown,
            L1,
            &fresh(5),
            "listcache-l1; hit; ttl=-1; detail=redis-down",
        );
    }

    #[test]
    fn the_last_second_is_a_second() {
        check(
            1,
            PageState::Fresh,
            L1,
            &format!("max-age=1{TAIL}"),
            "listcache-l1; hit; ttl=1",
        );
        check(
            0,
            PageState::Refreshing,
            L1,
            &format!("max-age=2{TAIL}"),
            "listcache-l1; hit; ttl=-1; detail=refreshing",
        );
    }

    #[test]
    fn a_pinned_page_lives_no_longer_than_its_generation() {
        let policy = Policy::default();
        for (kept_ms, expect) in [(600_000, "max-age=60"), (12_345, "max-age=12"), (-1, "max-age=0")] {
            let mut meta = meta(1434, 24, 24);
            meta.pinned = true;
            meta.freshness.ttl_ms = kept_ms;
            assert_eq!(cache_control(&policy, &meta), expect);
        }
        let mut meta = meta(1434, 24, 24);
        (meta.pinned, meta.freshness.state, meta.served) = (true, PageState::RedisDown, L1);
        assert_eq!(cache_control(&policy, &meta), "max-age=5");
        let status = "listcache-l1; hit; ttl=5; detail=redis-down";
        assert_eq!(cache_status(&policy, &meta), status);
    }

    #[test]
    fn the_date_is_sent_once_its_second_is_over() {
        let generation: Generation = "1795291200123456-9f1c02ab".parse().unwrap();
        let at = |millis: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(last_modified(generation, at(1_795_291_200_999)), None);
        let sent = last_modified(generation, at(1_795_291_201_000)).unwrap();
        assert_eq!(sent, at(1_795_291_200_000));
    }

    #[test]
    fn the_tag_names_generation_and_window() {
        let mut selection = selection("a/price?currency=EUR");
        let expect = r#"W/"1.1795291200123456-9f1c02ab.price.asc.24.24""#;
        assert_eq!(etag(&selection, &meta(1434, 24, 24)), expect);
        selection.links = Links::Plain;
        assert_ne!(etag(&selection, &meta(1434, 24, 24)), expect);
    }

    #[test]
    fn links_stand_in_the_header_too() {
        let mut selection = selection("a/price");
        selection.links = Links::Plain;
        let text = link(&PageLinks::of(&selection, &meta(30, 0, 24)));
        assert_eq!(
            text.unwrap(),
            "</v1/listings/a?sort=price&offset=0&limit=24>; rel=\"first\", \
             </v1/listings/a?sort=price&offset=24&limit=24>; rel=\"next\", \
             </v1/listings/a?sort=price&offset=24&limit=24>; rel=\"last\""
        );
    }

    #[test]
    fn the_links_of_a_long_name_are_next_alone() {
        let key = format!("{}/price", "%20".repeat(256));
        let link = |offset: u64| link(&PageLinks::of(&selection(&key), &meta(100, offset, 24)));
        let next = link(24).unwrap();
        assert!(next.len() < LINK_BYTES_MAX, "{}", next.len());
        assert_eq!(next.matches("rel=").count(), 1);
        assert!(next.ends_with("rel=\"next\""), "{next}");
        assert_eq!(link(96), None, "the last page");
    }
}
