//! Waiting for a listing that is not there: the first fill, or the refill of a lost one.
//!
//! All requests for a listing share one wait, which is spawned and goes on when they leave. A request waits at most
//! `fill_wait` in all, whatever it waits for; the fill itself takes as long as its origin.
//!
//! A name is *unknown* where no enumeration and no head tells of it: anybody can make up such names. Their fills have places and waiters
//! of their own, so that they do not hold up the fills of known names. A request waits for such a place itself, and gives up its turn
//! when it goes away. An answer without items is remembered here for a few seconds; Redis keeps nothing of it.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::selection::{Selection, invalid};
use crate::{
    config::L1Config,
    engine::{
        declared::names::Existence,
        error::EngineError,
        loads::coalesce::Coalescer,
        refreshing::{
            means::Means,
            page_state::PageState,
            request::Shrink,
            runs::{Refresher, Waiting},
        },
    },
    listing::{Family, Head, ListingKey, definition::Defined},
};

/// How long it is remembered at most that the origin has no items of a name: nothing tells when it gets some.
const WITHOUT_ITEMS_MAX: Duration = Duration::from_secs(5);

/// Fills that requests wait for.
pub(crate) struct Fills {
    means: Arc<Means>,
    refresher: Arc<Refresher>,
    waits: Coalescer<ListingKey, Result<(), EngineError>>,
    /// Families of which the origin had no items just now.
    without_items: Cache<Family, ()>,
}

impl Fills {
    /// Nobody waits yet.
    pub(crate) fn new(refresher: Arc<Refresher>, l1_config: &L1Config) -> Self {
        Self {
            means: refresher.means.clone(),
            waits: Coalescer::new(refresher.means.runtime.clone()),
            refresher,
            without_items: Cache::builder()
                .max_capacity(l1_config.absent_max as u64)
                .time_to_live(l1_config.ttl.min(WITHOUT_ITEMS_MAX))
                .build(),
        }
    }

    /// Waits for the first fill of a listing. Says whether another request had begun it.
    pub(crate) async fn fill(&self, selection: &Selection, deadline: Instant) -> Result<bool, EngineError> {
        let Some(defined) = &selection.defined else {
            return Err(self.missing_pushed(selection).await);
        };
        match selection.existence {
            Existence::ByHead => Err(EngineError::NotFound),
            // A scanner may have made it up: the origin is asked only for names that exist.
            Existence::Unknown => Err(EngineError::NothingYet {
                reason: "the names that exist could not be read",
                retry_after: Duration::from_secs(1),
            }),
            _ if selection.is_known(&self.means.l1) => self.wait(defined, &selection.key, deadline).await,
            _ => self.wait_for_unknown(defined, &selection.key, deadline).await,
        }
    }

    /// Fills a listing anew that has lost chunks which its head promises. Says whether another request had begun it.
    pub(crate) async fn refill(
        &self,
        selection: &Selection,
        head: &Head,
        deadline: Instant,
    ) -> Result<bool, EngineError> {
        // Nothing may be taken over from what is damaged.
        self.means.store.writes.distrust(&selection.key, head).await?;
        let Some(defined) = &selection.defined else {
            self.means.lost_pushed.tell(&selection.key);
            return Err(EngineError::NotFound);
        };
        if selection.existence == Existence::ByHead {
            return Err(EngineError::NotFound);
        }
        self.wait_anew(defined, &selection.key, deadline).await
    }

    /// Why a pushed listing is not there: no such name, or no such sort of it.
    async fn missing_pushed(&self, selection: &Selection) -> EngineError {
        match self.means.pushed_sorts.of(selection.key.name()).await {
            Err(error) => error,
            Ok(sorts) if sorts.is_empty() || sorts.contains(selection.key.sort()) => EngineError::NotFound,
            Ok(sorts) => {
                let sorts: Vec<_> = sorts.iter().map(|sort| sort.as_str()).collect();
                let detail = format!("unknown; this listing has {}", sorts.join(", "));
                EngineError::Invalid(vec![invalid("sort", detail)])
            }
        }
    }

    /// Waits until the listing, whose name is known, has a head. Says whether another request had begun the wait.
    async fn wait(&self, defined: &Defined, key: &ListingKey, deadline: Instant) -> Result<bool, EngineError> {
        self.check(defined, key)?;
        let _permit = self.means.permits.wait()?;
        let begin = || self.until_filled(key, self.refresher.trigger(defined, key));
        self.bounded(key, deadline, begin).await
    }

