//! From Redis into L1: heads, chunks, and pushed listings that are gone.

pub(super) mod chunks;
pub(super) mod heads;
pub(super) mod lost_pushed;
pub(super) mod pushed_sorts;
