//! Waiting for a listing that is not there: the first fill, or the refill of a lost one.
//!
//! All requests for a listing share one wait, which is spawned and goes on when they leave. A request waits at most
//! `fill_wait`; the fill itself takes as long as its origin.

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{
    announcer::Announcer,
    coalesce::Coalescer,
    error::EngineError,
    heads::Heads,
    runs::{Refresher, Waiting},
};
use crate::listing::{ListingKey, definition::Defined};

/// Fills that requests wait for.
pub struct Fills {
    refresher: Arc<Refresher>,
    announcer: Arc<Announcer>,
    heads: Arc<Heads>,
    wait_max: Duration,
    waits: Coalescer<ListingKey, Result<(), EngineError>>,
}

impl Fills {
    /// Requests wait at most `wait_max`.
    pub fn new(
        refresher: Arc<Refresher>,
        announcer: Arc<Announcer>,
        heads: Arc<Heads>,
        wait_max: Duration,
        runtime: Handle,
    ) -> Self {
        Self {
            refresher,
            announcer,
            heads,
            wait_max,
            waits: Coalescer::new(runtime),
        }
    }

    /// Waits until the listing has a head. Says whether somebody else had begun the wait.
    pub async fn wait(&self, defined: &Defined, key: &ListingKey) -> Result<bool, EngineError> {
        if let Some(retry_after) = self.refresher.backing_off(&key.family) {
            return Err(EngineError::NothingYet {
                reason: "the origin failed",
                retry_after,
            });
        }
        let begin = || self.until_filled(key, self.refresher.trigger(defined, key));
        self.bounded(key, begin).await
    }

    /// Waits until the listing has a head drawn after now, whatever Redis says of the present one.
    pub async fn wait_anew(&self, defined: &Defined, key: &ListingKey) -> Result<(), EngineError> {
        let begin = || self.until_filled(key, self.refresher.demand(defined, &key.family));
        self.bounded(key, begin).await.map(drop)
    }

    /// Ends when the run ends, or when the listing's head moved: its other sorts may take longer.
    fn until_filled(
        &self,
        key: &ListingKey,
        run: Waiting,
    ) -> impl Future<Output = Result<(), EngineError>> + Send + use<> {
        let moved = self.announcer.next(key);
        let (heads, key) = (self.heads.clone(), key.clone());
        async move {
            tokio::select! {
                // The head may have moved and the run ended at once: either is good.
                Ok(()) = moved => Ok(()),
                outcome = run => match outcome {
                    // Another node may have filled it, or found nothing: Redis knows.
                    Ok(Ok(_)) => heads.reread(&key).await.map(drop),
                    Ok(Err(failure)) => Err(match failure.error {
                        error @ (EngineError::RedisDown { .. } | EngineError::Overloaded { .. }) => error,
                        _ => EngineError::NothingYet {
                            reason: "the origin failed",
                            retry_after: failure.retry_after,
                        },
                    }),
                    Err(_) => Err(EngineError::broken_load()),
                },
            }
        }
    }

    async fn bounded<F>(&self, key: &ListingKey, begin: impl FnOnce() -> F) -> Result<bool, EngineError>
    where
        F: Future<Output = Result<(), EngineError>> + Send + 'static,
    {
        let joined = tokio::time::timeout(self.wait_max, self.waits.join(key, begin)).await;
        let Ok(joined) = joined else {
            return Err(EngineError::NothingYet {
                reason: "the listing is being filled",
                retry_after: Duration::from_secs(1),
            });
        };
        joined.value.unwrap_or(Err(EngineError::broken_load()))?;
        Ok(joined.collapsed)
    }
}
