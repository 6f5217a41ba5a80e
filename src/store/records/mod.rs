//! Small keys beside the listings: due times, failures, freezes, names, counts.

pub(super) mod coalesced;
pub(super) mod due;
pub(super) mod evictions;
pub(super) mod failures;
pub(super) mod footprint;
pub(super) mod freezes;
pub(super) mod names;
pub(super) mod reads;
pub(super) mod warm_ups;
