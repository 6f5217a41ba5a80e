//! Log lines that were not written, counted by the reason.

use std::{fmt, sync::LazyLock};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
};

/// Why a line was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum LossReason {
    /// Too many of its kind within a minute.
    Rate,
    /// The queue was full: the reader of the log is slower than the service.
    Backlog,
    /// Writing failed: the disk is full, or the reader is gone.
    Write,
}

impl EncodeLabelValue for LossReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let why = match self {
            Self::Rate => "rate",
            Self::Backlog => "backlog",
            Self::Write => "write",
        };
        why.encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWhy {
    why: LossReason,
}

/// The counters. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct LostLines(Family<ByWhy, Counter>);

impl LostLines {
    pub(super) fn new() -> Self {
        let family = Family::default();
        for why in [LossReason::Rate, LossReason::Backlog, LossReason::Write] {
            drop(family.get_or_create(&ByWhy { why }));
        }
        Self(family)
    }

    pub(super) fn count(&self, why: LossReason) {
        self.of(why).inc();
    }

    /// So many so far.
    pub(super) fn so_far(&self, why: LossReason) -> u64 {
        self.of(why).get()
    }

    fn of(&self, why: LossReason) -> Counter {
        self.0.get_or_create(&ByWhy { why }).clone()
    }

    /// For the registry.
    pub(in crate::telemetry) fn metric(&self) -> impl prometheus_client::registry::Metric + use<> {
        self.0.clone()
    }
}

/// Those of the process: it has one log.
pub(crate) fn lost_lines() -> &'static LostLines {
    static LOST: LazyLock<LostLines> = LazyLock::new(LostLines::new);
    &LOST
}
