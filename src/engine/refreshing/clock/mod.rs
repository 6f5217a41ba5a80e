//! The clock: listings that change at an instant, such as when a promotion begins, though no row is written then.
//!
//! ```text
//! watch     finds instants that have come, and has their families patched or read
//! asking    asks for the next instants, with each read and patch, and writes them
//! ```
//!
//! # What must hold
//! - **Ask, then read.** The next instants are asked for before the items: an instant that passes meanwhile is then still told of.
//! - **Redis knows an instant before a head tells of it**, and forgets it only after the heads of what was read then. A node may be killed
//!   anywhere: the instant is claimed again.
//! - **A patch takes all items whose instants have come**, whatever it was made for, and keeps those of the next seconds: its answer may
//!   leave them out where the database's clock is ahead.
//! - **In doubt it is a full read**: where a row names no item, where the value is lost, where rows cannot be read.

pub(in crate::engine) mod asking;
pub(in crate::engine) mod watch;
