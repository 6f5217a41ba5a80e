//! Connections of workers: each lives on the runtime of its worker, which is one thread.
//!
//! A worker that reads through a connection of another runtime is woken by another thread, and wakes one, for each page.
//! Through its own it does neither, and its requests of one turn go out together.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::runtime::{Handle, Id};

use super::connection::Connection;

/// At most one a runtime counts: the first.
#[derive(Default)]
pub(crate) struct NearConnections(RwLock<Vec<(Id, Arc<Connection>)>>);

impl NearConnections {
    /// The connection of the runtime that this is called on.
    pub(crate) fn find(&self) -> Option<Arc<Connection>> {
        let near = self.0.read();
        // Where nobody has any, no runtime is looked up.
        if near.is_empty() {
            return None;
        }
        let here = Handle::try_current().ok()?.id();
        let found = near.iter().find(|(runtime, _)| *runtime == here);
        found.map(|(_, connection)| connection.clone())
    }

    /// Adds the connection of the runtime that this is called on.
    pub(crate) fn add(&self, connection: Arc<Connection>) {
        self.0.write().push((Handle::current().id(), connection));
    }

    pub(crate) fn remove(&self, connection: &Arc<Connection>) {
        self.0.write().retain(|(_, other)| !Arc::ptr_eq(other, connection));
    }
}
