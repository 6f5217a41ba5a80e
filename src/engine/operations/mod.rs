//! Writes and the commands of an operator: push, delete, rollback, freeze, explain.

pub(super) mod freezing;
pub(super) mod inspect;
pub(super) mod read_counts;
pub(super) mod rollback;
pub(super) mod writes;
