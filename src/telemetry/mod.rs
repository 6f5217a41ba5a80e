//! Logs and metrics: the service's reports about itself.

mod change_labels;
mod logs;
mod metrics;
mod purge_labels;
mod redis_code;

pub use prometheus_client::metrics::counter::Counter;

pub use self::change_labels::{ByPatchOutcome, BySource, ChangeSource, PatchOutcome};
pub(crate) use self::logs::{ACCESS, LOST_PUSHED};
pub use self::logs::{FlushAtEnd, LogLevel, complain, flush_logs, start_logs};
pub use self::metrics::{ByLayer, ByOutcome, Layer, Metrics, RefreshOutcome};
pub use self::purge_labels::{ByPurgeOutcome, PurgeOutcome};
pub use self::redis_code::{ByCode, RedisCode};
