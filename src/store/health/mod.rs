//! How Redis does, as all connections of a store know it together: whether it answers (`liveness`, and `breaker`, which decides whether to
//! ask at all), and what it refuses (`refusals`). A Redis that answers with an error is neither away nor a failing origin: its disk is
//! full, it became a replica, a right is missing. `docs/operating.md` lists these states, and a test makes each.

pub(super) mod breaker;
pub(super) mod liveness;
pub(super) mod refusals;
