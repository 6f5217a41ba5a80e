//! The engine's errors, named after the caller's next step.

use std::{sync::Arc, time::Duration};

use crate::{
    listing::{Generation, Refusal},
    store::StoreError,
    telemetry::RedisCode,
};

/// A parameter that cannot be what it was given as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterError {
    /// The parameter's name.
    pub parameter: String,
    /// The error of its value, for the client's developer.
    pub detail: String,
}

/// Why the engine cannot answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// No such listing.
    #[error("no such listing")]
    NotFound,
    /// A pinned generation that is deleted, or past its time.
    #[error("the generation asked for is no longer kept")]
    Gone,
    /// Parameters that do not fit the listing.
    #[error("bad parameters")]
    Invalid(Vec<ParameterError>),
    /// A fill runs, or failed. Try again.
    #[error("nothing to serve yet: {reason}")]
    NothingYet {
        /// Why.
        reason: &'static str,
        /// When it is worth it.
        retry_after: Duration,
    },
    /// A limit is reached. Try again.
    #[error("overloaded")]
    Overloaded {
        /// When it is worth it.
        retry_after: Duration,
    },
    /// Redis does not answer, and L1 has nothing. Try again.
    #[error("redis is unavailable")]
    RedisDown {
        /// When it is worth it.
        retry_after: Duration,
    },
    /// Redis answers, but refuses what is needed for this. Somebody has to look; try again all the same.
    #[error("redis refuses: {sentence}")]
    RedisRefuses {
        /// Redis's code.
        code: RedisCode,
        /// Redis's own words. For operators: it is not told to strangers.
        sentence: Arc<str>,
    },
    /// Redis takes no more data.
    #[error("redis is full")]
    RedisFull,
    /// A value in Redis that this version did not write. Logged where it was seen.
    #[error("redis holds a value that this version did not write")]
    Corrupt,
    /// A push of a listing that a definition fills.
    #[error("a definition fills this listing")]
    HasOrigin,
    /// A refresh of a pushed listing.
    #[error("this listing is pushed: there is no origin to refresh it from")]
    NoOrigin,
    /// A write to a name that neither a definition fills nor `pushed.names` allows.
    #[error("this name may not be written")]
    NotAllowed,
    /// Another write drew later and published first.
    #[error("a later write was published first")]
    Superseded {
        /// The generation that is current now.
        current: Generation,
    },
    /// A push that would leave too few items of what is there. The old generation stays.
    #[error("{0}")]
    Shrunk(Refusal),
    /// More items than `max_items`.
    #[error("more than {max} items")]
    TooManyItems {
        /// The limit.
        max: u64,
    },
    /// The origin failed, or what it gave was refused. The old generation stays.
    #[error("the refresh failed: {0}")]
    RefreshFailed(Arc<str>),
}

impl EngineError {
    /// Redis does not answer: worth another try soon.
    pub(super) fn redis_down() -> Self {
        Self::RedisDown {
            retry_after: Duration::from_secs(1),
        }
    }

    /// A load that ended without a result: it panicked, which is our own bug, or the service is shutting down.
    pub(super) fn broken_load() -> Self {
        Self::NothingYet {
            reason: "a load broke off",
            retry_after: Duration::from_secs(1),
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { operation, .. } => {
                tracing::debug!(operation, error = %Chain(&error), "redis did not answer");
                Self::redis_down()
            }
            // Told where it was heard.
            StoreError::Refusing { code, sentence, .. } => Self::RedisRefuses { code, sentence },
            StoreError::Full { .. } => Self::RedisFull,
            // Told where it was seen.
            StoreError::TooLarge { .. } => Self::NothingYet {
                reason: "redis sends more than redis.reply_max",
                retry_after: Duration::from_secs(1),
            },
            StoreError::Corrupt { .. } => {
                tracing::error!(error = %Chain(&error), "unreadable value in redis");
                Self::Corrupt
            }
        }
    }
}

/// An error with its causes, on one line, and each once.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'a));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some errors end with the text of their source, redis's among them.
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            source = cause.source();
        }
        Ok(())
    }
}
