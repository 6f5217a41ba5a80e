//! Moves: which heads have moved, for the node that works changes off. It keeps which listing holds which items.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

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
    histories: AtomicU64,
}

impl Moves {
    /// A head has moved.
    pub(crate) fn note(&self, listing: &ListingKey, head: &HeadState) {
        if let Some(moved) = &mut *self.moved.lock() {
            // This node's own publish may be noted after a later one of another node that was heard meanwhile.
            let newest = moved.heads.entry(listing.clone()).or_insert_with(|| head.clone());
            if head.supersedes(newest) {
                *newest = head.clone();
            }
        }
    }

    /// Announcements may have been missed.
    pub(crate) fn lose(&self) {
        if let Some(moved) = &mut *self.moved.lock() {
            moved.any = true;
        }
        self.changes.notify_one();
    }

    /// Redis has another history: where its clock was set back too, changes may have smaller ids than those that were read before.
    pub(crate) fn begin_history(&self) {
        self.histories.fetch_add(1, Ordering::AcqRel);
        self.lose();
    }

    /// Counts the histories that were heard of.
    pub(crate) fn history(&self) -> u64 {
        self.histories.load(Ordering::Acquire)
    }

    /// The message that changes were recorded, or one of [`Moves::barrier`].
    pub(crate) fn hear(&self, nonce: u64) {
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
        let heard = self.expect(nonce);
        let woken = store.changes.wake(nonce).await;
        let is_heard = woken.is_ok() && timeout(BARRIER_TIMEOUT, heard).await.is_ok();
        self.give_up(nonce);
        woken.map(|()| is_heard)
    }

    /// Completes when the message with this number is heard.
    pub(crate) fn expect(&self, nonce: u64) -> oneshot::Receiver<()> {
        let (sender, heard) = oneshot::channel();
        self.awaited.lock().insert(nonce, sender);
        heard
    }

    /// The message is not waited for any more.
    pub(crate) fn give_up(&self, nonce: u64) {
        self.awaited.lock().remove(&nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Generation;

    #[test]
    fn a_head_that_is_noted_late_hides_no_later_one() {
        let moves = Moves::default();
        let listing = ListingKey::parse("category:BREAD/price").unwrap();
        let head = |id| HeadState::Deleted(Generation { id, nonce: 1 });
        moves.note(&listing, &head(1));
        assert!(moves.take().heads.is_empty(), "nobody wants them yet");
        moves.begin();
        moves.note(&listing, &head(5));
        moves.note(&listing, &head(3));
        assert_eq!(moves.take().heads[&listing], head(5));
    }
}
