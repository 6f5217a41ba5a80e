//! `[defaults]`, and the same keys in a listing: lives and limits.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use crate::{
    config::{section::Section, values::write_duration},
    listing::Policy,
};

/// How much longer than the longest use of a page its generation must be kept, once it is replaced: a shopper reads.
const PIN_MARGIN: Duration = Duration::from_secs(60);
/// The longest life.
const LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// The longest that a refresh which was asked for is put off.
const COALESCE_FOR_MAX: Duration = Duration::from_secs(3600);
/// The most that may be allowed for the replaced generations of one listing.
const PINNED_BYTES_MAX: u64 = 1 << 40;
const SECOND: Duration = Duration::from_secs(1);
/// Tags of one listing, and their bytes: proxies take 4 KB of headers, and a long name needs most of them.
const SURROGATE_KEYS_MAX: usize = 16;
const SURROGATE_KEY_BYTES_MAX: usize = 64;
const SURROGATE_KEYS_BYTES_MAX: usize = 512;

/// The defaults, and whether nothing is wrong with them.
pub(super) fn check_defaults(mut section: Section<'_>) -> (Policy, bool) {
    let policy = read(&mut section, &Policy::default());
    let clean = section.is_clean();
    section.finish();
    (policy, clean)
}

/// Reads the keys of a policy; an absent key is as in `base`.
pub(super) fn read(section: &mut Section<'_>, base: &Policy) -> Policy {
    // Values from the defaults were checked there.
    let says = |keys: &[&str]| keys.iter().any(|key| section.holds(key));
    let says_keep = says(&["fresh_for", "keep_for"]);
    let says_coalesce = says(&["fresh_for", "coalesce_for"]);
    let says_pin = says(&["fresh_for", "stale_while_revalidate", "pin_for", "cdn_max_age"]);

    section.ignored(
        "pinned_generations_max",
        "replaced generations are bounded by pinned_bytes_max",
    );
    let chunk_len = section.integer("chunk_len", 1..=1000, u64::from(base.chunk_len.get()));
    let policy = Policy {
        chunk_len: u32::try_from(chunk_len)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(base.chunk_len),
        fresh_for: section.duration("fresh_for", SECOND..=LIFE_MAX, base.fresh_for),
        keep_for: section.duration("keep_for", SECOND..=LIFE_MAX, base.keep_for),
        refresh_ahead: section.number("refresh_ahead", 0.1..=1.0, base.refresh_ahead),
        coalesce_for: section.duration("coalesce_for", Duration::ZERO..=COALESCE_FOR_MAX, base.coalesce_for),
        pin_for: section.duration("pin_for", SECOND..=LIFE_MAX, base.pin_for),
        compress: compress(section, base),
        pinned_bytes_max: section.size("pinned_bytes_max", 0..=PINNED_BYTES_MAX, base.pinned_bytes_max),
        pinned_max_age: section.duration("pinned_max_age", Duration::ZERO..=LIFE_MAX, base.pinned_max_age),
        cdn_max_age: section.duration("cdn_max_age", Duration::ZERO..=LIFE_MAX, base.cdn_max_age),
        surrogate_keys: surrogate_keys(section, base),
        stale_while_revalidate: section.duration(
            "stale_while_revalidate",
            Duration::ZERO..=LIFE_MAX,
            base.stale_while_revalidate,
        ),
        stale_if_error: section.duration("stale_if_error", Duration::ZERO..=LIFE_MAX, base.stale_if_error),
        max_items: section.integer("max_items", 1..=100_000_000, base.max_items),
        max_shrink: section.number("max_shrink", 0.0..=1.0, base.max_shrink),
        max_shrink_from: section.integer("max_shrink_from", 0..=100_000_000, base.max_shrink_from),
        min_items: section.integer("min_items", 0..=100_000_000, base.min_items),
        version_trust: u32::try_from(section.integer("version_trust", 1..=1000, base.version_trust.into()))
            .unwrap_or(base.version_trust),
        redis_down_direct: redis_down(section, base),
        idle_stop: section.duration("idle_stop", SECOND..=LIFE_MAX, base.idle_stop),
        keep_warm: section.boolean("keep_warm", base.keep_warm),
        definition_version: u32::try_from(section.integer(
            "definition_version",
            0..=u64::from(u32::MAX),
            base.definition_version.into(),
        ))
        .unwrap_or(base.definition_version),
        fill_wait: section.optional_duration("fill_wait", Duration::ZERO..=Duration::from_secs(60), base.fill_wait),
        origin_timeout: section.optional_duration(
            "origin_timeout",
            Duration::from_millis(100)..=Duration::from_secs(3600),
            base.origin_timeout,
        ),
        sort_in_memory_max: section.integer("sort_in_memory_max", 0..=10_000_000, base.sort_in_memory_max),
        filter_values_max: count(section, "filter_values_max", 1..=1000, base.filter_values_max),
        facet_values_max: count(section, "facet_values_max", 1..=10_000, base.facet_values_max),
    };
    if section.is_clean() {
        if says_keep {
            check_keep(section, "keep_for", "fresh_for", &policy);
        }
        if says_coalesce && policy.coalesce_for > policy.fresh_for {
            section.error(
                "coalesce_for",
                format!(
                    "{} is longer than fresh_for ({})",
                    write_duration(policy.coalesce_for),
                    write_duration(policy.fresh_for)
                ),
            );
        }
        if says_pin {
            check_pin(section, "pin_for", "fresh_for", &policy);
        }
    }
    policy
}

