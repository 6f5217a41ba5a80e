//! Followers: clients with a live subscription to a family, in one sort or in all.
//!
//! A follower has a short queue. A follower that does not empty it is cut, and gets the newest state when it returns.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    engine::error::EngineError,
    listing::{Family, Generation, HeadState, ListingKey, SortName},
    store::Announcement,
    telemetry::Metrics,
};

/// Events that wait for one follower; with one more it is cut.
const QUEUE_MAX: usize = 64;

/// One event of a live subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A generation became current.
    Published {
        /// Which listing.
        listing: ListingKey,
        /// The generation.
        generation: Generation,
        /// Its items.
        total: u64,
    },
    /// The listing was deleted.
    Deleted {
        /// Which listing.
        listing: ListingKey,
        /// The delete's generation.
        generation: Generation,
    },
}

impl Event {
    /// The event of a head; `None` for "no such listing".
    pub fn of(listing: &ListingKey, head: &HeadState) -> Option<Self> {
        let listing = listing.clone();
        match head {
            HeadState::Absent => None,
            HeadState::Deleted(generation) => Some(Self::Deleted {
                listing,
                generation: *generation,
            }),
            HeadState::Live(head) => Some(Self::Published {
                listing,
                generation: head.generation,
                total: head.total,
            }),
        }
    }

    fn listing(&self) -> &ListingKey {
        match self {
            Self::Published { listing, .. } | Self::Deleted { listing, .. } => listing,
        }
    }

    fn generation(&self) -> Generation {
        match self {
            Self::Published { generation, .. } | Self::Deleted { generation, .. } => *generation,
        }
    }
}

/// All followers, by the family they follow.
pub struct Followers {
    followers_max: usize,
    metrics: Arc<Metrics>,
    next_number: AtomicU64,
    by_family: Mutex<ByFamily>,
}

#[derive(Default)]
struct ByFamily {
    count: usize,
    closed: bool,
    followers: HashMap<Family, Vec<Queue>>,
}

struct Queue {
    number: u64,
    sort: Option<SortName>,
    sender: mpsc::Sender<Event>,
}

/// A live subscription; leaves when dropped.
pub struct Follower {
    followers: Arc<Followers>,
    family: Family,
    number: u64,
    receiver: mpsc::Receiver<Event>,
    /// The known state when it came.
    first: VecDeque<Event>,
    /// The greatest generation id sent for each listing, so that nothing is sent twice or backwards.
    told: HashMap<ListingKey, u64>,
}

impl Followers {
    /// At most so many followers at once.
    pub(crate) fn new(followers_max: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            followers_max,
            metrics,
            next_number: AtomicU64::new(0),
            by_family: Mutex::default(),
        }
    }

    /// Follows a family, in one sort or in all.
    pub(crate) fn follow(self: &Arc<Self>, family: &Family, sort: Option<&SortName>) -> Result<Follower, EngineError> {
        let mut by_family = self.by_family.lock();
        if by_family.count >= self.followers_max || by_family.closed {
            return Err(EngineError::Overloaded {
                retry_after: Duration::from_secs(3),
            });
        }
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        by_family.count += 1;
        self.metrics.followers.inc();
        by_family.followers.entry(family.clone()).or_default().push(Queue {
            number,
            sort: sort.cloned(),
            sender,
        });
        Ok(Follower {
            followers: self.clone(),
            family: family.clone(),
            number,
            receiver,
            first: VecDeque::new(),
            told: HashMap::new(),
        })
    }

    /// Tells the followers of a listing. A stream of a descending order is no listing of its own to them.
    pub(crate) fn publish(&self, announcement: &Announcement) {
        if announcement.listing.stored.own_desc {
            return;
        }
        let mut by_family = self.by_family.lock();
        let Some(queues) = by_family.followers.get_mut(&announcement.listing.family) else {
            return;
        };
        let Some(event) = Event::of(&announcement.listing, &announcement.head) else {
            return;
        };
        let concerns = |queue: &Queue| {
            queue
                .sort
                .as_ref()
                .is_none_or(|sort| sort == announcement.listing.sort())
        };
        // A full queue is a slow follower: without its sender its stream ends. It is counted out when it is dropped.
        queues.retain(|queue| !concerns(queue) || queue.sender.try_send(event.clone()).is_ok());
    }

    /// Ends every subscription, and takes no more: they would hold up a drain.
    pub fn close(&self) {
        let mut by_family = self.by_family.lock();
        by_family.closed = true;
        by_family.followers.clear();
    }
}

impl Follower {
    /// Puts what is known now before all that comes.
    pub fn begin_with(&mut self, event: Event) {
        if self.is_news(&event) {
            self.first.push_back(event);
        }
    }

    /// The next event; `None` when the follower was too slow and is cut, or the service shuts down.
    pub async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.first.pop_front() {
            return Some(event);
        }
        loop {
            let event = self.receiver.recv().await?;
            if self.is_news(&event) {
                return Some(event);
            }
        }
    }

    fn is_news(&mut self, event: &Event) -> bool {
        let told = self.told.entry(event.listing().clone()).or_default();
        let id = event.generation().id;
        let news = id > *told;
        *told = (*told).max(id);
        news
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut by_family = self.followers.by_family.lock();
        by_family.count -= 1;
        self.followers.metrics.followers.dec();
        if let Some(queues) = by_family.followers.get_mut(&self.family) {
            queues.retain(|queue| queue.number != self.number);
            if queues.is_empty() {
                by_family.followers.remove(&self.family);
            }
        }
    }
}
