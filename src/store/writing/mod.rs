//! Generations: drawn, written aside, published, confirmed, deleted.
//!
//! - `draw` gives the right to write: ids, and the lease of a family, which `leases` extends until it is given back.
//! - `aside` writes generations that nobody reads yet.
//! - `lives` names generations to scripts, which lengthen and end their lives.
//! - `writes` moves heads. `publish`, `confirm` and `delete` make the calls of its scripts and read their answers.
//!
//! What must hold: a head never moves to an older generation; only a whole generation is published; a refresh publishes only under
//! its own lease; nothing that is written aside is ever without an expiry.

pub(super) mod aside;
pub(super) mod confirm;
pub(super) mod delete;
pub(super) mod draw;
pub(super) mod leases;
pub(super) mod lives;
pub(super) mod publish;
pub(super) mod writes;
