//! How long a page may be used, and which layer it came from: `Cache-Control`, `CDN-Cache-Control` and `Cache-Status`.
//!
//! `max-age` is the lifetime that is left, without `Age`: nginx ignores `Age`, so a constant lifetime would add up from
//! cache to cache. A CDN that is purged when a listing changes needs no such care: where configured, `CDN-Cache-Control`
//! (RFC 9213) allows it more, but never of a stale page, which is about to change. `s-maxage` is never sent: beside `stale-while-revalidate` it forbids stale answers (RFC 9111, 5.2.2.10).

use std::{fmt::Write, sync::Arc};

use actix_web::http::header::HeaderValue;
use arc_swap::ArcSwapOption;

use crate::{
    engine::{PageMeta, PageState, Served},
    listing::Policy,
};

/// Stale while being refreshed: with 0 every cache downstream would ask again on each request meanwhile.
const REFRESHING_MAX_AGE: u64 = 2;
/// Stale because the origin or Redis fails: nothing better comes in the next seconds.
const FAILING_MAX_AGE: u64 = 5;

/// All that these headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Seconds that a cache may use the answer.
    max_age: u64,
    /// The same for a cache that is purged; `None` where nothing is said to it.
    cdn_max_age: Option<u64>,
    /// Seconds of freshness left, as `Cache-Status` tells them.
    ttl: i64,
    /// Seconds of `stale-while-revalidate` and `stale-if-error`; 0 where there is none.
    stale: [u64; 2],
    state: PageState,
    served: Served,
}

/// These headers, written.
#[derive(Debug)]
pub(crate) struct LifetimeHeaders {
    lifetime: Lifetime,
    /// `Cache-Control`.
    pub cache_control: HeaderValue,
    /// `CDN-Cache-Control`, if there is to be one.
    pub cdn_cache_control: Option<HeaderValue>,
    /// RFC 9211.
    pub cache_status: HeaderValue,
}

/// The headers that were written last: they are good for the rest of their second.
#[derive(Debug, Default)]
pub(crate) struct Lifetimes {
    last: ArcSwapOption<LifetimeHeaders>,
}

impl Lifetimes {
    /// The headers of a lifetime.
    pub(crate) fn of(&self, lifetime: Lifetime) -> Arc<LifetimeHeaders> {
        if let Some(last) = &*self.last.load()
            && last.lifetime == lifetime
        {
            return last.clone();
        }
        let written = Arc::new(LifetimeHeaders {
            lifetime,
            cache_control: value(cache_control(lifetime.max_age, &lifetime)),
            cdn_cache_control: lifetime
                .cdn_max_age
                .map(|max_age| value(cache_control(max_age, &lifetime))),
            cache_status: value(cache_status(&lifetime)),
        });
        self.last.store(Some(written.clone()));
        written
    }
}

impl Lifetime {
    /// How long a page may be used.
    pub(crate) fn of(policy: &Policy, meta: &PageMeta) -> Self {
        let state = meta.freshness.state;
        let (max_age, ttl) = if meta.pinned {
            Self::pinned(policy, meta)
        } else {
            Self::current(meta)
        };
        // A pinned page is one that is left, not revalidated into a newer one.
        let stale = match meta.pinned {
            true => [0; 2],
            false => [policy.stale_while_revalidate, policy.stale_if_error].map(|duration| duration.as_secs()),
        };
        let cdn = policy.cdn_max_age.as_secs();
        let cdn_max_age = (cdn > 0).then_some(match state {
            // A pin lasts only as long as its generation, and a cache learns of a delete only by purging.
            PageState::Fresh if meta.pinned => cdn.min(kept_secs(meta)),
            PageState::Fresh => cdn,
            _ => max_age,
        });
        Self {
            max_age,
            cdn_max_age,
            ttl,
            stale,
            state,
            served: meta.served,
        }
    }

    fn pinned(policy: &Policy, meta: &PageMeta) -> (u64, i64) {
        let kept = match meta.freshness.state {
            // How long it is still kept only Redis knows.
            PageState::RedisDown | PageState::RedisRefuses => FAILING_MAX_AGE,
            _ => kept_secs(meta),
        };
        let max_age = kept.min(policy.pinned_max_age.as_secs());
        (max_age, i64::try_from(max_age).unwrap_or(i64::MAX))
    }

    fn current(meta: &PageMeta) -> (u64, i64) {
        let millis = meta.freshness.ttl_ms;
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
            PageState::OriginError | PageState::RedisDown | PageState::RedisRefuses | PageState::RedisFull => {
                FAILING_MAX_AGE
            }
            PageState::Direct { .. } => 0,
        };
        (max_age, ttl)
    }
}

/// How long a pinned page's generation is kept, at least.
fn kept_secs(meta: &PageMeta) -> u64 {
    u64::try_from(meta.freshness.ttl_ms).unwrap_or(0) / 1000
}

fn value(text: String) -> HeaderValue {
    // Visible ASCII always is a value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn cache_control(max_age: u64, lifetime: &Lifetime) -> String {
    if matches!(lifetime.state, PageState::Direct { .. }) {
        return "no-store".to_owned();
    }
    let mut text = format!("max-age={max_age}");
    for (directive, seconds) in ["stale-while-revalidate", "stale-if-error"]
        .into_iter()
        .zip(lifetime.stale)
    {
        if seconds > 0 {
            let _ = write!(text, ", {directive}={seconds}");
        }
    }
    text
}

