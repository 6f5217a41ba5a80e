//! Announcements of other nodes: heard live, or read from logs.

pub(super) mod followed_logs;
pub(super) mod log;
pub(super) mod log_position;
pub(super) mod subscriber;
