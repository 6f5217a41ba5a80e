//! How long a page may be used, and which layer it came from: `Cache-Control`, `CDN-Cache-Control` and `Cache-Status`.
//!
//! `max-age` is the lifetime that is left, without `Age`: nginx ignores `Age`, so a constant lifetime would add up from
//! cache to cache. A CDN that is purged when a listing changes needs no such care: where configured, `CDN-Cache-Control`
//! (RFC 9213) allows it more, but never of a stale page, which is about to change. `s-maxage` is never sent: beside `stale-while-revalidate` it forbids stale answers (RFC 9111, 5.2.2.10).
//!
//! Where an instant is known at which the listing changes, all lifetimes end before it, the stale ones too: see [`CACHES_IN_A_ROW`].

use std::{fmt::Write, sync::Arc};

use actix_web::http::header::HeaderValue;
use arc_swap::ArcSwapOption;

use crate::{
    engine::{PageFreshness, PageMeta, PageState, Served},
    listing::Policy,
};

/// Stale while being refreshed: with 0 every cache downstream would ask again on each request meanwhile.
const REFRESHING_MAX_AGE: u64 = 2;
/// Stale because the origin or Redis fails: nothing better comes in the next seconds.
const FAILING_MAX_AGE: u64 = 5;

/// A page may be cached by nginx, and then by a browser, to which nginx gives the lifetime anew. So each may use half of the time that is
/// left until the listing changes. A cache that sends `Age` asks earlier than it must, and no cache too late.
const CACHES_IN_A_ROW: u64 = 2;
/// nginx counts in whole seconds, and may keep a page for up to one more.
const WHOLE_SECOND: u64 = 1;

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
    /// Seconds after which no cache may use the answer, fresh or stale; more than all of these where that says nothing.
    bound: u64,
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
    /// How long a page may be used. A cache that is not `purged` in time is told what every cache is told.
    pub(crate) fn of(policy: &Policy, meta: &PageMeta, purged: bool) -> Self {
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
        let bound = bound(meta.freshness.until_ms);
        let max_age = max_age.min(bound);
        let cdn = policy.cdn_max_age.as_secs().min(bound);
        let said = policy.cdn_max_age.as_secs() > 0;
        let cdn_max_age = said.then_some(match state {
            // A pin lasts only as long as its generation, and a cache learns of a delete only by purging.
            PageState::Fresh if purged && meta.pinned => cdn.min(kept_secs(meta)),
            PageState::Fresh if purged => cdn,
            _ => max_age,
        });
        // The headers do not change with a bound beyond all that they say.
        let longest = max_age.max(cdn).saturating_add(stale[0].max(stale[1]));
        Self {
            max_age,
            cdn_max_age,
            ttl,
            stale,
            bound: bound.min(longest),
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

/// Seconds that each of several caches may use a page of a listing that changes in so many milliseconds.
///
/// It is a power of two, and stands in the entity tag: nginx goes on with the headers of a 200 after a 304. So long as the bound stays the
/// same, a cache that is asked at the end of such a life may use the page for another one.
fn bound(until_ms: i64) -> u64 {
    if until_ms == PageFreshness::NEVER {
        return u64::MAX;
    }
    let seconds = u64::try_from(until_ms).unwrap_or(0) / 1000;
    let each = seconds.saturating_sub(WHOLE_SECOND) / CACHES_IN_A_ROW;
    each.checked_ilog2().map_or(0, |power| 1 << power)
}

/// The bound of a page's lifetimes, where it is less than they may usually be.
pub(crate) fn shortened(policy: &Policy, meta: &PageMeta) -> Option<u64> {
    let bound = bound(meta.freshness.until_ms);
    if bound == u64::MAX {
        return None;
    }
    let stale = policy.stale_while_revalidate.max(policy.stale_if_error);
    let usual = policy.fresh_for.max(policy.cdn_max_age).saturating_add(stale);
    (bound < usual.as_secs()).then_some(bound)
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
        let seconds = seconds.min(lifetime.bound.saturating_sub(max_age));
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
mod tests;
