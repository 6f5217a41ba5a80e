//! The table of L1 heads: which head of a listing this process may serve. Pure: time is an argument, nothing is awaited.
//!
//! Three things race for an entry: announcements, loads that read Redis before or after them, and new epochs. The rules:
//!
//! - An announcement raises the listing's *floor* and carries the new head. Fill and announcement commute: the greater stays.
//! - A load takes a [`Ticket`] before it asks Redis. What it brings is kept only if no epoch began meanwhile, it is not below
//!   the floor, and nothing newer was put there since the ticket was taken.
//! - A new epoch (Redis restarted, flushed or rewound) forgets the floors, for ids may have gone back, and makes every head
//!   *suspect*: still good for speculation, read again before it is served.
//!
//! Heads that are not there are kept in a table of their own, so that a scanner of random names evicts nobody's head.
//! An entry with a load under way is never evicted, or its floor would be forgotten while the load still needs it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use foldhash::quality::RandomState;

use crate::listing::{Head, HeadState, ListingKey};

type Entries = indexmap::IndexMap<ListingKey, Entry, RandomState>;

/// How many entries are looked at to find one to evict: the least recently used of a random handful, as Redis does it.
const EVICTION_SAMPLE: usize = 8;

/// Heads by listing.
#[derive(Debug)]
pub(crate) struct HeadTable {
    limits: HeadTableLimits,
    epoch: u64,
    /// Present and deleted heads.
    known: Entries,
    /// "No such listing", and entries whose first load is under way.
    absent: Entries,
    random: fastrand::Rng,
}

/// Bounds of a [`HeadTable`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadTableLimits {
    /// How long a head is served without asking Redis again, in milliseconds.
    pub ttl_ms: u64,
    /// Entries with a head.
    pub heads_max: usize,
    /// Entries that say "no such listing".
    pub absent_max: usize,
}

#[derive(Debug, Default)]
struct Entry {
    state: Option<HeadState>,
    checked_at: u64,
    /// The epoch in which `state` was learnt.
    epoch: u64,
    /// The greatest announced id, and the epoch it belongs to.
    floor: (u64, u64),
    /// Counts what was put here, so that a load sees whether anything was while it ran.
    version: u64,
    loads: u32,
    used_at: AtomicU64,
    reads: AtomicU32,
}

/// What the table says of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// May be served; known since the given age in milliseconds.
    Usable(HeadState),
    /// Too old or suspect: good for speculation only.
    Recheck(HeadState),
    /// Never heard of.
    Unknown,
}

impl Lookup {
    /// The head that is known, whether it may be served or not.
    pub(crate) fn head(&self) -> Option<&Head> {
        match self {
            Self::Usable(state) | Self::Recheck(state) => state.live(),
            Self::Unknown => None,
        }
    }
}

/// Taken before Redis is asked, given back with what it said.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ticket {
    epoch: u64,
    version: u64,
}

