//! Coherence: every node shows the same, within milliseconds.
//!
//! - [`hearing`]: a loop that hands on what the store hears from Redis.
//! - [`announcer`]: applies an announcement here: L1 learns of the head, requests that wait for it wake up, followers hear of it.
//! - [`followers`]: live subscriptions.
//! - [`checker`]: a loop that compares heads of L1 with Redis's, in the very process that serves.
//! - [`purged`]: a loop that asks whether caches behind this service are purged in time.
//! - [`touched`]: tells readers of the logs which of them have news.
//! - [`evictions`]: a loop that counts the keys that Redis evicts.
//!
//! # What must hold
//! - An announcement carries the new head itself: nobody reads Redis again because of it. The publishing node applies its own before it
//!   answers. Applying one again changes nothing.
//! - A heads' time to live in L1 (`l1.ttl`) bounds the staleness if everything else fails.
//! - A gap in the log, or another Redis, begins a new epoch: heads of L1 are read again before they are served. Chunks and fragments
//!   need no invalidation, for a generation never changes.

pub(super) mod announcer;
pub(super) mod checker;
pub(super) mod evictions;
pub(super) mod followers;
pub(super) mod hearing;
pub(crate) mod moves;
pub(super) mod purged;
pub(super) mod touched;
