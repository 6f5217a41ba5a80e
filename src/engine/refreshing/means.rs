//! The means that runs, pages and operations share.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{failures::Failures, frozen::Frozen, latencies::Latencies};
use crate::{
    engine::{
        coherence::{announcer::Announcer, purged::Purged},
        declared::Declaration,
        error::EngineError,
        fetching::{heads::Heads, lost_pushed::LostPushed, pushed_sorts::PushedSorts},
        l1::L1,
        loads::permits::ReadPermits,
    },
    listing::{Generation, ListingName},
    store::Store,
    telemetry::Metrics,
};

/// The means of all that refreshes, reads or operates.
pub(crate) struct Means {
    pub store: Store,
    pub declaration: Arc<Declaration>,
    pub l1: Arc<L1>,
    pub permits: ReadPermits,
    pub heads: Arc<Heads>,
    pub pushed_sorts: Arc<PushedSorts>,
    pub lost_pushed: Arc<LostPushed>,
    pub announcer: Arc<Announcer>,
    pub frozen: Arc<Frozen>,
    /// Whether caches behind this service are purged in time.
    pub purged: Arc<Purged>,
    pub failures: Failures,
    /// How quick the origins are.
    pub latencies: Latencies,
    pub metrics: Arc<Metrics>,
    /// Where work is spawned that no request owns.
    pub runtime: Handle,
}

impl Means {
    /// Draws a generation for a listing of a name: a later one than all that were drawn before.
    pub(crate) async fn draw_one(&self, name: &ListingName) -> Result<Generation, EngineError> {
        let drawn = self.store.draws.without_lease(name, 1).await?;
        drawn.generations.first().copied().ok_or(EngineError::broken_load())
    }
}