impl HeadTable {
    /// An empty table. The seed chooses what is evicted.
    pub(crate) fn new(limits: HeadTableLimits, seed: u64) -> Self {
        Self {
            limits,
            epoch: 0,
            known: Entries::default(),
            absent: Entries::default(),
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// What is known of a listing at `now`, in milliseconds of the caller's monotonic clock. Counts as a read of it.
    pub(crate) fn lookup(&self, key: &ListingKey, now: u64) -> Lookup {
        let Some(entry) = self.known.get(key).or_else(|| self.absent.get(key)) else {
            return Lookup::Unknown;
        };
        entry.reads.fetch_add(1, Ordering::Relaxed);
        entry.used_at.store(now, Ordering::Relaxed);
        self.judge(entry, now)
    }

    /// What is known of a listing, without counting it as read; and its age in milliseconds.
    pub(crate) fn peek(&self, key: &ListingKey, now: u64) -> (Lookup, u64) {
        match self.known.get(key).or_else(|| self.absent.get(key)) {
            Some(entry) => (self.judge(entry, now), now.saturating_sub(entry.checked_at)),
            None => (Lookup::Unknown, 0),
        }
    }

    /// The last that is known of a listing, however old.
    pub(crate) fn last_known(&self, key: &ListingKey) -> Option<HeadState> {
        self.known.get(key).or_else(|| self.absent.get(key))?.state.clone()
    }

    fn judge(&self, entry: &Entry, now: u64) -> Lookup {
        match &entry.state {
            None => Lookup::Unknown,
            // Invariant 5: without any announcement, no head older than the ttl is served while Redis answers.
            Some(state) if entry.epoch == self.epoch && now.saturating_sub(entry.checked_at) < self.limits.ttl_ms => {
                Lookup::Usable(state.clone())
            }
            Some(state) => Lookup::Recheck(state.clone()),
        }
    }

    /// A head that would be served now, any of them; `None` where the one that chance chose would not.
    pub(crate) fn sample(&self, now: u64, random: &mut fastrand::Rng) -> Option<(&ListingKey, HeadState)> {
        let at = (!self.known.is_empty()).then(|| random.usize(..self.known.len()))?;
        let (key, entry) = self.known.get_index(at)?;
        match self.judge(entry, now) {
            Lookup::Usable(state) => Some((key, state)),
            Lookup::Recheck(_) | Lookup::Unknown => None,
        }
    }

    /// A load begins. From here until [`HeadTable::end_load`] the entry stays, so no announcement passes it by.
    pub(crate) fn begin_load(&mut self, key: &ListingKey, now: u64) -> Ticket {
        let entry = match self.known.get_mut(key) {
            Some(entry) => entry,
            None => self.absent.entry(key.clone()).or_default(),
        };
        entry.loads += 1;
        entry.used_at.store(now, Ordering::Relaxed);
        Ticket {
            epoch: self.epoch,
            version: entry.version,
        }
    }

    /// A load ends; `loaded` is what Redis said, `None` where it did not answer. Returns the head to serve.
    pub(crate) fn end_load(
        &mut self,
        key: &ListingKey,
        ticket: Ticket,
        loaded: Option<HeadState>,
        now: u64,
    ) -> Option<HeadState> {
        let epoch = self.epoch;
        let Some(entry) = self.entry_mut(key) else {
            return loaded;
        };
        entry.loads = entry.loads.saturating_sub(1);
        let serve = loaded.map(|loaded| {
            if ticket.epoch != epoch {
                // Read before the new epoch was noticed: served once, not kept.
                loaded
            } else if entry.admits(&loaded, &ticket, epoch) {
                entry.put(loaded.clone(), epoch, now);
                loaded
            } else {
                let known = entry.state.clone().filter(|_| entry.epoch == epoch);
                known.unwrap_or(loaded)
            }
        });
        self.settle(key);
        serve
    }

    /// A load ends that has met a head which cannot be read. What was known is forgotten, unless it was learnt meanwhile: so whoever
    /// asks next waits for Redis, and finds what is to be replaced.
    pub(crate) fn end_damaged_load(&mut self, key: &ListingKey, ticket: Ticket) {
        let epoch = self.epoch;
        let Some(entry) = self.entry_mut(key) else {
            return;
        };
        entry.loads = entry.loads.saturating_sub(1);
        if ticket.epoch == epoch && ticket.version == entry.version {
            entry.state = None;
        }
        self.settle(key);
    }

    /// A head moved. Applied where the listing is known here or being loaded, or where `insist` says so.
    pub(crate) fn announce(&mut self, key: &ListingKey, head: HeadState, insist: bool, now: u64) {
        let epoch = self.epoch;
        if insist && !self.known.contains_key(key) {
            self.absent.entry(key.clone()).or_default();
        }
        let Some(entry) = self.entry_mut(key) else {
            return;
        };
        // Invariant 4: from here on no older head of this listing is served.
        entry.floor = (epoch, entry.floor_in(epoch).max(head.id()));
        let newer = match &entry.state {
            Some(state) if entry.epoch == epoch => head.supersedes(state),
            _ => true,
        };
        if newer {
            entry.put(head, epoch, now);
        }
        self.settle(key);
    }

    /// Redis may have lost its memory: floors are forgotten, heads are suspect, loads under way are not kept.
    pub(crate) fn begin_epoch(&mut self) {
        self.epoch += 1;
    }

    /// Takes the read counts since the last call.
    pub(crate) fn take_reads(&self, mut each: impl FnMut(&ListingKey, u32)) {
        for (key, entry) in &self.known {
            // Most entries were not read: a plain load first keeps their cache lines unwritten.
            if entry.reads.load(Ordering::Relaxed) > 0 {
                each(key, entry.reads.swap(0, Ordering::Relaxed));
            }
        }
    }

    /// How many entries there are, absent ones among them.
    pub(crate) fn len(&self) -> usize {
        self.known.len() + self.absent.len()
    }

    fn entry_mut(&mut self, key: &ListingKey) -> Option<&mut Entry> {
        self.known.get_mut(key).or_else(|| self.absent.get_mut(key))
    }

    /// Puts a changed entry where it belongs, and holds both tables to their sizes.
    fn settle(&mut self, key: &ListingKey) {
        let has_head = |entry: &Entry| !matches!(entry.state, None | Some(HeadState::Absent));
        if self
            .entry_mut(key)
            .is_some_and(|entry| entry.state.is_none() && entry.loads == 0)
        {
            // A load that failed, or met what cannot be read: nothing is known.
            self.known.swap_remove(key);
            self.absent.swap_remove(key);
        } else if self.absent.get(key).is_some_and(has_head) {
            move_entry(key, &mut self.absent, &mut self.known);
        } else if self.known.get(key).is_some_and(|entry| !has_head(entry)) {
            move_entry(key, &mut self.known, &mut self.absent);
        }
        evict(&mut self.known, self.limits.heads_max, &mut self.random);
        evict(&mut self.absent, self.limits.absent_max, &mut self.random);
    }
}

fn move_entry(key: &ListingKey, from: &mut Entries, to: &mut Entries) {
    if let Some(entry) = from.swap_remove(key) {
        to.insert(key.clone(), entry);
    }
}

fn evict(entries: &mut Entries, max: usize, random: &mut fastrand::Rng) {
    while entries.len() > max {
        // Where all that were looked at are being loaded, the table is over its size by the loads under way, which are bounded.
        let Some(victim) = sample(entries, random) else {
            return;
        };
        entries.swap_remove_index(victim);
    }
}

/// The least recently used of a random handful, entries with loads under way left out.
fn sample(entries: &Entries, random: &mut fastrand::Rng) -> Option<usize> {
    (0..EVICTION_SAMPLE)
        .map(|_| random.usize(..entries.len()))
        .filter(|at| entries[*at].loads == 0)
        .min_by_key(|at| entries[*at].used_at.load(Ordering::Relaxed))
}

impl Entry {
    fn floor_in(&self, epoch: u64) -> u64 {
        if self.floor.0 == epoch { self.floor.1 } else { 0 }
    }

    /// Whether what a load of this epoch brought may be kept.
    fn admits(&self, loaded: &HeadState, ticket: &Ticket, epoch: u64) -> bool {
        let untouched = self.version == ticket.version;
        if untouched && *loaded == HeadState::Absent {
            // Asked after all that we know of and gone all the same: expired or evicted.
            return true;
        }
        let above_floor = loaded.id() >= self.floor_in(epoch);
        above_floor
            && match &self.state {
                Some(state) if self.epoch == epoch && !untouched => loaded.supersedes(state),
                _ => true,
            }
    }

    fn put(&mut self, state: HeadState, epoch: u64, now: u64) {
        self.state = Some(state);
        self.epoch = epoch;
        self.checked_at = now;
        self.version += 1;
    }
}

#[cfg(test)]
mod tests;
