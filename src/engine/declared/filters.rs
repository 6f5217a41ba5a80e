//! Which values a filter may have: read from the origin, and remembered for a while.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tokio::runtime::Handle;

use crate::{
    engine::{
        error::{Chain, EngineError},
        loads::coalesce::Coalescer,
    },
    listing::{
        ListingName,
        definition::{Defined, Filter},
    },
    origin::Origins,
};

/// A name, and a filter of its definition.
type FilterKey = (ListingName, Arc<str>);
/// The values that a filter may have.
type FilterValues = Arc<HashSet<String>>;

/// Values of filters that are remembered.
const VALUES_MAX: u64 = 1_000_000;
/// For so long.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Failures that are remembered.
const FAILURES_MAX: u64 = 10_000;
/// For so long: the origin is not asked by each request that comes.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Readings of filters' values at once; a request that needs one more is shed.
const LOADS_MAX: usize = 256;
/// The same for names that nothing tells of: anybody can make up such names.
const UNKNOWN_LOADS_MAX: usize = LOADS_MAX / 4;

/// The values of filters, as read lately.
pub(crate) struct KnownFilters {
    origins: Origins,
    values: Cache<FilterKey, FilterValues>,
    failures: Cache<FilterKey, ()>,
    loads: Coalescer<FilterKey, Option<FilterValues>>,
}

impl KnownFilters {
    /// Nothing yet.
    pub(crate) fn new(origins: Origins, runtime: Handle) -> Self {
        Self {
            origins,
            values: Cache::builder()
                .weigher(|_, values: &FilterValues| u32::try_from(values.len()).unwrap_or(u32::MAX).saturating_add(1))
                .max_capacity(VALUES_MAX)
                .time_to_live(REMEMBERED)
                .build(),
            failures: Cache::builder()
                .max_capacity(FAILURES_MAX)
                .time_to_live(RETRY_AFTER)
                .build(),
            loads: Coalescer::new(runtime),
        }
    }

    /// The values that a filter of a name may have. `is_known`: an enumeration or a head tells of the name.
    ///
    /// # Errors
    /// [`EngineError::NothingYet`] where they are not known by the deadline; [`EngineError::Overloaded`].
    pub(crate) async fn values(
        &self,
        name: &ListingName,
        defined: &Defined,
        filter: &Filter,
        is_known: bool,
        deadline: Instant,
    ) -> Result<FilterValues, EngineError> {
        let key = (name.clone(), filter.parameter.clone());
        if let Some(values) = self.values.get(&key) {
            return Ok(values);
        }
        let failed = EngineError::NothingYet {
            reason: "the filter's values could not be read",
            retry_after: RETRY_AFTER,
        };
        if self.failures.contains_key(&key) {
            return Err(failed);
        }
        if self.loads.len() >= if is_known { LOADS_MAX } else { UNKNOWN_LOADS_MAX } {
            return Err(EngineError::Overloaded {
                retry_after: RETRY_AFTER,
            });
        }
        let load = || {
            let origin = self.origins.get(&defined.definition.origin);
            let (defined, filter, key) = (defined.clone(), filter.clone(), key.clone());
            let (values, failures) = (self.values.clone(), self.failures.clone());
            // Kept by the load itself: those who asked for it may have gone.
            async move {
                match origin?.filter_values(&defined, &filter).await {
                    Ok(read) => {
                        let read: FilterValues = Arc::new(read.into_iter().collect());
                        values.insert(key, read.clone());
                        Some(read)
                    }
                    Err(error) => {
                        tracing::warn!(filter = &*filter.parameter, error = %Chain(&error), "filter values could not be read");
                        failures.insert(key, ());
                        None
                    }
                }
            }
        };
        let joined = tokio::time::timeout_at(deadline.into(), self.loads.join(&key, load)).await;
        let values = joined.ok().and_then(|joined| joined.value).flatten();
        values.ok_or(failed)
    }
}
