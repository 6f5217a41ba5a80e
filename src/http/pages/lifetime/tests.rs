use super::*;
use crate::http::pages::sample::meta;

#[track_caller]
fn check(ttl_ms: i64, state: PageState, served: Served, control: &str, status: &str) {
    let mut meta = meta(1434, 24, 24);
    (meta.freshness.ttl_ms, meta.freshness.state) = (ttl_ms, state);
    meta.served = served;
    let policy = Policy::default();
    assert_eq!(control_of(&policy, &meta), control);
    assert_eq!(cache_status(&Lifetime::of(&policy, &meta, true)), status);
}

fn control_of(policy: &Policy, meta: &PageMeta) -> String {
    let lifetime = Lifetime::of(policy, meta, true);
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
    assert_eq!(cache_status(&Lifetime::of(&policy, &meta, true)), status);
}

#[test]
fn a_cdn_that_is_purged_may_keep_fresh_pages_longer() {
    let mut policy = Policy::default();
    let said = |policy: &Policy, change: fn(&mut PageMeta)| {
        let mut meta = meta(1434, 24, 24);
        change(&mut meta);
        let headers = Lifetimes::default().of(Lifetime::of(policy, &meta, true));
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
        lifetimes.of(Lifetime::of(&Policy::default(), &meta, true))
    };
    let first = lifetime(48_900);
    assert!(Arc::ptr_eq(&first, &lifetime(48_100)));
    let next = lifetime(47_999);
    assert_eq!(next.cache_status, "listcache-l1; hit; ttl=47");
    assert_eq!(next.cache_control.to_str().unwrap(), format!("max-age=47{TAIL}"));
}

#[track_caller]
fn check_until(until_ms: i64, control: &str, cdn: &str) {
    let mut meta = meta(1434, 24, 24);
    (meta.freshness.ttl_ms, meta.freshness.until_ms) = (48_900, until_ms);
    let policy = Policy {
        cdn_max_age: std::time::Duration::from_secs(600),
        ..Policy::default()
    };
    let headers = Lifetimes::default().of(Lifetime::of(&policy, &meta, true));
    assert_eq!(headers.cache_control.to_str().unwrap(), control);
    assert_eq!(headers.cdn_cache_control.as_ref().unwrap().to_str().unwrap(), cdn);
}

#[test]
fn no_lifetime_goes_beyond_an_instant() {
    check_until(
        100_000_000,
        "max-age=48, stale-while-revalidate=30, stale-if-error=3600",
        "max-age=600, stale-while-revalidate=30, stale-if-error=3600",
    );
    check_until(
        2_000_000,
        "max-age=48, stale-while-revalidate=30, stale-if-error=464",
        "max-age=512",
    );
    check_until(
        150_000,
        "max-age=48, stale-while-revalidate=16, stale-if-error=16",
        "max-age=64",
    );
    check_until(90_999, "max-age=32", "max-age=32");
    check_until(3000, "max-age=1", "max-age=1");
    for until_ms in [2999, 1, 0, -5000] {
        check_until(until_ms, "max-age=0", "max-age=0");
    }
}

#[test]
fn after_an_instant_a_page_may_be_used_by_no_cache_whatever_its_state() {
    for state in [
        PageState::Fresh,
        PageState::Refreshing,
        PageState::OriginError,
        PageState::RedisDown,
        PageState::RedisFull,
    ] {
        let mut meta = meta(1434, 24, 24);
        meta.freshness = PageFreshness {
            ttl_ms: -1,
            state,
            until_ms: 0,
        };
        assert_eq!(control_of(&Policy::default(), &meta), "max-age=0");
    }
}

/// The directives that a page has, in seconds: fresh, and stale at most.
fn told(until_ms: i64) -> (i64, i64) {
    let mut meta = meta(1434, 24, 24);
    (meta.freshness.ttl_ms, meta.freshness.until_ms) = (60_000, until_ms);
    let control = control_of(&Policy::default(), &meta);
    let seconds = |name: &str| {
        let parts = control.split(", ").filter_map(|part| part.strip_prefix(name));
        parts.map(|part| part.parse::<i64>().unwrap()).sum::<i64>()
    };
    let stale = seconds("stale-while-revalidate=").max(seconds("stale-if-error="));
    (seconds("max-age="), stale)
}

#[test]
fn two_caches_in_a_row_end_before_the_instant() {
    // The second one is asked at the last moment of the first one's life, and its own begins anew. nginx counts in whole seconds.
    for until_ms in (0..7_300_000).step_by(777) {
        let (fresh, stale) = told(until_ms);
        let each = fresh + stale;
        assert!(each == 0 || 1000 * (2 * each + 1) <= until_ms, "{until_ms}: {each}");
    }
}

#[test]
fn headers_that_outlive_a_304_end_before_the_instant_too() {
    let tag = |until_ms: i64| {
        let mut meta = meta(1434, 24, 24);
        meta.freshness.until_ms = until_ms;
        shortened(&Policy::default(), &meta)
    };
    assert_eq!(tag(PageFreshness::NEVER), None);
    assert_eq!((tag(100_000_000), tag(2_000_000), tag(0)), (None, Some(512), Some(0)));
    for until_ms in (0..7_000_000).step_by(777) {
        // Until when a cache that holds this page by now is told that it has the page still.
        let mut last = until_ms;
        while last > 0 && tag(last - 500) == tag(until_ms) {
            last -= 500;
        }
        // It goes on with the headers that it has, for one life, and passes them on.
        let (fresh, stale) = told(until_ms);
        let left = last - 1000 * (fresh + 1);
        assert!(
            fresh == 0 || 1000 * (fresh + stale) <= left + 500,
            "{until_ms}: {fresh} {stale}"
        );
    }
}
