//! The state of a page's freshness. Refreshes that fail decide it; pages and headers show it.

use crate::store::StoreError;

/// Why a page is as fresh as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    /// Younger than `fresh_for`.
    Fresh,
    /// Stale while a refresh runs.
    Refreshing,
    /// Stale because the origin fails.
    OriginError,
    /// Redis does not answer, or has not yet; this is what was known.
    RedisDown,
    /// Redis answers, but refuses to be read or written; this is what was known, or what the last refresh left.
    RedisRefuses,
    /// Stale because Redis takes no more data.
    RedisFull,
    /// Redis does not answer, and nothing was known: straight from the origin, of no generation and kept nowhere.
    Direct {
        /// Whether Redis answers, and refuses.
        refused: bool,
    },
}

impl PageState {
    /// The state of pages that are served from memory alone.
    pub(crate) fn from_memory(refused: bool) -> Self {
        if refused { Self::RedisRefuses } else { Self::RedisDown }
    }

    /// The state of stale pages after a refresh that failed with this error.
    pub(crate) fn after(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::RedisDown,
            StoreError::Refusing { .. } => Self::RedisRefuses,
            StoreError::Full { .. } => Self::RedisFull,
            StoreError::Corrupt { .. } | StoreError::TooLarge { .. } => Self::OriginError,
        }
    }
}
