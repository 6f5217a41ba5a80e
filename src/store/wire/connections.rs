//! The connections of a store: several to read through, one for large replies, one to write.
//!
//! Replies on one connection come one after the other, so a small one behind a large one waits for all of it. Therefore large replies
//! have a connection of their own. All reads pass a [breaker](crate::store::health::breaker): when Redis does not answer, a call fails
//! at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::watch;

use super::{commands::Commands, connection::Connection, per_worker::NearConnections, reply};
use crate::store::{error::StoreError, health::breaker::Breaker, scripts::Script};

/// The time-out of calls that write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How much a reply may be, as far as the asker can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplySize {
    /// A head, a few chunks.
    Small,
    /// So much that others should not wait behind it.
    Large,
}

impl ReplySize {
    /// Chunks of a page of usual size; more are a large reply.
    const CHUNKS_MAX: u64 = 8;

    /// Of so many chunks.
    pub(crate) fn of_chunks(chunks: u64) -> Self {
        if chunks > Self::CHUNKS_MAX {
            Self::Large
        } else {
            Self::Small
        }
    }
}

/// Several to read through, for one connection is one task that reads every reply; one for large replies; one to write and
/// to claim.
pub(crate) struct Connections {
    reads: Box<[Arc<Connection>]>,
    large: Arc<Connection>,
    write: Arc<Connection>,
    /// Those that live on runtimes of their own.
    pub near: Arc<NearConnections>,
    next: AtomicUsize,
    read_timeout: Duration,
    breaker: Mutex<Breaker>,
    /// Whether the breaker is open.
    open: watch::Sender<bool>,
}

impl Connections {
    pub(crate) fn new(reads: Vec<Connection>, large: Connection, write: Connection, read_timeout: Duration) -> Self {
        Self {
            reads: reads.into_iter().map(Arc::new).collect(),
            large: large.into(),
            write: write.into(),
            near: Arc::default(),
            next: AtomicUsize::new(0),
            read_timeout,
            breaker: Mutex::default(),
            open: watch::Sender::new(false),
        }
    }

    /// Whether pages can be read.
    pub(crate) fn is_up(&self) -> bool {
        self.reads.iter().any(|connection| connection.is_live())
    }

    /// Whether a read would be sent now.
    pub(crate) fn admits_reads(&self) -> bool {
        self.is_up() && self.breaker.lock().admits(Instant::now())
    }

    /// Returns once the breaker is open.
    pub(crate) async fn broken(&self) {
        // The sender is ours.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Reads in one turn.
    pub(crate) async fn read(
        &self,
        operation: &'static str,
        commands: impl Into<Commands>,
    ) -> Result<Vec<Value>, StoreError> {
        let replies = self.read_raw(ReplySize::Small, operation, commands.into()).await?;
        replies.iter().map(|bytes| reply::value(bytes, operation)).collect()
    }

    /// Reads with one command about a key. An error of the server is an error.
    pub(crate) async fn read_one(
        &self,
        operation: &'static str,
        key: &str,
        command: &Cmd,
    ) -> Result<Value, StoreError> {
        let replies = self.read(operation, command).await?;
        reply::answered(replies.into_iter().next().unwrap_or_default(), operation, key)
    }

    /// Reads in one turn; gives the replies as they came, which may be large.
    pub(crate) async fn read_raw(
        &self,
        size: ReplySize,
        operation: &'static str,
        commands: Commands,
    ) -> Result<Vec<Bytes>, StoreError> {
        let connection = self.reading(size);
        if !connection.is_live() {
            // The call fails at once, and says nothing that the breaker must know.
            return connection.ask(operation, commands, self.read_timeout).await;
        }
        if !self.breaker.lock().admit(Instant::now()) {
            connection.count_refused();
            return Err(StoreError::Unavailable {
                operation,
                source: None,
            });
        }
        let answer = connection.ask(operation, commands, self.read_timeout).await;
        let open = {
            let mut breaker = self.breaker.lock();
            match &answer {
                // It answers, and more than enough.
                Ok(_) | Err(StoreError::TooLarge { .. }) => breaker.succeed(),
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

    /// The connection for a read: a large one goes where nothing waits behind it; else to the connection that lives on this
    /// runtime, because there the caller and the connection's task are one thread; else in rotation.
    fn reading(&self, size: ReplySize) -> Arc<Connection> {
        if size == ReplySize::Large && self.large.is_live() {
            return self.large.clone();
        }
        if let Some(near) = self.near.find().filter(|near| near.is_live()) {
            return near;
        }
        let from = self.next.fetch_add(1, Ordering::Relaxed);
        let rotation = (0..self.reads.len()).map(|at| from.wrapping_add(at) % self.reads.len());
        rotation
            .map(|at| &self.reads[at])
            .find(|connection| connection.is_live())
            // The writing connection may be live where no reading one is.
            .unwrap_or(&self.write)
            .clone()
    }

    /// Whether what is written may have no replies, see [`Commands::begin_quiet`].
    pub(crate) fn writes_quietly(&self) -> bool {
        self.write.keeps_quiet()
    }

    /// Writes in one turn.
    pub(crate) async fn write(
        &self,
        operation: &'static str,
        commands: impl Into<Commands>,
    ) -> Result<Vec<Value>, StoreError> {
        self.write.pipeline(operation, commands.into(), WRITE_TIMEOUT).await
    }

    /// Writes in one turn. An error of the server is an error; `key` is the one that the commands are about.
    pub(crate) async fn change(
        &self,
        operation: &'static str,
        key: &str,
        commands: &Pipeline,
    ) -> Result<(), StoreError> {
        reply::done(self.write(operation, commands).await?, operation, key)
    }

    /// Runs a script about a key. An error of the server is an error.
    pub(crate) async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        call: &Cmd,
        key: &str,
    ) -> Result<Value, StoreError> {
        reply::answered(self.script(operation, script, call).await?, operation, key)
    }

    /// Runs a script on the writing connection.
    pub(crate) async fn script(
        &self,
        operation: &'static str,
        script: &Script,
        call: &Cmd,
    ) -> Result<Value, StoreError> {
        self.write.script(operation, script, call, WRITE_TIMEOUT).await
    }

    /// Runs a script several times in one turn on the writing connection.
    pub(crate) async fn scripts(
        &self,
        operation: &'static str,
        script: &Script,
        calls: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        self.write.scripts(operation, script, calls, WRITE_TIMEOUT).await
    }
}
