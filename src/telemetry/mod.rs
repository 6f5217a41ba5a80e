//! Logs and metrics: what the service says of itself.

mod logs;
mod metrics;
mod redis_code;

pub use prometheus_client::metrics::counter::Counter;

pub use logs::{ACCESS, FlushAtEnd, LOST_PUSHED, LogLevel, complain, flush_logs, start_logs};
pub use metrics::{ByLayer, ByOutcome, Layer, Metrics, RefreshOutcome};
pub use redis_code::{ByCode, RedisCode};
