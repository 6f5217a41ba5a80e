//! Listings that are kept warm: due from the start, and again where a due time was lost with Redis.

use std::{sync::Arc, time::Duration};

use crate::{
    engine::{Engine, declared::Declared, error::Chain},
    listing::{Definition, Family},
};

/// Between two looks at what must be due.
const PERIOD: Duration = Duration::from_secs(60);
/// What was never filled is due at some time within this.
const WITHIN: Duration = Duration::from_secs(10);
/// Families of one name that are kept warm, at most.
const FAMILIES_A_NAME_MAX: usize = 100;

impl Engine {
    /// Schedules what is to be kept warm, until the engine shuts down.
    pub(crate) fn start_keeping_warm(self: &Arc<Self>) {
        let engine = self.clone();
        let mut replaced = self.declaration.replacements();
        self.tasks.spawn_on(
            async move {
                loop {
                    engine.schedule_warm().await;
                    tokio::select! {
                        () = tokio::time::sleep(PERIOD) => {}
                        () = engine.forgotten.notified() => {}
                        Ok(()) = replaced.changed() => {}
                        () = engine.stopping.cancelled() => return,
                    }
                }
            },
            &self.runtime,
        );
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
        if let Err(error) = self.store.schedule_all(&families, WITHIN).await {
            tracing::debug!(error = %Chain(&error), "listings to be kept warm were not scheduled");
        }
    }
}
