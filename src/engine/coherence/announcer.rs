//! The effects of a moved head on this node: L1 learns of it, requests that wait for the listing wake up, followers hear of it.
//!
//! The publishing node comes by the same way as those that hear it from Redis, before it answers; hearing it again changes nothing.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::{followers::Followers, moves::Moves, touched::Touched};
use crate::{
    engine::fetching::{heads::Heads, lost_pushed::LostPushed, pushed_sorts::PushedSorts},
    listing::{Head, HeadState, ListingKey},
    store::{Announcement, Heard},
    telemetry::Metrics,
};

/// Applies announcements.
pub(crate) struct Announcer {
    heads: Arc<Heads>,
    pushed_sorts: Arc<PushedSorts>,
    lost_pushed: Arc<LostPushed>,
    followers: Arc<Followers>,
    metrics: Arc<Metrics>,
    waiting: Mutex<HashMap<ListingKey, Vec<oneshot::Sender<()>>>>,
    /// For the node that works changes off.
    pub moves: Moves,
    /// For the nodes that purge caches.
    pub touched: Touched,
}

impl Announcer {
    /// Nobody waits yet.
    pub(crate) fn new(
        heads: Arc<Heads>,
        pushed_sorts: Arc<PushedSorts>,
        lost_pushed: Arc<LostPushed>,
        followers: Arc<Followers>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            heads,
            pushed_sorts,
            lost_pushed,
            followers,
            metrics,
            waiting: Mutex::default(),
            moves: Moves::default(),
            touched: Touched::default(),
        }
    }

    /// Takes the subscriber's news. The `first` one says that it listens, by way of an epoch: earlier loads
    /// may have missed announcements.
    pub(crate) fn hear(&self, heard: &Heard, first: bool) {
        match heard {
            Heard::Announcement(announcement) => self.apply(announcement, false),
            Heard::Changes(nonce) => self.moves.hear(*nonce),
            Heard::NewEpoch if first => self.heads.begin_epoch(),
            Heard::NewEpoch => {
                tracing::warn!("redis was restarted, flushed or rewound: heads are read again before they are served");
                self.lose_heads();
                self.moves.begin_history();
            }
            Heard::Unreadable => {
                tracing::warn!(
                    "an announcement cannot be read, so another release, or a stranger, uses this prefix: heads are read again before they are served"
                );
                self.lose_heads();
            }
        }
    }

    fn lose_heads(&self) {
        self.metrics.epochs.inc();
        self.heads.begin_epoch();
        self.moves.lose();
        self.touched.note_all();
    }

    /// A head moved; `own`: by this node, which keeps the head even if nobody asked for the listing here yet.
    pub(crate) fn apply(&self, announcement: &Announcement, own: bool) {
        self.metrics.announcements.inc();
        self.moves.note(&announcement.listing, &announcement.head);
        self.touched.note(announcement.listing.name());
        let waiting = self.waiting.lock().remove(&announcement.listing);
        let insist = own || waiting.is_some();
        self.heads
            .announce(&announcement.listing, announcement.head.clone(), insist);
        self.pushed_sorts.forget(announcement.listing.name());
        self.lost_pushed.moved(announcement.listing.name(), &announcement.head);
        for waiter in waiting.into_iter().flatten() {
            // One that gave up waiting is no loss.
            let _ = waiter.send(());
        }
        self.followers.publish(announcement);
    }

    /// A head was found to be as new as its `as_of` says now. Other nodes see that when they read it next: there is nothing
    /// else to tell them.
    pub(crate) fn confirm(&self, listing: &ListingKey, head: Head) {
        let waiting = self.waiting.lock().remove(listing);
        self.heads.announce(listing, HeadState::Live(head), true);
        for waiter in waiting.into_iter().flatten() {
            let _ = waiter.send(());
        }
    }

    /// Completes when the listing's head moves next.
    pub(crate) fn next(&self, key: &ListingKey) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        let waiters = waiting.entry(key.clone()).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        receiver
    }

    /// Forgets those who gave up waiting.
    pub(crate) fn tidy(&self) {
        self.waiting.lock().retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
    }
}
