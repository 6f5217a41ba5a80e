//! Why a refresh published nothing.

use std::{fmt, time::Duration};

use crate::{
    engine::error::{Chain, EngineError},
    listing::{ListingName, Refusal, Timestamp},
    origin::OriginError,
    store::{Emptiness, StoreError},
};

/// Why a family could not be built. The old generations stay.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The origin failed.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// Redis failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More than `max_items`.
    #[error("the origin has more than {max} items for it")]
    TooManyItems {
        /// The limit.
        max: u64,
    },
    /// More than is sorted in the process, and a sort by a language that no origin knows.
    #[error(
        "it has more than {max} items, or more than {bytes} bytes, and `collate` sorts in the process: raise `sort_in_memory_max`, or leave out `collate`"
    )]
    TooManyToCollate {
        /// `sort_in_memory_max`.
        max: u64,
        /// Bytes of JSON that may be sorted.
        bytes: usize,
    },
    /// Not believable.
    #[error("{0}")]
    Refused(Box<Unbelieved>),
    /// Another node knows the definition better.
    #[error("a node with a newer definition_version refreshes this listing")]
    Outdated,
    /// Redis evicted it, or it expired under a slow writer.
    #[error("its stream was gone before it was published")]
    StreamLost,
    /// Another reader may be at work: the items that were read are worth nothing any more.
    #[error("the lease was lost")]
    LeaseLost,
}

impl BuildError {
    /// Whether what the origin gave was not believed.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::TooManyItems { .. })
    }
}

impl From<&BuildError> for EngineError {
    fn from(error: &BuildError) -> Self {
        match error {
            BuildError::Store(StoreError::Unavailable { .. }) => Self::redis_down(),
            BuildError::Store(StoreError::Full { .. }) => Self::RedisFull,
            BuildError::Store(StoreError::Refusing { code, sentence, .. }) => Self::RedisRefuses {
                code: *code,
                sentence: sentence.clone(),
            },
            BuildError::TooManyItems { max } => Self::TooManyItems { max: *max },
            other => Self::RefreshFailed(Chain(other).to_string().into()),
        }
    }
}

/// Items that are not believed.
#[derive(Debug)]
pub struct Unbelieved {
    pub(super) refusal: Refusal,
    pub(super) name: ListingName,
    pub(super) fresh_for: Duration,
    pub(super) empty_since: Option<Timestamp>,
    /// When a read that gives the same is believed: the next one must not be later.
    pub(super) believed_at: Option<Timestamp>,
}

impl Unbelieved {
    /// Its record of an empty origin.
    pub fn emptiness(&self) -> Emptiness {
        match self.empty_since {
            Some(since) => Emptiness::Empty(since),
            None => Emptiness::NotEmpty,
        }
    }
}

impl fmt::Display for Unbelieved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refusal, name, .. } = self;
        write!(f, "refused: {refusal}")?;
        if self.empty_since.is_some() {
            let fresh_for = humantime::format_duration(self.fresh_for);
            write!(f, ", which is believed if a read {fresh_for} later says the same")?;
        }
        write!(
            f,
            "; to accept it: POST /v1/listings/{}/refresh?accept_shrink=true, or listcache warm --accept-shrink --include '{}'",
            name.encoded(),
            globset::escape(name.as_str()).replace('\'', r"'\''")
        )
    }
}
