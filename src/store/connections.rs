//! The connections of a store: several to read through, one for what is large, one to write.
//!
//! Replies on one connection come one after the other, so a small one behind a large one waits for all of it. Hence what
//! may be large has a connection of its own. All reads pass a [breaker](super::breaker): where Redis does not answer, a call
//! fails at once.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::watch;

use super::{breaker::Breaker, connection::Connection, error::StoreError, scripts::Script};

/// The time-out of calls that write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How much a reply may be, as far as the asker can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplySize {
    /// A head, a few chunks.
    Small,
    /// So much that others should not wait behind it.
    Large,
}

impl ReplySize {
    /// Chunks of a page of usual size; more are a large reply.
    const CHUNKS_MAX: u64 = 8;

    /// Of so many chunks.
    pub fn of_chunks(chunks: u64) -> Self {
        if chunks > Self::CHUNKS_MAX {
            Self::Large
        } else {
            Self::Small
        }
    }
}

/// Several to read through, for one connection is one task that parses every reply; one for large replies; one to write and
/// to claim.
pub(super) struct Connections {
    reads: Box<[Connection]>,
    large: Connection,
    write: Connection,
    next: AtomicUsize,
    read_timeout: Duration,
    breaker: Mutex<Breaker>,
    /// Whether the breaker is open.
    open: watch::Sender<bool>,
}

impl Connections {
    pub fn new(reads: Box<[Connection]>, large: Connection, write: Connection, read_timeout: Duration) -> Self {
        Self {
            reads,
            large,
            write,
            next: AtomicUsize::new(0),
            read_timeout,
            breaker: Mutex::default(),
            open: watch::Sender::new(false),
        }
    }

    /// Whether pages can be read.
    pub fn is_up(&self) -> bool {
        self.reads.iter().any(Connection::is_live)
    }

    /// Whether a read would be sent now.
    pub fn admits_reads(&self) -> bool {
        self.is_up() && self.breaker.lock().admits(Instant::now())
    }

    /// Returns once the breaker is open.
    pub async fn broken(&self) {
        // The sender is ours.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Reads in one turn, through the live connections in rotation.
    pub async fn read(&self, operation: &'static str, commands: &Pipeline) -> Result<Vec<Value>, StoreError> {
        self.read_sized(ReplySize::Small, operation, commands).await
    }

    /// The same, where the reply may be large.
    pub async fn read_sized(
        &self,
        size: ReplySize,
        operation: &'static str,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        let connection = self.reading(size);
        if !connection.is_live() {
            // The call fails at once, and says nothing that the breaker must know.
            return connection.pipeline(operation, commands, self.read_timeout).await;
        }
        if !self.breaker.lock().admit(Instant::now()) {
            connection.count_refused();
            return Err(StoreError::Unavailable {
                operation,
                source: None,
            });
        }
        let answer = connection.pipeline(operation, commands, self.read_timeout).await;
        let open = {
            let mut breaker = self.breaker.lock();
            match &answer {
                Ok(_) => breaker.succeed(),
                Err(_) => breaker.fail(Instant::now()),
            }
            breaker.is_open()
        };
        let changed = self.open.send_if_modified(|was| std::mem::replace(was, open) != open);
        if changed && open {
            tracing::warn!("redis does not answer: reads fail at once until it does");
        } else if changed {
            tracing::info!("redis answers reads again");
        }
        answer
    }

    fn reading(&self, size: ReplySize) -> &Connection {
        if size == ReplySize::Large && self.large.is_live() {
            return &self.large;
        }
        let from = self.next.fetch_add(1, Ordering::Relaxed);
        let rotation = (0..self.reads.len()).map(|at| from.wrapping_add(at) % self.reads.len());
        rotation
            .map(|at| &self.reads[at])
            .find(|connection| connection.is_live())
            // The writing connection may be live where no reading one is.
            .unwrap_or(&self.write)
    }

    /// Writes in one turn.
    pub async fn write(&self, operation: &'static str, commands: &Pipeline) -> Result<Vec<Value>, StoreError> {
        self.write.pipeline(operation, commands, WRITE_TIMEOUT).await
    }

    /// Runs a script on the writing connection.
    pub async fn script(&self, operation: &'static str, script: &Script, call: &Cmd) -> Result<Value, StoreError> {
        self.write.script(operation, script, call, WRITE_TIMEOUT).await
    }

    /// Runs a script several times in one turn on the writing connection.
    pub async fn scripts(
        &self,
        operation: &'static str,
        script: &Script,
        calls: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        self.write.scripts(operation, script, calls, WRITE_TIMEOUT).await
    }
}
