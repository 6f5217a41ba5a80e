//! Logs and metrics: what the service says of itself.

mod logs;
mod metrics;

pub use logs::{LogLevel, start_logs};
pub use metrics::{ByLayer, ByOutcome, Layer, Metrics, RefreshOutcome};
