//! The bounds on the engine's work.

use std::time::Duration;

/// Bounds on the engine's work.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// How long a request waits for a listing that is not there yet.
    pub fill_wait: Duration,
    /// Live subscriptions at once; more are refused.
    pub followers_max: usize,
    /// Refreshes that read an origin at once, instead of what each origin's bounds say.
    pub refreshes_at_once: Option<usize>,
    /// Refreshes that run or wait; more are refused.
    pub refreshes_waiting_max: usize,
    /// Reads of Redis at once; more are shed.
    pub redis_reads_max: usize,
    /// Requests that wait for such a read, or for a fill; more are shed.
    pub redis_waiters_max: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            fill_wait: Duration::from_secs(5),
            followers_max: 10_000,
            refreshes_at_once: None,
            refreshes_waiting_max: 1024,
            redis_reads_max: 1024,
            redis_waiters_max: 4096,
        }
    }
}
