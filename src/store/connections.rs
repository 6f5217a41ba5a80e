//! The connections of a store: several to read through, one to write.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redis::{Cmd, Pipeline, Value};

use super::{connection::Connection, error::StoreError, scripts::Script};

/// The time-out of calls that write.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Several to read through, for one connection is one task that parses every reply; one to write and to claim.
pub(super) struct Connections {
    reads: Box<[Connection]>,
    write: Connection,
    next: AtomicUsize,
    read_timeout: Duration,
}

impl Connections {
    pub fn new(reads: Box<[Connection]>, write: Connection, read_timeout: Duration) -> Self {
        Self {
            reads,
            write,
            next: AtomicUsize::new(0),
            read_timeout,
        }
    }

    /// Whether pages can be read.
    pub fn is_up(&self) -> bool {
        self.reads.iter().any(Connection::is_live)
    }

    /// Reads in one turn, through the live connections in rotation.
    pub async fn read(&self, operation: &'static str, commands: &Pipeline) -> Result<Vec<Value>, StoreError> {
        let from = self.next.fetch_add(1, Ordering::Relaxed);
        let rotation = (0..self.reads.len()).map(|at| from.wrapping_add(at) % self.reads.len());
        let first_live = rotation
            .map(|at| &self.reads[at])
            .find(|connection| connection.is_live());
        first_live
            // The writing connection may be live where no reading one is; otherwise the call fails at once.
            .unwrap_or(&self.write)
            .pipeline(operation, commands, self.read_timeout)
            .await
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
