//! A page: which listing, which generation, which items.

pub(super) mod fills;
pub(super) mod fragments;
pub(super) mod from_l1;
pub(super) mod oldest_stale;
pub(super) mod page;
pub(super) mod pins;
pub(super) mod read;
pub(super) mod read_ahead;
pub(super) mod selection;
pub(super) mod without_redis;
