//! The store's handle: its parts as fields, and how Redis is doing.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    access::Access,
    connect_error::ConnectError,
    dictionaries::Dictionaries,
    error::StoreError,
    health::{liveness::Liveness, refusals::Refused},
    hearing::{log_reader::LogReader, subscriber},
    layout::{announcements::Heard, keys::Keys, seen::Seen},
    reading::{exports::ExportReads, heads::HeadReads, pages::PageReads, worker_reads::ReadsNearby},
    records::{
        changes::ChangeRecords,
        coalesced::CoalescedRequests,
        due::{DueTimes, instants::Instants},
        evictions,
        failures::FailureRecords,
        footprint::Footprint,
        freezes::FreezeRecords,
        names::NameIndex,
        reads::ReadRecords,
        warm_ups::WarmUpRecords,
    },
    start,
    wire::address::Server,
    writing::{draw::Draws, writes::GenerationWrites},
};
use crate::{listing::Timestamp, telemetry::Metrics};

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

/// A handle; clones share the connections. Its tasks run on the runtime that it was connected on.
#[derive(Clone)]
pub struct Store {
    access: Arc<Access>,
    /// Heads of listings.
    pub heads: HeadReads,
    /// Items of generations.
    pub pages: PageReads,
    /// The right to write: generations and leases.
    pub draws: Draws,
    /// What moves heads: publishing, confirming, deleting.
    pub writes: GenerationWrites,
    /// Which listings there are.
    pub names: NameIndex,
    /// When families are due.
    pub due: DueTimes,
    /// Requests for refreshes that are coalesced.
    pub coalesced: CoalescedRequests,
    /// Failed refreshes.
    pub failures: FailureRecords,
    /// Globs of names that are not refreshed.
    pub freezes: FreezeRecords,
    /// Counts of reads.
    pub reads: ReadRecords,
    /// Changes that shops tell of.
    pub changes: ChangeRecords,
}

impl Store {
    /// Connects, and checks that the server and the prefix can be used. A failure is reported within three seconds.
    pub async fn connect(options: StoreOptions, metrics: Arc<Metrics>) -> Result<Self, ConnectError> {
        let server =
            Server::parse(&options.url, options.reply_max).map_err(|error| ConnectError::BadUrl(error.to_string()))?;
        let keys = Keys::new(&options.prefix);
        let liveness = Liveness::new(metrics);
        let (connections, timeout) = (options.read_connections, options.read_timeout);
        let started = start::start(&server, &keys, connections, timeout, &liveness).await?;
        let access = Arc::new(Access {
            server,
            keys,
            redis: started.connections,
            clock: started.clock,
            seen: Arc::new(Seen::new()),
            liveness,
            dictionaries: Dictionaries::new(),
            runtime: tokio::runtime::Handle::current(),
        });
        Ok(Self {
            heads: HeadReads(access.clone()),
            pages: PageReads(access.clone()),
            draws: Draws::new(access.clone()),
            writes: GenerationWrites(access.clone()),
            names: NameIndex(access.clone()),
            due: DueTimes(access.clone()),
            coalesced: CoalescedRequests(access.clone()),
            failures: FailureRecords(access.clone()),
            freezes: FreezeRecords(access.clone()),
            reads: ReadRecords(access.clone()),
            changes: ChangeRecords(access.clone()),
            access,
        })
    }

    /// Redis's time: TIME at connection plus a monotonic offset, corrected by heartbeats.
    pub fn now(&self) -> Timestamp {
        self.access.clock.now()
    }

    /// Whether pages can be read from Redis at this moment.
    pub fn is_up(&self) -> bool {
        self.access.redis.is_up()
    }

    /// Whether a page would be asked of Redis now: it is up, and its [circuit breaker](super::health::breaker) lets a call through.
    pub fn admits_reads(&self) -> bool {
        self.access.redis.admits_reads()
    }

    /// Whether Redis refused the last write for being full.
    pub fn is_full(&self) -> bool {
        self.access.liveness.is_full()
    }

    /// The refusals of a Redis that answers.
    pub fn refused(&self) -> Vec<Refused> {
        self.access.liveness.refusals.all()
    }

    /// Whether Redis refuses new connections, and none is left.
    pub fn refuses_connections(&self) -> bool {
        !self.is_up() && self.access.liveness.refusals.of_connections().is_some()
    }

    /// Whether this process follows announcements, and does not hear them now.
    pub fn is_deaf(&self) -> bool {
        self.access.liveness.is_deaf()
    }

    /// Returns once reads have failed so often that they fail at once.
    pub async fn broken(&self) {
        self.access.redis.broken().await;
    }

    /// Starts to follow announcements. To be called once; ends when the receiver is dropped.
    ///
    /// The first message is [`Heard::NewEpoch`]: heads that were loaded before the subscription stood may be old.
    pub fn announcements(&self) -> mpsc::Receiver<Heard> {
        subscriber::start(&self.access)
    }

    /// Opens a connection on the current runtime, for the reads of that runtime. It opens in the background; until then, and
    /// whenever it is lost, reads go through the others.
    pub fn read_nearby(&self) -> ReadsNearby {
        ReadsNearby::open(&self.access)
    }

    /// How many keys the server has evicted since its start, keys of other programs included; `None` when the user may not ask.
    pub async fn evicted_keys(&self) -> Result<Option<u64>, StoreError> {
        evictions::count(&self.access).await
    }

    /// When something of a family begins or ends next.
    pub fn instants(&self) -> Instants {
        Instants(self.access.clone())
    }

    /// The logs of announcements, as a queue.
    pub fn logs(&self) -> LogReader {
        LogReader(self.access.clone())
    }

    /// Warm-up jobs.
    pub fn warm_ups(&self) -> WarmUpRecords {
        WarmUpRecords(self.access.clone())
    }

    /// Whole generations, for exports.
    pub fn exports(&self) -> ExportReads {
        ExportReads(self.access.clone())
    }

    /// An empty estimate of what listings will take in Redis.
    pub fn footprint(&self) -> Footprint {
        Footprint::new(self.access.clone())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Store({} at {})",
            self.access.keys.prefix(),
            self.access.server.address()
        )
    }
}
