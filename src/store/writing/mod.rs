//! Generations: drawn, written aside, published, confirmed, deleted.
//!
//! - `draw` gives the right to write: ids, and the lease of a family, which `leases` extends until it is given back.
//! - `generations` writes a stream that nobody reads yet, `finished` is what it leaves; `in_flight` has its pipelines on their way.
//!   `columns` are its sidecar's. A `base` saves what has not changed, and `whole` does without it where too much has.
//! - `lives` names generations to scripts, which lengthen and end their lives.
//! - `writes` moves heads. `publish`, `confirm` and `delete` make the calls of its scripts and read their answers.
//!
//! What must hold: a head never moves to an older generation; only a whole generation is published; a refresh publishes only under
//! its own lease; nothing that is written aside is ever without an expiry.

pub(super) mod base;
mod columns;
pub(super) mod confirm;
pub(super) mod delete;
pub(super) mod draw;
pub(super) mod finished;
pub(super) mod generations;
pub(super) mod in_flight;
pub(super) mod leases;
pub(super) mod lives;
pub(super) mod publish;
mod whole;
pub(super) mod writes;