    /// The same for a name that nothing tells of; [`EngineError::NotFound`] where the origin has no items of it.
    async fn wait_for_unknown(
        &self,
        defined: &Defined,
        key: &ListingKey,
        deadline: Instant,
    ) -> Result<bool, EngineError> {
        self.check(defined, key)?;
        let _permit = self.means.permits.wait_for_unknown()?;
        // A request that joins a wait needs no place.
        let place = match self.waits.is_under_way(key) {
            true => None,
            false => {
                let place = self.unknown_place(defined, deadline).await?;
                // Somebody may have asked for it meanwhile.
                self.check(defined, key)?;
                place
            }
        };
        let begin = || {
            let filled = self.until_filled(key, self.refresher.trigger(defined, key));
            async move {
                let _place = place;
                filled.await
            }
        };
        self.bounded(key, deadline, begin).await
    }

    fn check(&self, defined: &Defined, key: &ListingKey) -> Result<(), EngineError> {
        match self.without_items.contains_key(&key.family) {
            true => Err(EngineError::NotFound),
            false => self.check_back_off(defined, key),
        }
    }

    async fn unknown_place(
        &self,
        defined: &Defined,
        deadline: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, EngineError> {
        let declared = self.means.declaration.take();
        let Some(budget) = declared.budget(&defined.definition.origin) else {
            // The run says what is wrong.
            return Ok(None);
        };
        timeout_at(deadline, budget.unknown_place())
            .await
            .map_err(|_| still_filling())
    }

    /// Waits until the listing has a head drawn after now, whatever Redis says of the present one.
    async fn wait_anew(&self, defined: &Defined, key: &ListingKey, deadline: Instant) -> Result<bool, EngineError> {
        self.check_back_off(defined, key)?;
        let _permit = self.means.permits.wait()?;
        let begin = || self.until_filled(key, self.refresher.demand(defined, &key.family, Shrink::Refused));
        self.bounded(key, deadline, begin).await
    }

    /// An origin that failed is not asked again by each request that comes.
    fn check_back_off(&self, defined: &Defined, key: &ListingKey) -> Result<(), EngineError> {
        let definition = &defined.definition;
        let Some(retry_after) = self.means.failures.backing_off(definition, &key.family) else {
            return Ok(());
        };
        Err(match self.means.failures.why_backing_off(definition, &key.family) {
            Some(PageState::RedisFull) => EngineError::RedisFull,
            Some(PageState::RedisRefuses) if let Some(refused) = self.means.store.refused().into_iter().next() => {
                EngineError::RedisRefuses {
                    code: refused.code,
                    sentence: refused.sentence,
                }
            }
            _ => EngineError::NothingYet {
                reason: "the last refresh failed",
                retry_after,
            },
        })
    }

    /// Ends when the run ends, or when the listing's head moved: its other sorts may take longer.
    fn until_filled(
        &self,
        key: &ListingKey,
        run: Waiting,
    ) -> impl Future<Output = Result<(), EngineError>> + Send + use<> {
        let moved = self.means.announcer.next(key);
        let (heads, key) = (self.means.heads.clone(), key.clone());
        let without_items = self.without_items.clone();
        async move {
            tokio::select! {
                // The head may have moved and the run ended at once: either is good.
                Ok(()) = moved => Ok(()),
                outcome = run => match outcome {
                    // Another node may have filled it, or found nothing: Redis knows.
                    Ok(Ok(_)) => heads.reread(&key).await.map(drop),
                    Ok(Err(failure)) => Err(match failure.error {
                        EngineError::NotFound => {
                            without_items.insert(key.family, ());
                            EngineError::NotFound
                        }
                        error @ (EngineError::RedisDown { .. }
                        | EngineError::RedisRefuses { .. }
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
        let filled = timeout_at(deadline, self.waits.join(key, begin));
        let joined = tokio::select! {
            joined = filled => joined,
            // It may take until Redis is back: nobody waits for that.
            () = self.means.store.broken() => return Err(EngineError::redis_down()),
        };
        let Ok(joined) = joined else {
            return Err(still_filling());
        };
        joined.value.unwrap_or(Err(EngineError::broken_load()))?;
        Ok(joined.collapsed)
    }
}

fn still_filling() -> EngineError {
    EngineError::NothingYet {
        reason: "the listing is being filled",
        retry_after: Duration::from_secs(1),
    }
}
