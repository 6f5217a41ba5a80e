//! Metrics: every one is a field of [`Metrics`], with its help.
//!
//! Labels take values of small closed sets, so the number of series does not grow with the number of listings; each
//! series is there from the start, at zero, so that a rate over it is right from its first event.

use std::{fmt, sync::atomic::AtomicU64};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{
    change_labels::{ByPatchOutcome, BySource, ChangeSource, PatchOutcome},
    logs::lost_lines,
    purge_labels::{ByPurgeOutcome, PurgeOutcome},
    redis_code::{ByCode, RedisCode},
};

/// Which layer served a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// This process's cache.
    L1,
    /// Redis.
    Redis,
    /// The origin, read while the request waited.
    Origin,
}

impl Layer {
    const ALL: [Self; 3] = [Self::L1, Self::Redis, Self::Origin];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::Redis => "redis",
            Self::Origin => "origin",
        }
    }
}

impl EncodeLabelValue for Layer {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// How a refresh ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefreshOutcome {
    /// New generations are current.
    Published,
    /// The origin has what is kept: the old generation lives on.
    Unchanged,
    /// The origin or Redis failed; the old generation stays.
    Failed,
    /// The items are not believable; the old generation stays.
    Refused,
    /// A later write was published first.
    Superseded,
    /// The lease had lapsed, and another reader has it.
    Fenced,
    /// The origin has no items of a name that nothing tells of.
    NoSuchName,
}

impl RefreshOutcome {
    const ALL: [Self; 7] = [
        Self::Published,
        Self::Unchanged,
        Self::Failed,
        Self::Refused,
        Self::Superseded,
        Self::Fenced,
        Self::NoSuchName,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Superseded => "superseded",
            Self::Fenced => "fenced",
            Self::NoSuchName => "no-such-name",
        }
    }
}

impl EncodeLabelValue for RefreshOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// Label of [`Metrics::pages`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByLayer {
    /// The farthest layer that was asked.
    pub layer: Layer,
}

/// Label of [`Metrics::refreshes`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOutcome {
    /// How it ended.
    pub outcome: RefreshOutcome,
}

/// Declares the metrics: a field each, with its type, the value that it begins with unless that is the default, and its help.
///
/// A name that ends in `_seconds` has that unit.
macro_rules! metrics {
    ($($name:ident: $metric:ty $(= $zero:expr)?, $help:literal;)*) => {
        /// Every metric of the service. Cheap to count with from any thread.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $name: $metric,)*
            /// The counters of [`Metrics::pages`] by [`Layer`]: every page counts.
            pages_by_layer: [Counter; Layer::ALL.len()],
            registry: Registry,
        }

        impl Metrics {
            fn registered(registry: &mut Registry) -> Self {
                $(let $name: $metric = metrics!(@zero $($zero)?);
                match stringify!($name).strip_suffix("_seconds") {
                    Some(name) => registry.register_with_unit(name, $help, Unit::Seconds, $name.clone()),
                    None => registry.register(stringify!($name), $help, $name.clone()),
                })*
                Self {
                    pages_by_layer: Default::default(),
                    $($name,)*
                    registry: Registry::default(),
                }
            }
        }
    };
    (@zero) => { Default::default() };
    (@zero $zero:expr) => { $zero };
}

const ROUND_TRIPS: [f64; 11] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
];

