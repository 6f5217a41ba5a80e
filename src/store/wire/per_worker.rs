//! Connections that live where their askers do: on a runtime of one thread.
//!
//! A worker that asks through a connection of another runtime is woken by another thread, and wakes one, for each page.
//! Through one of its own it does neither, and what it asks in one turn goes out together.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio::runtime::{Handle, Id};

use super::connection::{Connection, Heartbeat};
use crate::store::Store;

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
}

/// As long as it lives, reads that are asked for on its runtime go through a connection there.
#[must_use]
pub struct ReadsNearby {
    all: Arc<NearConnections>,
    this: Arc<Connection>,
}

impl Drop for ReadsNearby {
    fn drop(&mut self) {
        self.all.0.write().retain(|(_, other)| !Arc::ptr_eq(other, &self.this));
    }
}

impl Store {
    /// Opens a connection on the runtime that this is called on, for what is read there. It is opened in the background;
    /// until then, and whenever it is lost, reads go through the others.
    pub fn read_nearby(&self) -> ReadsNearby {
        let inner = &self.inner;
        let heartbeat = Heartbeat {
            clock: Some(inner.clock.clone()),
            dry_write: None,
        };
        let this = Connection::start(inner.server.clone(), inner.liveness.clone(), heartbeat);
        let this = Arc::new(this);
        let all = inner.connections.near.clone();
        all.0.write().push((Handle::current().id(), this.clone()));
        ReadsNearby { all, this }
    }
}
