//! Loads: the ground of all reads.
//!
//! - [`coalesce`]: requests for the same thing share one load. No request owns it: a client that goes away cancels nothing that
//!   others wait for.
//! - [`permits`]: how many reads of Redis run, and how many requests wait, at once. One more is shed with 503. L1 needs neither.
//! - [`sync`]: the locks and the spawning that the interleaving tests take over.

pub(super) mod coalesce;
pub(super) mod permits;
pub(super) mod sync;
