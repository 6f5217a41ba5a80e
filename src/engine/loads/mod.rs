//! The ground of all reads: coalescing of equal loads, and permits that bound them.

pub(super) mod coalesce;
pub(super) mod permits;
pub(super) mod sync;
