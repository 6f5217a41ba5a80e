//! Evictions: Redis says how many keys it has evicted, and this node counts and logs them.
//!
//! Evicted keys need not be ours, and ours need not be of pushed listings. But an evicted pushed listing may leave no trace.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{engine::error::Chain, store::Store, telemetry::Metrics};

/// Between two looks at how much Redis has evicted.
const PERIOD: Duration = Duration::from_secs(2);

/// Counts evictions.
pub(crate) struct Evictions {
    pub store: Store,
    pub metrics: Arc<Metrics>,
}

impl Evictions {
    /// Runs until the engine stops, or at once to its end where Redis does not tell.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let mut before = None;
        loop {
            match self.store.evicted_keys().await {
                Ok(Some(evicted)) => {
                    // A server that was restarted counts from zero.
                    let more = before.map_or(0, |before| evicted.saturating_sub(before));
                    before = Some(evicted);
                    if more > 0 {
                        self.metrics.redis_evicted.inc_by(more);
                        tracing::warn!(
                            keys = more,
                            "redis evicts keys: pushed listings may be among them, and lost"
                        );
                    }
                }
                Ok(None) => return,
                Err(error) => tracing::debug!(error = %Chain(&error), "evictions could not be counted"),
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stopping.cancelled() => return,
            }
        }
    }
}
