//! Due families: loops that find them, and requests that make them due.
//!
//! - [`schedule`]: claims what is due in Redis, and refreshes it here. [`far_off`] brings due times forward that lie too far ahead.
//! - [`keep_warm`]: listings to be kept warm are due from the start, and again if Redis lost their due time.
//! - [`origin_changes`]: an origin that tells of a change makes its families due.
//! - [`other_history`]: where Redis may have gone back to older listings, all are due.
//! - [`coalesced`]: a family that is asked for again and again is due at most once in `coalesce_for`.

pub(crate) mod coalesced;
pub(crate) mod far_off;
pub(crate) mod keep_warm;
pub(crate) mod origin_changes;
pub(crate) mod other_history;
pub(crate) mod schedule;
