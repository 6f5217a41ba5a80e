//! A node: what one process knows and is doing.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use super::{network::Operations, refreshes::Refresh, truth::Place};
use crate::{
    engine::head_table::{HeadTable, HeadTableLimits, Ticket},
    listing::{Chunk, Delta, Generation, HeadState, Window},
    store::{
        Heard,
        simulated::{Before, Client, From, SimulatedLease},
    },
};

/// How long a head is served without asking again, in milliseconds.
pub(super) const TTL_MS: u64 = 2000;

/// One life of a process.
pub(super) struct Node {
    pub life: u64,
    pub alive: bool,
    /// Its head table is smaller than there are listings.
    pub evicts: bool,
    /// Stands still until then, in microseconds.
    pub paused_until: u64,
    pub client: Client,
    pub table: HeadTable,
    pub chunks: BTreeMap<(Generation, u64), Chunk>,
    /// Loads of heads that may be joined, by place.
    pub loads: BTreeMap<Place, u64>,
    pub operations: Operations,
    /// Commands go over this connection: whatever was sent over an earlier one is not answered.
    pub connection: u64,
    pub subscription: Subscription,
    pub refreshes: BTreeMap<u64, Refresh>,
    /// Announcements were lost on the way to here, or late: until then its heads may be old.
    pub disturbed_until: u64,
    /// The greatest id of each listing that was applied in this epoch, and when.
    pub applied: BTreeMap<Place, (u64, u64)>,
    /// Counts epochs.
    pub epoch: u64,
}

/// How a node listens.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// Counts subscriptions; messages of an earlier one are not heard.
    pub number: u64,
    pub up: bool,
    /// Read before the next message is heard.
    pub reading: bool,
    /// A comparison is under way.
    pub comparing: bool,
    pub waiting: VecDeque<Vec<u8>>,
    /// Redis said who it is, and what was missed is applied.
    pub resumed: bool,
}

/// Somebody who follows links from the first page.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub place: Place,
    pub generation: Generation,
    pub total: u64,
    pub delta: Option<Arc<Delta>>,
    pub window: Window,
}

/// Somebody who waits for a page.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub place: Place,
    pub window: Window,
    /// How often the head was read again because its chunks were not there.
    pub tries: u32,
}

/// What a turn is for.
pub(super) enum Operation {
    Head {
        place: Place,
        ticket: Ticket,
        epoch: u64,
        waiting: Vec<Reader>,
    },
    Chunks {
        reader: Reader,
        head: HeadState,
        chunks: Range<u64>,
    },
    Pinned {
        walk: Walk,
        chunks: Range<u64>,
    },
    Subscribe {
        subscription: u64,
    },
    Log {
        subscription: u64,
        from: From,
        comparison: bool,
    },
    Newest {
        subscription: u64,
    },
    Claim,
    DueLater,
    Draw {
        place: Place,
        owner: Option<String>,
        nonce: u32,
        asked: u64,
    },
    Chunk {
        refresh: u64,
    },
    Before {
        refresh: u64,
    },
    Publish {
        refresh: u64,
        head: HeadState,
    },
    BeforeDelete {
        place: Place,
    },
    Delete {
        place: Place,
        nonce: u32,
    },
    Extend {
        refresh: u64,
        asked: u64,
    },
    /// Nobody looks at what comes of it.
    Forgotten,
}

/// A head that a refresh is about to replace.
pub(super) type ReadBefore = Before;
/// A lease as a refresh holds it.
pub(super) type HeldLease = SimulatedLease;

impl Node {
    /// A process that has just begun.
    pub(super) fn new(life: u64, seed: u64) -> Self {
        let evicts = seed.is_multiple_of(2);
        let limits = HeadTableLimits {
            ttl_ms: TTL_MS,
            heads_max: if evicts { 3 } else { 100 },
            absent_max: if evicts { 2 } else { 100 },
        };
        Self {
            life,
            alive: true,
            evicts,
            paused_until: 0,
            client: Client::new(),
            table: HeadTable::new(limits, seed),
            chunks: BTreeMap::new(),
            loads: BTreeMap::new(),
            operations: BTreeMap::new(),
            connection: 0,
            subscription: Subscription::default(),
            refreshes: BTreeMap::new(),
            disturbed_until: u64::MAX,
            applied: BTreeMap::new(),
            epoch: 0,
        }
    }

    /// What was heard becomes known. `own`: by this node's own publishing.
    pub(super) fn apply(
        &mut self,
        heard: &Heard,
        places: &BTreeMap<crate::listing::ListingKey, Place>,
        own: bool,
        now: u64,
    ) {
        match heard {
            Heard::Changes(_) => {}
            Heard::NewEpoch | Heard::Unreadable => {
                self.table.begin_epoch();
                self.epoch += 1;
                self.applied.clear();
            }
            Heard::Announcement(announcement) => {
                let place = places[&announcement.listing];
                self.table
                    .announce(&announcement.listing, announcement.head.clone(), own, now / 1000);
                // Whoever asks from here on does not join a load that began before.
                self.loads.remove(&place);
                let applied = self.applied.entry(place).or_default();
                *applied = (announcement.head.id(), now).max(*applied);
            }
        }
    }
}
