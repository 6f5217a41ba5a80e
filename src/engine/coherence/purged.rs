//! Whether CDNs may be told to keep pages long: only while each of them is purged in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{engine::error::Chain, store::Store, telemetry::Metrics};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Purges that are later than this are as good as none.
const LAG_MAX: Duration = Duration::from_secs(10);
/// Without an answer of Redis for so long nothing is known.
const UNKNOWN_AFTER: Duration = Duration::from_secs(3);

/// A CDN that is not purged in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpurged {
    /// Its name.
    pub cdn: Box<str>,
    /// How late its oldest purge is; `None` where no node purges it.
    pub lag: Option<Duration>,
}

/// How purging goes, as this process knows it.
#[derive(Debug)]
pub(crate) struct Purged {
    cdns: Vec<Box<str>>,
    in_time: AtomicBool,
    unpurged: Mutex<Vec<Unpurged>>,
}

impl Purged {
    /// Nothing is known yet. Without a CDN somebody else purges, or nothing need be.
    pub(crate) fn new(cdns: Vec<Box<str>>) -> Self {
        Self {
            in_time: AtomicBool::new(cdns.is_empty()),
            cdns,
            unpurged: Mutex::default(),
        }
    }

    /// Whether a CDN may keep a page for `cdn_max_age`.
    pub(crate) fn in_time(&self) -> bool {
        self.in_time.load(Ordering::Relaxed)
    }

    /// The CDNs that are not purged in time.
    pub(crate) fn unpurged(&self) -> Vec<Unpurged> {
        self.unpurged.lock().clone()
    }

    fn set(&self, unpurged: Vec<Unpurged>) -> bool {
        let in_time = unpurged.is_empty();
        *self.unpurged.lock() = unpurged;
        self.in_time.swap(in_time, Ordering::Relaxed) != in_time
    }
}

/// Asks Redis every second.
pub(crate) struct WatchPurges {
    pub store: Store,
    pub purged: Arc<Purged>,
    pub metrics: Arc<Metrics>,
}

impl WatchPurges {
    /// Runs until the engine stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let cdns = self.purged.cdns.clone();
        if cdns.is_empty() {
            return;
        }
        let logs = self.store.logs();
        let mut known = Instant::now();
        loop {
            let lags = match logs.lags(&cdns).await {
                Ok(lags) => {
                    known = Instant::now();
                    Some(lags)
                }
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "how late purges are is not known");
                    (known.elapsed() >= UNKNOWN_AFTER).then(|| vec![None; cdns.len()])
                }
            };
            if let Some(lags) = lags {
                self.judge(&cdns, &lags);
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    fn judge(&self, cdns: &[Box<str>], lags: &[Option<Duration>]) {
        let late = cdns
            .iter()
            .zip(lags)
            .filter(|(_, lag)| lag.is_none_or(|lag| lag > LAG_MAX));
        let unpurged: Vec<_> = late
            .map(|(cdn, lag)| Unpurged {
                cdn: cdn.clone(),
                lag: *lag,
            })
            .collect();
        self.metrics
            .cdns_unpurged
            .set(i64::try_from(unpurged.len()).unwrap_or(i64::MAX));
        let names: Vec<&str> = unpurged.iter().map(|unpurged| &*unpurged.cdn).collect();
        let names = names.join(", ");
        let in_time = unpurged.is_empty();
        if !self.purged.set(unpurged) {
            return;
        }
        match in_time {
            true => tracing::info!("CDNs are purged in time: they may keep pages for cdn_max_age"),
            false => tracing::warn!(
                cdns = names,
                "not purged in time: pages give no cdn_max_age until they are; `/health/ready` has the lag"
            ),
        }
    }
}