/// Members nearest the origin first, each a hit or forwarded, never both.
fn cache_status(lifetime: &Lifetime) -> String {
    let Lifetime { ttl, state, served, .. } = lifetime;
    let detail = match state {
        PageState::Fresh => "",
        PageState::Refreshing => "; detail=refreshing",
        PageState::OriginError => "; detail=origin-error",
        PageState::RedisDown => "; detail=redis-down",
        PageState::RedisRefuses => "; detail=redis-refuses",
        PageState::RedisFull => "; detail=redis-full",
        PageState::Direct { refused } => {
            let detail = if *refused { "redis-refuses" } else { "redis-down" };
            return format!(
                "listcache-redis; fwd=bypass; detail={detail}{}, listcache-l1; fwd=uri-miss",
                collapsed(served)
            );
        }
    };
    let collapsed = collapsed(served);
    if served.l1_hit {
        format!("listcache-l1; hit; ttl={ttl}{detail}")
    } else if served.filled {
        format!(
            "listcache-redis; fwd=uri-miss; stored{collapsed}; ttl={ttl}{detail}, listcache-l1; fwd=uri-miss; stored"
        )
    } else {
        format!("listcache-redis; hit; ttl={ttl}{detail}, listcache-l1; fwd=uri-miss; stored{collapsed}")
    }
}

fn collapsed(served: &Served) -> &'static str {
    if served.collapsed { "; collapsed" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::PageFreshness, http::pages::sample::meta};

    #[track_caller]
    fn check(ttl_ms: i64, state: PageState, served: Served, control: &str, status: &str) {
        let mut meta = meta(1434, 24, 24);
        meta.freshness = PageFreshness { ttl_ms, state };
        meta.served = served;
        let policy = Policy::default();
        assert_eq!(control_of(&policy, &meta), control);
        assert_eq!(cache_status(&Lifetime::of(&policy, &meta)), status);
    }

    fn control_of(policy: &Policy, meta: &PageMeta) -> String {
        let lifetime = Lifetime::of(policy, meta);
        cache_control(lifetime.max_age, &lifetime)
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
        for (state, detail) in [
            (PageState::RedisRefuses, "redis-refuses"),
            (PageState::RedisFull, "redis-full"),
        ] {
            let status = format!("listcache-l1; hit; ttl=-1; detail={detail}");
            check(-1, state, L1, &fresh(5), &status);
        }
    }

    #[test]
    fn what_comes_straight_from_the_origin_is_kept_by_nobody() {
        check(
            0,
            PageState::Direct { refused: false },
            ORIGIN,
            "no-store",
            "listcache-redis; fwd=bypass; detail=redis-down, listcache-l1; fwd=uri-miss",
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
            assert_eq!(control_of(&policy, &meta), expect);
        }
        let mut meta = meta(1434, 24, 24);
        (meta.pinned, meta.freshness.state, meta.served) = (true, PageState::RedisDown, L1);
        assert_eq!(control_of(&policy, &meta), "max-age=5");
        let status = "listcache-l1; hit; ttl=5; detail=redis-down";
        assert_eq!(cache_status(&Lifetime::of(&policy, &meta)), status);
    }

    #[test]
    fn a_cdn_that_is_purged_may_keep_fresh_pages_longer() {
        let mut policy = Policy::default();
        let said = |policy: &Policy, change: fn(&mut PageMeta)| {
            let mut meta = meta(1434, 24, 24);
            change(&mut meta);
            let headers = Lifetimes::default().of(Lifetime::of(policy, &meta));
            let said = headers.cdn_cache_control.as_ref();
            said.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(said(&policy, |_| ()), None, "off unless configured");
        policy.cdn_max_age = std::time::Duration::from_secs(600);
        let with_tail = |max_age: u64| Some(format!("max-age={max_age}{TAIL}"));
        assert_eq!(said(&policy, |_| ()), with_tail(600));
        assert_eq!(
            said(&policy, |meta| meta.freshness.state = PageState::Refreshing),
            with_tail(2)
        );
        assert_eq!(
            said(&policy, |meta| meta.freshness.state = PageState::OriginError),
            with_tail(5)
        );
        let pinned = said(&policy, |meta| (meta.pinned, meta.freshness.ttl_ms) = (true, 90_000));
        assert_eq!(pinned.as_deref(), Some("max-age=90"));
    }

    #[test]
    fn headers_are_written_once_a_lifetime() {
        let lifetimes = Lifetimes::default();
        let lifetime = |ttl_ms: i64| {
            let mut meta = meta(1434, 24, 24);
            meta.freshness.ttl_ms = ttl_ms;
            lifetimes.of(Lifetime::of(&Policy::default(), &meta))
        };
        let first = lifetime(48_900);
        assert!(Arc::ptr_eq(&first, &lifetime(48_100)));
        let next = lifetime(47_999);
        assert_eq!(next.cache_status, "listcache-l1; hit; ttl=47");
        assert_eq!(next.cache_control.to_str().unwrap(), format!("max-age=47{TAIL}"));
    }
}
