//! The things that every run works with.

use std::sync::Arc;

use super::{failures::Failures, frozen::Frozen, latencies::Latencies};
use crate::{
    engine::{coherence::announcer::Announcer, declared::Declaration},
    store::Store,
    telemetry::Metrics,
};

/// The means of all runs.
pub(crate) struct Means {
    pub store: Store,
    pub declaration: Arc<Declaration>,
    pub frozen: Arc<Frozen>,
    pub announcer: Arc<Announcer>,
    pub failures: Failures,
    /// How quick the origins are.
    pub latencies: Latencies,
    pub metrics: Arc<Metrics>,
}
