//! How long things live: the durations and limits a definition sets, and what follows from them at a given time.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

/// The most by which a node's estimate of Redis's clock is wrong. The scripts that compare times use the same.
const CLOCK_ERROR_MAX: Duration = Duration::from_secs(5);
/// A due time is never set further ahead than this, or than the listing's own period: the longest back-off, and some more.
const DUE_WITHIN_MIN: Duration = Duration::from_secs(75);

/// Milliseconds since the Unix epoch by Redis's clock: no node's own clock matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long ago `earlier` was; zero where it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whether this lies further ahead of `now` than the error of an estimate: then Redis's clock was set back since, and this
    /// says nothing of how long ago something was.
    pub fn is_ahead_of(self, now: Self) -> bool {
        self.since(now) > CLOCK_ERROR_MAX
    }

    /// The time `duration` later.
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// In UTC: `2026-11-21T22:53:00.123Z`.
    pub fn rfc3339(self) -> String {
        let (days, millis) = (self.0 / 86_400_000, self.0 % 86_400_000);
        // Days are counted from 1 March 0000, so that a leap day ends its year; an era has 400 years.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let seconds = millis / 1000;
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            millis % 1000
        )
    }
}

/// The most of its period after which a refresh is due.
const NEXT_DUE_MOST: f64 = 1.1;

/// The lives and bounds of a listing, from its definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Items a chunk.
    pub chunk_len: NonZeroU32,
    /// Younger than this is fresh.
    pub fresh_for: Duration,
    /// Younger than this is served, stale while it is being refreshed.
    pub keep_for: Duration,
    /// The part of `fresh_for` after which a refresh is due: a listing that is read is then rarely stale.
    pub refresh_ahead: f64,
    /// Refreshes that are asked for without waiting are begun at most once in so long; zero: as they come.
    pub coalesce_for: Duration,
    /// How long a replaced generation can still be asked for.
    pub pin_for: Duration,
    /// Whether chunks are packed in Redis.
    pub compress: bool,
    /// How many bytes the replaced generations of a listing may take up in Redis.
    pub pinned_bytes_max: u64,
    /// The most that `max-age` says of a pinned page.
    pub pinned_max_age: Duration,
    /// The most that a shared cache which is purged may use a page, as `CDN-Cache-Control` (RFC 9213) says it; zero: nothing is
    /// said to it, and it goes by `Cache-Control`.
    pub cdn_max_age: Duration,
    /// Tags that pages carry in `Surrogate-Key` besides their listing's own, with spaces between them.
    pub surrogate_keys: Arc<str>,
    /// RFC 5861, section 3.
    pub stale_while_revalidate: Duration,
    /// RFC 5861, section 4.
    pub stale_if_error: Duration,
    /// A refresh that reads more items fails.
    pub max_items: u64,
    /// A refresh that loses more than this part of the items is refused; 1 allows everything. See [`Policy::believes`].
    pub max_shrink: f64,
    /// From so many items on `max_shrink` counts.
    pub max_shrink_from: u64,
    /// A refresh that shrinks a listing below so many items is refused.
    pub min_items: u64,
    /// The items are read at least once in so many periods of `fresh_for`, whatever the origin says of their version.
    pub version_trust: u32,
    /// Whether the first page comes straight from the origin when Redis does not answer and L1 lacks the page.
    pub redis_down_direct: bool,
    /// A listing without a read for this time is no longer refreshed.
    pub idle_stop: Duration,
    /// Filled before it is asked for, and refreshed whether it is read or not.
    pub keep_warm: bool,
    /// Which edition of the definition this is. A node with an older one serves what a newer one has made, and leaves it as
    /// it is: two releases side by side do not undo each other's work.
    pub definition_version: u32,
    /// How long a request waits for a listing that is not there yet; a later result is kept all the same. `None`: as the
    /// service's other requests do.
    pub fill_wait: Option<Duration>,
    /// How long a read of the origin may take. `None`: as long as the origin's own time-out says.
    pub origin_timeout: Option<Duration>,
    /// Families of at most so many items are read once and sorted in the process for all their sorts.
    pub sort_in_memory_max: u64,
    /// Values of filters that may be asked for at once.
    pub filter_values_max: u32,
    /// Values that are counted of a filter.
    pub facet_values_max: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            chunk_len: const { NonZeroU32::new(12).unwrap() },
            fresh_for: Duration::from_secs(60),
            keep_for: Duration::from_secs(3600),
            refresh_ahead: 0.9,
            coalesce_for: Duration::ZERO,
            pin_for: Duration::from_secs(600),
            compress: true,
            pinned_bytes_max: 64 << 20,
            pinned_max_age: Duration::from_secs(60),
            cdn_max_age: Duration::ZERO,
            surrogate_keys: Arc::from(""),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(3600),
            max_items: 1_000_000,
            max_shrink: 0.5,
            max_shrink_from: 50,
            min_items: 0,
            version_trust: 10,
            redis_down_direct: false,
            idle_stop: Duration::from_secs(24 * 3600),
            keep_warm: false,
            definition_version: 0,
            fill_wait: None,
            origin_timeout: None,
            sort_in_memory_max: 50_000,
            filter_values_max: 50,
            facet_values_max: 100,
        }
    }
}

/// How a generation stands at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// For so long still.
    Fresh(Duration),
    /// Since so long; served while it is being refreshed.
    Stale(Duration),
    /// Past `keep_for`: not served any more.
    Expired,
}

