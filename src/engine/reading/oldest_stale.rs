//! The greatest staleness of a page that was served lately, for the metrics.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The greatest staleness served since it was last taken.
#[derive(Default)]
pub(crate) struct OldestStale {
    millis: AtomicU64,
}

impl OldestStale {
    /// A page was served so long past `fresh_for`.
    pub(crate) fn saw(&self, stale_for: Duration) {
        let millis = u64::try_from(stale_for.as_millis()).unwrap_or(u64::MAX);
        self.millis.fetch_max(millis, Ordering::Relaxed);
    }

    /// Takes it, and begins anew.
    pub(crate) fn take(&self) -> Duration {
        Duration::from_millis(self.millis.swap(0, Ordering::Relaxed))
    }
}
