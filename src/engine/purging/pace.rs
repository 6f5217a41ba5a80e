//! How often a CDN may be called: a token bucket. Times are given.

use std::time::{Duration, Instant};

use crate::config::CdnPace;

/// The calls that are left.
#[derive(Debug)]
pub(crate) struct Pace {
    given: CdnPace,
    left: f64,
    at: Instant,
}

impl Pace {
    /// All of them are left.
    pub(crate) fn new(given: CdnPace, now: Instant) -> Self {
        Self {
            given,
            left: f64::from(given.burst),
            at: now,
        }
    }

    /// The time until so many calls are made.
    pub(crate) fn time_for(&self, calls: usize, now: Instant) -> Duration {
        let missing = calls as f64 - self.left_at(now);
        Duration::try_from_secs_f64(missing.max(0.0) / self.given.calls_per_second).unwrap_or(Duration::MAX)
    }

    /// Counts a call.
    pub(crate) fn count(&mut self, now: Instant) {
        self.left = self.left_at(now) - 1.0;
        self.at = now;
    }

    fn left_at(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * self.given.calls_per_second).min(f64::from(self.given.burst))
    }
}
