//! Generations: drawn, written aside, published, confirmed, deleted.

pub(super) mod confirm;
pub(super) mod delete;
pub(super) mod draw;
pub(super) mod generations;
pub(super) mod in_flight;
pub(super) mod publish;
pub(super) mod renew;