fn count(section: &mut Section<'_>, key: &'static str, bounds: std::ops::RangeInclusive<u64>, base: u32) -> u32 {
    u32::try_from(section.integer(key, bounds, base.into())).unwrap_or(base)
}

/// `compress`: whether chunks are packed in Redis.
fn compress(section: &mut Section<'_>, base: &Policy) -> bool {
    match section.text("compress").as_deref() {
        None => base.compress,
        Some("auto") => true,
        Some("off") => false,
        Some(other) => {
            section.error("compress", format!("expected \"auto\" or \"off\", found `{other}`"));
            base.compress
        }
    }
}

/// `redis_down`: the behaviour without Redis.
fn redis_down(section: &mut Section<'_>, base: &Policy) -> bool {
    let path = section.path_of("redis_down");
    let mut table = Section::new(section.report, path, section.take("redis_down"));
    let direct = table.boolean("direct", base.redis_down_direct);
    table.finish();
    direct
}

/// Tags for purging, joined as the header has them.
fn surrogate_keys(section: &mut Section<'_>, base: &Policy) -> Arc<str> {
    let Some(keys) = section.texts("surrogate_keys") else {
        return base.surrogate_keys.clone();
    };
    if keys.len() > SURROGATE_KEYS_MAX {
        section.error("surrogate_keys", format!("at most {SURROGATE_KEYS_MAX} tags"));
    }
    let is_tag = |key: &str| {
        (1..=SURROGATE_KEY_BYTES_MAX).contains(&key.len())
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:@/".contains(&byte))
    };
    for (path, key) in keys.iter().filter(|(_, key)| !is_tag(key)) {
        let rule = format!("a tag is 1 to {SURROGATE_KEY_BYTES_MAX} of A-Z a-z 0-9 - . _ ~ : @ /, found `{key}`");
        section.report.error(path, rule);
    }
    let keys: Vec<String> = keys.into_iter().map(|(_, key)| key).collect();
    let joined = keys.join(" ");
    if joined.len() > SURROGATE_KEYS_BYTES_MAX {
        section.error(
            "surrogate_keys",
            format!("at most {SURROGATE_KEYS_BYTES_MAX} bytes in all"),
        );
    }
    joined.into()
}

/// A listing that is fresh must be kept.
pub(super) fn check_keep(section: &Section<'_>, key: &str, fresh: &str, policy: &Policy) {
    if policy.keep_for < policy.fresh_for {
        section.error(
            key,
            format!(
                "{} is shorter than {fresh} ({})",
                write_duration(policy.keep_for),
                write_duration(policy.fresh_for)
            ),
        );
    }
}

/// Caches may use a page, and its pinned links, so long after the generation was replaced; then a shopper follows them.
pub(super) fn check_pin(section: &Section<'_>, key: &str, fresh: &str, policy: &Policy) {
    let (fresh, fresh_for) = if policy.cdn_max_age > policy.fresh_for {
        ("cdn_max_age", policy.cdn_max_age)
    } else {
        (fresh, policy.fresh_for)
    };
    let least = fresh_for + policy.stale_while_revalidate + PIN_MARGIN;
    if policy.pin_for < least {
        section.error(
            key,
            format!(
                "pin_for is {}, but must be at least {fresh} ({}) + stale_while_revalidate ({}) + 60s = {}: so long may caches hold links to a replaced generation",
                write_duration(policy.pin_for),
                write_duration(fresh_for),
                write_duration(policy.stale_while_revalidate),
                write_duration(least)
            ),
        );
    }
}
