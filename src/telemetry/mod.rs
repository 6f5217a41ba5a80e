//! Logs and metrics: the service's reports about itself.

mod logs;
mod metrics;
mod redis_code;

pub use prometheus_client::metrics::counter::Counter;

pub(crate) use self::logs::{ACCESS, LOST_PUSHED};
pub use self::logs::{FlushAtEnd, LogLevel, complain, flush_logs, start_logs};
pub use self::metrics::{ByLayer, ByOutcome, Layer, Metrics, RefreshOutcome};
pub use self::redis_code::{ByCode, RedisCode};
