//! Refreshing: from a due time, or from somebody who asks, to a new generation or one that lives on.
//!
//! ```text
//! due            loops that find what is due, and requests that make a family due
//!    └─► runs       in this process a family has one run at a time
//!          └─► refresh    draws under a lease, says what came of it
//!                └─► attempt    looks at what is kept, reads, publishes or confirms
//!                      ├─ unchanged    a generation that holds what the origin still has lives on
//!                      ├─ belief       may these items replace those that are kept?
//!                      ├─ build        from the origin's items to finished generations, written aside
//!                      └─ patching     only changed items are read, and exchanged
//! clock          instants at which listings change though no row is written: asked for ahead, and followed
//! request, means, failures, frozen, latencies, build_error, page_state        what these have in common
//! ```
//!
//! # What must hold
//! - **A family is the unit.** Lease, due time, read count and failure are a family's. One read of the origin yields all its stored
//!   sorts where they fit in memory; else each stream is read in its order, so memory stays bounded. Each stream has a generation of
//!   its own, and the lease names the first.
//! - **Draw first.** A run draws its generations before it reads the origin, so a greater id means a later read. A refresh that
//!   somebody waits for ends only with generations that were drawn after it was asked for. A refresh that is asked for during a run
//!   causes exactly one more.
//! - **One reader.** A lease decides across processes who reads the origin. The head's id fences a reader that lost its lease.
//! - **A run goes by what is declared when it begins**, not when it was asked for: an old definition never comes back after a new one.
//! - **Nothing is lost with a node.** A claim moves the due time ahead; only a publish, a confirmation or a failure sets the next one.
//!   A failure is recorded before its lease is released: the next one that draws finds the back-off.
//! - **Origins are spared.** Families that are claimed together begin spread over the schedule's period. A first due time is uniform
//!   over `fresh_for · refresh_ahead`, a later one has a jitter of ±10 %. A family that nobody has read for `idle_stop` is no
//!   longer refreshed; the next read that finds it stale makes it due again.
//! - **The clock is Redis's.** It may be set back: items dated more than 5 s ahead are stale, and due times that lie too far ahead
//!   are brought forward.

pub(crate) mod attempt;
pub(super) mod belief;
pub(super) mod build;
pub(super) mod build_error;
pub(super) mod clock;
pub(super) mod due;
pub(super) mod failures;
pub(super) mod frozen;
pub(super) mod latencies;
pub(super) mod means;
pub(super) mod page_state;
pub(crate) mod patching;
pub(super) mod refresh;
pub(super) mod request;
pub(super) mod runs;
pub(super) mod unchanged;
