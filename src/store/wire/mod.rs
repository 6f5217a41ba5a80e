//! Connections to Redis.
//!
//! - `address` is where Redis is; `dial` opens a stream and says hello; `metered` bounds what the crate's own connections read.
//! - `link` is one open connection, `traffic` the task that moves its bytes. `connection` reopens it, `connections` are all of a store,
//!   `per_worker` those on workers' own runtimes.
//! - `commands` are written as they go out; `resp` finds the end of a reply and reads it in place, `reply` takes it apart into values,
//!   `info` is the answer to INFO; `clock` is Redis's time.
//!
//! What must hold: every call has a time-out and fails at once without a connection, and no reply is larger than `redis.reply_max`.
//!
//! The connections are our own, because the crate parses each reply into values: two allocations an item, on another thread than the
//! caller's. The crate still reads URLs and follows announcements. Replies of a connection come in order, so large ones have one of their own,
//! and writes another. While a server says READONLY, another connection is opened: its address may lead to the master by now.

pub(super) mod address;
pub(super) mod clock;
pub(super) mod commands;
pub(super) mod connection;
pub(super) mod connections;
pub(super) mod dial;
pub(super) mod info;
pub(super) mod link;
pub(super) mod metered;
pub(super) mod per_worker;
pub(super) mod reply;
pub(super) mod resp;
pub(super) mod traffic;
