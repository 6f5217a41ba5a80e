//! The wishes of a caller for a refresh, and the outcome.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;

use crate::{
    engine::error::EngineError,
    listing::{Family, Generation, ListingKey, StoredSort, Timestamp, definition::Defined},
};

/// One run that somebody wants.
#[derive(Clone)]
pub(crate) struct Request {
    pub defined: Defined,
    pub family: Family,
    /// The stream that somebody waits for.
    pub first: Option<StoredSort>,
    pub wants: Wants,
    /// Whether any number of items is believed.
    pub accepts_any: bool,
    /// Told when the run need not stand back behind others any more, see [`Budget::place`](crate::engine::declared::budget::Budget::place).
    pub hurry: Arc<Notify>,
}

impl Request {
    /// Whether an empty generation would only tell of a name that anybody may have made up: nothing enumerates it, nothing is kept of it,
    /// and no operator wants it. Nothing is published then, or a scanner of names would fill Redis.
    pub(crate) fn leaves_nothing(&self, total: u64, is_kept: bool) -> bool {
        self.is_nothing(total) && !is_kept && !self.wants.is_demanded() && !matches!(self.wants, Wants::Since(_))
    }

    /// Whether a listing with this number of items does not exist: nothing enumerates the name, so it exists by its items
    /// alone. It is not refreshed unless a request asks again.
    pub(crate) fn is_nothing(&self, total: u64) -> bool {
        total == 0 && !self.defined.definition.enumerates()
    }
}

/// Whether a listing may shrink beyond its policy's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shrink {
    /// It is refused.
    #[default]
    Refused,
    /// It is believed: somebody has looked.
    Accepted,
}

impl Shrink {
    /// As a flag says it.
    pub fn accepted_if(accepts: bool) -> Self {
        match accepts {
            true => Self::Accepted,
            false => Self::Refused,
        }
    }
}

/// The state that makes a run unnecessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// A fresh head.
    Fresh,
    /// A head drawn no earlier than this: being fresh a while longer is no reason to wait for the next due time.
    Later(Timestamp),
    /// That the family's due time is no longer the one that its claim has set: somebody has refreshed it meanwhile.
    Due(Timestamp),
    /// That nobody has asked for a refresh since the family was read last, or that this is less than `coalesce_for` ago.
    Asked,
    /// Heads of all its streams that were read since a warm-up began, by whomever. Those that are so already stay.
    Since(Timestamp),
    /// Nothing: a read of the origin is wanted, in spite of a back-off too.
    Anew,
}

impl Wants {
    /// Whether somebody has said so, and it is not only that time has passed.
    pub(crate) fn is_demanded(self) -> bool {
        matches!(self, Self::Asked | Self::Anew)
    }

    /// Whether nobody waits for it at a page.
    pub(crate) fn is_patient(self) -> bool {
        matches!(self, Self::Later(_) | Self::Due(_) | Self::Since(_) | Self::Asked)
    }

    /// The wish that satisfies both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Since(one), Self::Since(other)) => Self::Since(one.max(other)),
            (Self::Asked, Self::Asked) => Self::Asked,
            _ => Self::Anew,
        }
    }
}

/// One refreshed listing.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// Which listing.
    pub listing: ListingKey,
    /// The generation that is current now.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
}

/// The outcome of a run.
pub(crate) type Outcome = Result<Arc<[Refreshed]>, RefreshFailure>;

/// Why a run refreshed nothing.
#[derive(Clone, Debug)]
pub struct RefreshFailure {
    /// For those who wait.
    pub error: EngineError,
    /// When the next attempt is made.
    pub retry_after: Duration,
}
