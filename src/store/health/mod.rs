//! How Redis does, as all connections of a store know it together.

pub(super) mod breaker;
pub(super) mod liveness;
pub(super) mod refusals;
