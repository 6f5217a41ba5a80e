//! What is kept in Redis, and the only code that speaks to it.
//!
//! ```text
//! a page:     pages ─► connection ─► link    HMGET and XRANGE in one turn, no script
//! a refresh:  draw ─► generations ─► publish the right to write, the stream written aside, the head moved;
//!                              or ─► confirm what is kept is what the origin still has
//! a change:   announcements ─► subscriber    heard on every node; followed_logs decides what was missed
//! ```
//! Every key is named in `keys`, every script is a file under `scripts/`; `docs/redis-layout.md` tells what lies where.

use std::{future::Future, sync::Arc, time::Duration};

use self::{
    health::liveness::Liveness,
    layout::{keys::Keys, seen::Seen},
    leases::Keeper,
    wire::{address::Server, clock::Clock, connections::Connections},
};
use crate::{listing::Timestamp, telemetry::Metrics};

mod connect_error;
#[cfg(any(test, fuzzing))]
mod decode_anything;
mod error;
mod health;
mod hearing;
mod layout;
mod leases;
mod reading;
mod records;
mod rights;
mod scripts;
#[cfg(test)]
pub(crate) mod simulated;
mod start;
mod wire;
mod writing;

#[cfg(any(test, fuzzing))]
pub(crate) use self::decode_anything::decode_anything;

pub use self::{
    connect_error::ConnectError,
    error::StoreError,
    health::refusals::Refused,
    layout::{
        announcements::{Announcement, Heard},
        keys::PARTITIONS,
    },
    leases::{Lease, LeaseState},
    reading::pages::{Description, PinnedRead},
    records::{
        coalesced::ReadEnd,
        due::{Claim, LATER_A_PARTITION},
        failures::{Emptiness, Failing, Failure},
        footprint::{Footprint, StreamSize},
        freezes::{FREEZES_MAX, Freeze},
        warm_ups::WarmUpRecord,
    },
    wire::{
        per_worker::ReadsNearby,
        private_server::{PrivateServer, PrivateServerError},
    },
    writing::{
        confirm::{Confirmation, Confirmed, Kept},
        draw::{Drawn, DrawnFor, Grant},
        generations::{FinishedGeneration, GenerationWriter},
        publish::Published,
    },
};

/// How to reach Redis.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `redis://`, `rediss://`, `unix://` or `redis+unix://`; may hold a password.
    pub url: String,
    /// Stands in every key and channel. Without braces, which would move the hash tag.
    pub prefix: String,
    /// The time-out of calls that read.
    pub read_timeout: Duration,
    /// Connections to read through where no worker has one of its own: min(cores, 4) is enough.
    pub read_connections: usize,
    /// Bytes of one reply of Redis, at most. One that is larger ends its connection.
    pub reply_max: usize,
}

/// A handle; clones share the connections. What it spawns lives on the runtime that it was connected on.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    server: Server,
    keys: Keys,
    connections: Connections,
    clock: Arc<Clock>,
    seen: Arc<Seen>,
    leases: Arc<Keeper>,
    liveness: Arc<Liveness>,
    runtime: tokio::runtime::Handle,
}

impl Store {
    /// Connects and checks that the server and the prefix can be used; takes three seconds at most to say that they cannot.
    pub async fn connect(options: StoreOptions, metrics: Arc<Metrics>) -> Result<Self, ConnectError> {
        let server =
            Server::parse(&options.url, options.reply_max).map_err(|error| ConnectError::BadUrl(error.to_string()))?;
        let keys = Keys::new(&options.prefix);
        let liveness = Liveness::new(metrics);
        let (connections, timeout) = (options.read_connections, options.read_timeout);
        let started = start::start(&server, &keys, connections, timeout, &liveness).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                leases: Keeper::new(server.clone(), liveness.clone()),
                liveness,
                server,
                keys,
                connections: started.connections,
                clock: started.clock,
                seen: Arc::new(Seen::new()),
                runtime: tokio::runtime::Handle::current(),
            }),
        })
    }

    /// Redis's time: TIME at connection plus a monotonic offset, corrected by heartbeats.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Whether pages can be read from Redis at this moment.
    pub fn is_up(&self) -> bool {
        self.inner.connections.is_up()
    }

    /// Whether a page would be asked of Redis now: it is up, and its [circuit breaker](breaker) lets a call through.
    pub fn admits_reads(&self) -> bool {
        self.inner.connections.admits_reads()
    }

    /// Whether Redis refused the last write for being full.
    pub fn is_full(&self) -> bool {
        self.inner.liveness.is_full()
    }

    /// What Redis refuses although it answers.
    pub fn refused(&self) -> Vec<Refused> {
        self.inner.liveness.refusals.all()
    }

    /// Whether Redis refuses new connections, and none is left.
    pub fn refuses_connections(&self) -> bool {
        !self.is_up() && self.inner.liveness.refusals.of_connections().is_some()
    }

    /// Whether this process follows announcements, and does not hear them now.
    pub fn is_deaf(&self) -> bool {
        self.inner.liveness.is_deaf()
    }

    /// Returns once reads have failed so often that they fail at once.
    pub async fn broken(&self) {
        self.inner.connections.broken().await;
    }

    /// Runs work that belongs to nobody's request. Each ends by itself, with a time-out or with its receiver.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(work);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Store({} at {})",
            self.inner.keys.prefix(),
            self.inner.server.address()
        )
    }
}
