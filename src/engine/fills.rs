//! Waiting for a listing that is not there: the first fill, or the refill of a lost one.
//!
//! All requests for a listing share one wait, which is spawned and goes on when they leave. A request waits at most
//! `fill_wait` in all, whatever it waits for; the fill itself takes as long as its origin.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::Instant};

use super::{
    announcer::Announcer,
    coalesce::Coalescer,
    error::EngineError,
    heads::Heads,
    permits::ReadPermits,
    runs::{Refresher, Shrink, Waiting},
};
use crate::{
    listing::{ListingKey, definition::Defined},
    store::Store,
};

/// Fills that requests wait for.
pub struct Fills {
    refresher: Arc<Refresher>,
    announcer: Arc<Announcer>,
    heads: Arc<Heads>,
    store: Store,
    permits: ReadPermits,
    waits: Coalescer<ListingKey, Result<(), EngineError>>,
}

impl Fills {
    /// Nobody waits yet.
    pub fn new(
        store: Store,
        permits: ReadPermits,
        refresher: Arc<Refresher>,
        announcer: Arc<Announcer>,
        heads: Arc<Heads>,
        runtime: Handle,
    ) -> Self {
        Self {
            store,
            permits,
            refresher,
            announcer,
            heads,
            waits: Coalescer::new(runtime),
        }
    }

    /// Waits until the listing has a head. Says whether somebody else had begun the wait.
    pub async fn wait(&self, defined: &Defined, key: &ListingKey, deadline: Instant) -> Result<bool, EngineError> {
        self.check_back_off(key)?;
        let begin = || self.until_filled(key, self.refresher.trigger(defined, key));
        self.bounded(key, deadline, begin).await
    }

    /// Waits until the listing has a head drawn after now, whatever Redis says of the present one.
    pub async fn wait_anew(&self, defined: &Defined, key: &ListingKey, deadline: Instant) -> Result<bool, EngineError> {
        self.check_back_off(key)?;
        let begin = || self.until_filled(key, self.refresher.demand(defined, &key.family, Shrink::Refused));
        self.bounded(key, deadline, begin).await
    }

    /// An origin that failed is not asked again by each request that comes.
    fn check_back_off(&self, key: &ListingKey) -> Result<(), EngineError> {
        match self.refresher.backing_off(&key.family) {
            None => Ok(()),
            Some(retry_after) => Err(EngineError::NothingYet {
                reason: "the last refresh failed",
                retry_after,
            }),
        }
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
                        error @ (EngineError::RedisDown { .. }
                        | EngineError::RedisFull
                        | EngineError::Overloaded { .. }) => error,
                        _ => EngineError::NothingYet {
                            reason: "the refresh failed",
                            retry_after: failure.retry_after,
                        },
                    }),
                    Err(_) => Err(EngineError::broken_load()),
                },
            }
        }
    }

    async fn bounded<F>(
        &self,
        key: &ListingKey,
        deadline: Instant,
        begin: impl FnOnce() -> F,
    ) -> Result<bool, EngineError>
    where
        F: Future<Output = Result<(), EngineError>> + Send + 'static,
    {
        let _permit = self.permits.wait()?;
        let filled = tokio::time::timeout_at(deadline, self.waits.join(key, begin));
        let joined = tokio::select! {
            joined = filled => joined,
            // It may take until Redis is back: nobody waits for that.
            () = self.store.broken() => return Err(EngineError::redis_down()),
        };
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
