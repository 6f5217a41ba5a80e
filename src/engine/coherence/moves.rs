//! Moves: which heads have moved, for the node that works changes off. It keeps which listing holds which items.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use crate::{
    listing::{HeadState, ListingKey},
    store::{Store, StoreError},
};

/// A message to oneself takes no longer, or the subscription does not stand.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(1);

/// The moves since the last call.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// The newest head of each listing.
    pub heads: HashMap<ListingKey, HeadState>,
    /// Whether others may have moved too.
    pub any: bool,
}

/// Collects moves while somebody wants them.
#[derive(Default)]
pub(crate) struct Moves {
    moved: Mutex<Option<Moved>>,
    awaited: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    changes: Notify,
}

impl Moves {
    /// A head has moved.
    pub(super) fn note(&self, listing: &ListingKey, head: &HeadState) {
        if let Some(moved) = &mut *self.moved.lock() {
            moved.heads.insert(listing.clone(), head.clone());
        }
    }

    /// Announcements may have been missed.
    pub(super) fn lose(&self) {
        if let Some(moved) = &mut *self.moved.lock() {
            moved.any = true;
        }
        self.changes.notify_one();
    }

    /// The message that changes were recorded, or one of [`Moves::barrier`].
    pub(super) fn hear(&self, nonce: u64) {
        match self.awaited.lock().remove(&nonce) {
            // One that gave up waiting is no loss.
            Some(awaited) => drop(awaited.send(())),
            None => self.changes.notify_one(),
        }
    }

    /// Begins to collect.
    pub(crate) fn begin(&self) {
        *self.moved.lock() = Some(Moved::default());
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        *self.moved.lock() = None;
    }

    /// The moves since the last call.
    pub(crate) fn take(&self) -> Moved {
        self.moved.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns when changes were recorded since it returned last.
    pub(crate) async fn recorded(&self) {
        self.changes.notified().await;
    }

    /// Returns once all announcements that were made before this call were heard; false where that is not known.
    pub(crate) async fn barrier(&self, store: &Store) -> Result<bool, StoreError> {
        let nonce = fastrand::u64(1..);
        let (sender, heard) = oneshot::channel();
        self.awaited.lock().insert(nonce, sender);
        let woken = store.changes.wake(nonce).await;
        let is_heard = woken.is_ok() && timeout(BARRIER_TIMEOUT, heard).await.is_ok();
        self.awaited.lock().remove(&nonce);
        woken.map(|()| is_heard)
    }
}
