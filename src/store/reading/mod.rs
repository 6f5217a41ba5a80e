//! Heads and pages, read in one turn.

pub(super) mod heads;
pub(super) mod pages;
