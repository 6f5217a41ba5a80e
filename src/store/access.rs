//! One Redis, as all parts of a store use it: connections, the names of keys, the clock, and the ids seen so far.

use std::sync::Arc;

use super::{
    dictionaries::Dictionaries,
    health::liveness::Liveness,
    layout::{keys::Keys, seen::Seen},
    wire::{address::Server, clock::Clock, connections::Connections},
};

/// Every part of a store holds it.
pub(crate) struct Access {
    pub server: Server,
    pub keys: Keys,
    pub redis: Connections,
    pub clock: Arc<Clock>,
    pub seen: Arc<Seen>,
    pub liveness: Arc<Liveness>,
    pub dictionaries: Dictionaries,
    /// Work that no request waits for runs here. Each task ends by itself: by a time-out, or with its receiver.
    pub runtime: tokio::runtime::Handle,
}
