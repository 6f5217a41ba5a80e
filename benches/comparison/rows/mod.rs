//! What is compared, a file a row of the bench.

pub mod filters;
pub mod from_redis;
pub mod herd;
pub mod layouts;
pub mod memory;
pub mod page_in_l1;
pub mod position_and_length;
pub mod trace;