metrics! {
    pages: Family<ByLayer, Counter>, "Pages served, by the farthest layer asked";
    pages_stale: Counter, "Pages served stale";
    refreshes: Family<ByOutcome, Counter>, "Refreshes ended, by outcome";
    origin_reads: Counter, "Reads of an origin begun";
    nulled_values: Counter, "Values of databases that JSON has no form for, such as a zero date, and that became null";
    refresh_seconds: Histogram = Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0]), "Refresh from draw to publish";
    filter_reads: Counter, "Generations that were read to answer filters";
    filter_bytes: Gauge, "Bytes of columns and matches of filters in this process";
    oldest_stale_seconds: Gauge<f64, AtomicU64>, "Age past fresh_for of the oldest listing served stale in the last five seconds";
    changes: Family<BySource, Counter>, "Changes recorded, by where they were told";
    hooks_refused: Counter, "Webhooks without a valid signature";
    changes_waiting: Gauge, "Changes that this process, where it works them off, has not worked off";
    patches: Family<ByPatchOutcome, Counter>, "Families brought up to date after changes, by outcome";
    clock_changes: Family<ByPatchOutcome, Counter>, "Families brought up to date because an instant of next_change_query has come, by outcome";
    patch_seconds: Histogram = Histogram::new([0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0]), "From the recording of a family's first change until it was worked off";
    changed_rows_read: Counter, "Rows of changed items read from origins";
    outbox_lag_seconds: Gauge<f64, AtomicU64>, "For how long an outbox or a changelog could not be read, the worst of them; 0 while all are read";
    purge_calls: Family<ByPurgeOutcome, Counter>, "Calls of CDNs to purge pages, by outcome";
    purge_lag_seconds: Gauge<f64, AtomicU64>, "How late the oldest purge is, on the node that purges";
    cdns_unpurged: Gauge, "CDNs that are not purged in time, so that pages give no cdn_max_age";
    redis_seconds: Histogram = Histogram::new(ROUND_TRIPS), "Round trips to Redis";
    redis_errors: Counter, "Calls to Redis that failed or timed out";
    redis_up: Gauge, "1 while Redis answers";
    redis_full: Gauge, "1 while Redis refuses writes for being full";
    redis_refused: Family<ByCode, Counter>, "Commands that Redis refused although it answers, by its code";
    redis_subscribed: Gauge, "1 while this process hears announcements";
    l1_chunk_bytes: Gauge, "Bytes of chunks in L1";
    l1_fragment_bytes: Gauge, "Bytes of fragments in L1: runs of chunks, deflated";
    fragments_found: Counter, "Fragments that gzip pages found in L1";
    fragments_missed: Counter, "Fragments that gzip pages had to do without, once";
    fragments_made: Counter, "Fragments made";
    read_ahead: Counter, "Readings of chunks for a page that nobody had asked for yet";
    l1_heads: Gauge, "Heads in L1, absent ones among them";
    announcements: Counter, "Announcements applied";
    epochs: Counter, "Epochs begun after a restart, flush or rewind of Redis, or an announcement that cannot be read";
    redis_evicted: Counter, "Keys that Redis evicted while this process looked on, those of others among them";
    lost_pushed: Counter, "Pushed listings lost from Redis, their only place";
    direct_pages: Counter, "Pages straight from the origin, as Redis did not answer";
    l1_checked: Counter, "Heads read from Redis to compare those of L1 with, four a second and again where they differ";
    l1_inconsistent: Counter, "Sampled heads that L1 would have served though Redis had had a later one for a while";
    announcement_seconds: Histogram = Histogram::new(ROUND_TRIPS), "From the writing of an announcement until it was applied here";
    shed: Counter, "Requests answered 503 because of a limit";
    followers: Gauge, "Clients with a live subscription";
    config_last_reload_successful: Gauge, "1 unless the configuration was read again and was bad";
    server_errors: Counter, "Answers with a 5xx status";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("listcache");
        let mut metrics = Self::registered(&mut registry);
        metrics.pages_by_layer = Layer::ALL.map(|layer| metrics.pages.get_or_create(&ByLayer { layer }).clone());
        for outcome in RefreshOutcome::ALL {
            drop(metrics.refreshes.get_or_create(&ByOutcome { outcome }));
        }
        for source in ChangeSource::ALL {
            drop(metrics.changes.get_or_create(&BySource { source }));
        }
        for outcome in PurgeOutcome::ALL {
            drop(metrics.purge_calls.get_or_create(&ByPurgeOutcome { outcome }));
        }
        for outcome in PatchOutcome::ALL {
            drop(metrics.patches.get_or_create(&ByPatchOutcome { outcome }));
            drop(metrics.clock_changes.get_or_create(&ByPatchOutcome { outcome }));
        }
        for code in RedisCode::ALL {
            drop(metrics.redis_refused.get_or_create(&ByCode { code: *code }));
        }
        metrics.config_last_reload_successful.set(1);
        registry.register(
            "log_lines_lost",
            "Log lines not written, by why: too many of a kind (rate), a slow reader (backlog), a failed write (write)",
            lost_lines().metric(),
        );
        metrics.registry = registry;
        metrics
    }

    /// The counter of [`Metrics::pages`] for a layer, without a look into the family.
    pub fn pages_from(&self, layer: Layer) -> &Counter {
        // The discriminants are the positions in `Layer::ALL`.
        &self.pages_by_layer[layer as usize]
    }

    /// The Prometheus text of all metrics (OpenMetrics 1.0).
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every metric's name, as it is encoded without its suffix.
    const NAMES: [(&str, &str); 46] = [
        ("listcache_changes", "counter"),
        ("listcache_changes_waiting", "gauge"),
        ("listcache_patches", "counter"),
        ("listcache_clock_changes", "counter"),
        ("listcache_patch_seconds", "histogram"),
        ("listcache_changed_rows_read", "counter"),
        ("listcache_outbox_lag_seconds", "gauge"),
        ("listcache_pages", "counter"),
        ("listcache_pages_stale", "counter"),
        ("listcache_refreshes", "counter"),
        ("listcache_origin_reads", "counter"),
        ("listcache_nulled_values", "counter"),
        ("listcache_refresh_seconds", "histogram"),
        ("listcache_filter_reads", "counter"),
        ("listcache_filter_bytes", "gauge"),
        ("listcache_oldest_stale_seconds", "gauge"),
        ("listcache_hooks_refused", "counter"),
        ("listcache_purge_calls", "counter"),
        ("listcache_purge_lag_seconds", "gauge"),
        ("listcache_cdns_unpurged", "gauge"),
        ("listcache_redis_seconds", "histogram"),
        ("listcache_redis_errors", "counter"),
        ("listcache_redis_up", "gauge"),
        ("listcache_redis_full", "gauge"),
        ("listcache_redis_refused", "counter"),
        ("listcache_redis_subscribed", "gauge"),
        ("listcache_l1_chunk_bytes", "gauge"),
        ("listcache_l1_fragment_bytes", "gauge"),
        ("listcache_fragments_found", "counter"),
        ("listcache_fragments_missed", "counter"),
        ("listcache_fragments_made", "counter"),
        ("listcache_read_ahead", "counter"),
        ("listcache_l1_heads", "gauge"),
        ("listcache_announcements", "counter"),
        ("listcache_epochs", "counter"),
        ("listcache_redis_evicted", "counter"),
        ("listcache_lost_pushed", "counter"),
        ("listcache_direct_pages", "counter"),
        ("listcache_l1_checked", "counter"),
        ("listcache_l1_inconsistent", "counter"),
        ("listcache_announcement_seconds", "histogram"),
        ("listcache_shed", "counter"),
        ("listcache_followers", "gauge"),
        ("listcache_config_last_reload_successful", "gauge"),
        ("listcache_server_errors", "counter"),
        ("listcache_log_lines_lost", "counter"),
    ];

    #[test]
    fn every_metric_has_help_a_type_and_a_series_from_the_start() {
        let text = Metrics::new().encode();
        for (name, kind) in NAMES {
            let help = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("# HELP {name} ")));
            assert!(
                help.is_some_and(|help| help.len() > 10),
                "{name} has no help in\n{text}"
            );
            assert!(
                text.contains(&format!("# TYPE {name} {kind}\n")),
                "{name} is no {kind} in\n{text}"
            );
            let suffix = match kind {
                "counter" => "_total",
                "histogram" => "_count",
                _ => "",
            };
            let series = format!("{name}{suffix}");
            let is_there = text.lines().any(|line| {
                line.strip_prefix(&series)
                    .is_some_and(|rest| rest.starts_with([' ', '{']))
            });
            assert!(is_there, "{series} has no series in\n{text}");
        }
        assert_eq!(text.matches("# TYPE ").count(), NAMES.len(), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_is_counted_is_encoded() {
        let metrics = Metrics::new();
        metrics.pages_from(Layer::L1).inc_by(3);
        metrics.pages_from(Layer::Redis).inc();
        metrics.refresh_seconds.observe(0.02);
        metrics.redis_up.set(1);
        let text = metrics.encode();
        for line in [
            "listcache_pages_total{layer=\"l1\"} 3",
            "listcache_pages_total{layer=\"redis\"} 1",
            "listcache_pages_total{layer=\"origin\"} 0",
            "listcache_refreshes_total{outcome=\"published\"} 0",
            "listcache_refresh_seconds_count 1",
            "listcache_redis_up 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
        }
    }
}
