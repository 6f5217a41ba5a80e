//! Announcements of other nodes: heard live, or read from the logs.
//!
//! `subscriber` has the connection. `followed_logs` decides, without waiting for anything, what to apply and what to read, by one
//! `log_position` a partition; `log` reads entries. `log_reader` reads the logs for a node that purges caches.
//!
//! What must hold: an announcement is applied once and in its order, and a gap is either read from the log or begins a new epoch.

pub(super) mod followed_logs;
pub(super) mod log;
pub(super) mod log_position;
pub(super) mod log_reader;
pub(super) mod subscriber;
