//! Refreshes: when one is due, who runs it, what it reads and writes.

pub(super) mod attempt;
pub(super) mod belief;
pub(super) mod build;
pub(super) mod coalesced;
pub(super) mod failures;
pub(super) mod far_off;
pub(super) mod frozen;
pub(super) mod keep_warm;
pub(super) mod latencies;
pub(super) mod origin_changes;
pub(super) mod page_state;
pub(super) mod refresh;
pub(super) mod runs;
pub(super) mod schedule;
pub(super) mod unchanged;
