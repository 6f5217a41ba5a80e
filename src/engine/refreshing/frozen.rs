//! Frozen names: they are not refreshed for a while, and live on. Operators freeze them for a planned or long outage of an origin.
//!
//! Redis keeps the freezes for all nodes, and each node reads them every second. A frozen listing is served however old it is, and
//! its pages say that it is stale because of its origin. A listing that was never filled is filled all the same, and a refresh
//! that somebody demands runs.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use globset::{Glob, GlobMatcher};
use tokio_util::sync::CancellationToken;

use crate::{
    engine::error::Chain,
    listing::{ListingName, Timestamp},
    store::{Freeze, Store},
};

/// Between two reads of the freezes.
const PERIOD: Duration = Duration::from_secs(1);

/// The freezes, as this process knows them.
#[derive(Default)]
pub(crate) struct Frozen {
    globs: ArcSwap<Vec<(GlobMatcher, Timestamp)>>,
}

impl Frozen {
    /// Until when a name is frozen.
    pub(crate) fn until(&self, name: &ListingName, now: Timestamp) -> Option<Timestamp> {
        let globs = self.globs.load();
        // Nearly always there are none.
        let frozen = globs
            .iter()
            .filter(|(glob, until)| *until > now && glob.is_match(name.as_str()));
        frozen.map(|(_, until)| *until).max()
    }

    /// Takes the freezes that Redis keeps.
    pub(crate) fn set(&self, freezes: &[Freeze]) {
        if freezes.is_empty() && self.globs.load().is_empty() {
            return;
        }
        let matcher = |(glob, until): &Freeze| Some((Glob::new(glob).ok()?.compile_matcher(), *until));
        self.globs.store(Arc::new(freezes.iter().filter_map(matcher).collect()));
    }
}

/// Reads the freezes every second.
pub(crate) struct WatchFreezes {
    pub store: Store,
    pub frozen: Arc<Frozen>,
}

impl WatchFreezes {
    /// Runs until the engine stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        loop {
            match self.store.freezes.all().await {
                Ok(freezes) => self.frozen.set(&freezes),
                // A freeze that is known stays until it is over.
                Err(error) => tracing::debug!(error = %Chain(&error), "freezes could not be read"),
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stopping.cancelled() => return,
            }
        }
    }
}
