//! Connections to Redis: addresses, the protocol, commands and replies.

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
pub(super) mod private_server;
pub(super) mod reply;
pub(super) mod resp;
pub(super) mod traffic;
