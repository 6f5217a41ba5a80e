//! Listings that are kept warm: due from the start, and again where a due time was lost with Redis.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{
        declared::{Declaration, Declared},
        error::Chain,
    },
    listing::{Definition, Family},
    store::Store,
};

/// Between two looks at what must be due.
const PERIOD: Duration = Duration::from_secs(60);
/// A listing that was never filled is due at some time within this.
const WITHIN: Duration = Duration::from_secs(10);
/// Families of one name that are kept warm, at most.
const FAMILIES_A_NAME_MAX: usize = 100;

/// Schedules what is to be kept warm.
pub(crate) struct KeepWarm {
    pub store: Store,
    pub declaration: Arc<Declaration>,
    /// Told when Redis may have lost its memory.
    pub forgotten: Arc<Notify>,
}

impl KeepWarm {
    /// Runs until the engine stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let mut replaced = self.declaration.replacements();
        loop {
            self.schedule_warm().await;
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = self.forgotten.notified() => {}
                Ok(()) = replaced.changed() => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    async fn schedule_warm(&self) {
        let declared = self.declaration.take();
        for definition in &declared.definitions.defined {
            if definition.policy.keep_warm && self.store.is_up() {
                self.schedule_names(&declared, definition).await;
            }
        }
    }

    async fn schedule_names(&self, declared: &Declared, definition: &Arc<Definition>) {
        // Where it cannot be read that is logged, and tried again.
        let Some(names) = declared.names.all(definition).await else {
            return;
        };
        let families: Vec<Family> = names
            .iter()
            .flat_map(|name| definition.families(name, FAMILIES_A_NAME_MAX))
            .collect();
        if let Err(error) = self.store.due.schedule_all(&families, WITHIN).await {
            tracing::debug!(error = %Chain(&error), "listings to be kept warm were not scheduled");
        }
    }
}
