//! Reads of one worker, through a connection on its own runtime.

use std::sync::Arc;

use crate::store::{
    access::Access,
    wire::{
        connection::{Connection, Heartbeat},
        per_worker::NearConnections,
    },
};

/// While it lives, reads of its runtime go through a connection there.
#[must_use]
pub struct ReadsNearby {
    all: Arc<NearConnections>,
    this: Arc<Connection>,
}

impl ReadsNearby {
    pub(crate) fn open(access: &Access) -> Self {
        let heartbeat = Heartbeat {
            clock: Some(access.clock.clone()),
            dry_write: None,
        };
        let this = Connection::start(access.server.clone(), access.liveness.clone(), heartbeat);
        let (all, this) = (access.redis.near.clone(), Arc::new(this));
        all.add(this.clone());
        Self { all, this }
    }
}

impl Drop for ReadsNearby {
    fn drop(&mut self) {
        self.all.remove(&self.this);
    }
}
