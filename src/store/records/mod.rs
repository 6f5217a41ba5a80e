//! Small keys beside the listings, a file each: due times, refreshes that were asked for, failures, freezes, names, counts of reads,
//! warm-up jobs, changes that shops tell of, what became of them, and positions in changelogs; the server's count of evictions; and `footprint`, an estimate of what listings will take.
//!
//! What must hold: each has a bound or an expiry; the loss of any of them costs time and no listing; a value that cannot be read is
//! left out or removed, and hides no other.

pub(super) mod change_outcomes;
pub(super) mod changelogs;
pub(super) mod changes;
pub(super) mod coalesced;
pub(super) mod due;
pub(super) mod evictions;
pub(super) mod failures;
pub(super) mod footprint;
pub(super) mod freezes;
pub(super) mod names;
pub(super) mod reads;
pub(super) mod recalled;
pub(super) mod warm_ups;