impl Policy {
    /// How items read at `as_of` stand at `now`. Those that seem to be read in the future are stale: how old they are, only another
    /// read can tell.
    pub fn freshness(&self, as_of: Timestamp, now: Timestamp) -> Freshness {
        if as_of.is_ahead_of(now) {
            return Freshness::Stale(Duration::ZERO);
        }
        let age = now.since(as_of);
        if age < self.fresh_for {
            Freshness::Fresh(self.fresh_for - age)
        } else if age < self.keep_for {
            Freshness::Stale(age - self.fresh_for)
        } else {
            Freshness::Expired
        }
    }

    /// Whether a listing that is fresh for so long still is to be refreshed already. `spread`, from 0 to 1, keeps listings
    /// apart that were read at the same time: one is early at `refresh_ahead`, another at the end of `fresh_for`.
    pub fn is_early(&self, left: Duration, spread: f64) -> bool {
        let part = self.refresh_ahead + (1.0 - self.refresh_ahead) * spread;
        self.fresh_for.saturating_sub(left) >= self.fresh_for.mul_f64(part.clamp(0.0, 1.0))
    }

    /// Whether an origin that says nothing changed is believed, where the items were read so long ago. The next refresh comes
    /// within `fresh_for`, and must not be too late.
    pub fn trusts_version(&self, read_ago: Duration) -> bool {
        read_ago < self.fresh_for.saturating_mul(self.version_trust.saturating_sub(1))
    }

    /// How long after a refresh the next one is due. `spread`, from 0 to 1, is chance. The `first` time it is anywhere in
    /// the period, so that what was loaded together does not stay together; then 10 % either way keeps it so.
    pub fn next_due(&self, first: bool, spread: f64) -> Duration {
        let part = if first {
            spread
        } else {
            0.9 + (NEXT_DUE_MOST - 0.9) * spread
        };
        self.fresh_for.mul_f64(self.refresh_ahead * part)
    }

    /// The furthest that a due time may lie ahead, with the error of the clock. One that lies further off was set before Redis's clock
    /// was set back, or before the period was made shorter: the listing is due.
    pub fn due_within(&self) -> Duration {
        let longest = self.fresh_for.mul_f64(self.refresh_ahead * NEXT_DUE_MOST);
        longest.max(DUE_WITHIN_MIN) + CLOCK_ERROR_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(as_of: u64, now: u64, expect: Freshness) {
        let policy = Policy::default();
        assert_eq!(policy.freshness(Timestamp(as_of), Timestamp(now)), expect);
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (1_795_291_200_123, "2026-11-21T20:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp(millis).rfc3339(), text);
        }
    }

    #[test]
    fn age_decides_between_fresh_stale_and_expired() {
        check(1000, 1000, Freshness::Fresh(Duration::from_secs(60)));
        check(1000, 60_999, Freshness::Fresh(Duration::from_millis(1)));
        check(1000, 61_000, Freshness::Stale(Duration::ZERO));
        check(1000, 3_601_000, Freshness::Expired);
        // A head drawn a moment ahead of our estimate of Redis's clock is fresh, not an underflow.
        check(2000, 1000, Freshness::Fresh(Duration::from_secs(60)));
        check(6000, 1000, Freshness::Fresh(Duration::from_secs(60)));
        // Further ahead: the clock was set back since.
        check(6001, 1000, Freshness::Stale(Duration::ZERO));
        check(3_600_000, 1000, Freshness::Stale(Duration::ZERO));
    }

    #[test]
    fn no_due_time_lies_further_off_than_the_period() {
        let seconds = Duration::from_secs;
        for fresh_for in [1, 60, 120, 86_400].map(seconds) {
            let policy = Policy {
                fresh_for,
                refresh_ahead: 1.0,
                ..Policy::default()
            };
            assert!(policy.next_due(false, 1.0) < policy.due_within());
            assert!(policy.due_within() <= fresh_for.mul_f64(1.1).max(seconds(75)) + seconds(5));
        }
    }

    #[test]
    fn the_last_part_of_a_life_is_early_for_some_and_not_for_others() {
        let policy = Policy::default();
        let seconds = Duration::from_secs;
        assert!(!policy.is_early(seconds(7), 0.0));
        assert!(policy.is_early(seconds(6), 0.0));
        assert!(!policy.is_early(seconds(4), 0.5));
        assert!(policy.is_early(seconds(3), 0.5));
        assert!(!policy.is_early(seconds(1), 1.0));
    }

    #[test]
    fn a_version_is_trusted_for_some_periods_only() {
        let policy = Policy::default();
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        assert!(policy.trusts_version(minutes(8)) && !policy.trusts_version(minutes(9)));
        let never = Policy {
            version_trust: 1,
            ..policy
        };
        assert!(!never.trusts_version(Duration::ZERO));
    }

    #[test]
    fn what_was_loaded_together_is_due_apart_and_before_it_is_stale() {
        let policy = Policy::default();
        assert_eq!(policy.next_due(true, 0.0), Duration::ZERO);
        assert_eq!(policy.next_due(true, 1.0), Duration::from_secs(54));
        assert_eq!(policy.next_due(false, 0.5), Duration::from_secs(54));
        assert!(policy.next_due(false, 1.0) < policy.fresh_for);
    }
}
