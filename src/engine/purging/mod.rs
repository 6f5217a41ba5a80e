//! Caches behind this service are purged when listings change.
//!
//! ```text
//! worker   one node at a time purges one CDN: reads the logs of announcements, makes the calls
//!   ├─ queue   what waits, and what the next call holds: pure
//!   └─ pace    how often the CDN may be called: pure
//! ```
//!
//! # What must hold
//! - **No head moves without a purge.** The logs are the queue, and Redis keeps how far each CDN is. A place moves on only after a call has
//!   succeeded; where a node dies between, the call is made once more. Where a log no longer reaches back to the place, everything is purged.
//! - **Each tag is purged twice**, the second time when every node has heard of the change: see [`queue`].
//! - **A CDN that is not purged keeps nothing long.** While a worker is silent or late, pages give no `cdn_max_age`
//!   ([`purged`](super::coherence::purged)).

mod pace;
mod queue;
mod worker;

pub(super) use self::worker::Purger;
