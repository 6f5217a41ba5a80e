//! A bound on what is read from Redis at once: beyond it a request is shed at once, rather than queued without end.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::EngineError;

/// Permits for reads; clones share them.
#[derive(Clone)]
pub struct ReadPermits(Arc<Semaphore>);

impl ReadPermits {
    /// So many reads at once.
    pub fn new(reads_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(reads_max)))
    }

    /// A permit, or [`EngineError::Overloaded`] at once.
    pub fn take(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        self.0.clone().try_acquire_owned().map_err(|_| EngineError::Overloaded {
            retry_after: Duration::from_secs(1),
        })
    }
}
