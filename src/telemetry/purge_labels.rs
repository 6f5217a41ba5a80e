//! Labels of the metrics of purges.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// The outcome of a call of a CDN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PurgeOutcome {
    /// Pages of listings are purged.
    Done,
    /// Pages of whole definitions are purged.
    Widened,
    /// It is made again.
    Failed,
}

impl PurgeOutcome {
    pub(super) const ALL: [Self; 3] = [Self::Done, Self::Widened, Self::Failed];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Widened => "widened",
            Self::Failed => "failed",
        }
    }
}

impl EncodeLabelValue for PurgeOutcome {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// Label of [`Metrics::purge_calls`](super::Metrics::purge_calls).
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByPurgeOutcome {
    /// How it ended.
    pub outcome: PurgeOutcome,
}
