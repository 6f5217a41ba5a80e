//! The ledger: changes that are being worked off. It waits for nothing, and knows no Redis.
//!
//! An entry is open as long as a family that it concerns is. Up to the last entry before the first open one a partition is worked off.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use indexmap::IndexMap;

use crate::listing::{ChangeToken, Family, ItemId};

/// After a failure, and at most.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Late work is put together by so much time at least.
const LATE_LEAST: Duration = Duration::from_millis(100);
/// The failures of a subject between two lines in the log that tell of them.
const FAILURES_TOLD: u32 = 8;

/// An entry: its partition and id.
pub(crate) type EntryKey = (u8, u64);

/// The subject of some work.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A family that holds items, or will.
    Family(Family),
    /// The names that items belong to, by a definition's pattern.
    Names(Box<str>),
    /// The families of which a kept generation has items that are recalled.
    Kept,
    /// One of them once more, because the origin may have shown the state before: in the so-many-th turn since the ledger began.
    Late(Box<Subject>, u64),
}

impl Subject {
    /// The subject, whenever it is worked on.
    pub(crate) fn now(&self) -> &Self {
        match self {
            Self::Late(subject, _) => subject.now(),
            subject => subject,
        }
    }
}

/// Work on one subject.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// Items that have changed.
    pub changed: BTreeSet<ItemId>,
    /// Items that are gone.
    pub gone: BTreeSet<ItemId>,
    /// Items that are recalled.
    pub recalled: BTreeSet<ItemId>,
    /// Whether all of it has changed.
    pub whole: bool,
    /// The entries that wait for it.
    pub entries: BTreeSet<EntryKey>,
    /// Families that were found by holding an item: to look for further ones need not find them again.
    pub held: BTreeSet<(Family, ItemId)>,
}

impl Work {
    fn merge(&mut self, other: Self) {
        // The later of two words about an item counts.
        self.changed.retain(|id| !other.gone.contains(id));
        self.gone.retain(|id| !other.changed.contains(id));
        // A family that held an item at an earlier change may have lost it since: only those that hold it at the later one are found without a search.
        self.held
            .retain(|(_, id)| !other.changed.contains(id) && !other.recalled.contains(id));
        self.held.extend(other.held);
        self.changed.extend(other.changed);
        self.gone.extend(other.gone);
        // A change does not end a recall.
        self.recalled.extend(other.recalled);
        self.whole |= other.whole;
        self.entries.extend(other.entries);
    }
}

#[derive(Default)]
struct Pending {
    work: Option<Work>,
    is_running: bool,
    failures: u32,
    not_before: Option<Instant>,
}

struct Open {
    token: Option<ChangeToken>,
    left: usize,
    changes: usize,
}

/// The end of some work.
pub(crate) struct Closed {
    /// Entries that nothing waits for any more, with their tokens.
    pub done: Vec<(ChangeToken, u8)>,
    /// The first of the entries was recorded then, in microseconds.
    pub since: Option<u64>,
}

/// The changes under way.
pub(crate) struct Ledger {
    begun: Instant,
    read: BTreeMap<u8, u64>,
    worked_off: BTreeMap<u8, u64>,
    open: BTreeMap<EntryKey, Open>,
    pending: IndexMap<Subject, Pending>,
}

impl Ledger {
    /// Nothing is under way; the partitions are worked off up to these ids.
    pub(crate) fn new(worked_off: &[u64], now: Instant) -> Self {
        let ids: BTreeMap<u8, u64> = (0..).zip(worked_off.iter().copied()).collect();
        Self {
            read: ids.clone(),
            worked_off: ids,
            begun: now,
            open: BTreeMap::new(),
            pending: IndexMap::new(),
        }
    }

    /// Up to where each partition was read.
    pub(crate) fn read(&self) -> Vec<u64> {
        self.read.values().copied().collect()
    }

    /// An entry was read. It stays open until it is [let go](Self::settle), and nothing waits for it.
    pub(crate) fn open(&mut self, key: EntryKey, token: Option<ChangeToken>, changes: usize) {
        let read = self.read.entry(key.0).or_default();
        *read = key.1.max(*read);
        // Held by whoever adds work to it.
        self.open.insert(
            key,
            Open {
                token,
                left: 1,
                changes,
            },
        );
    }

    /// Adds what is done as a [late](Subject::Late) subject, between one and two lags from now. Its entries stay open: whoever takes the
    /// role next does all of it.
    pub(crate) fn add_late(&mut self, subject: Subject, work: Work, lag: Duration, now: Instant) {
        // Work of about the same time is done together, and none of it waits for work that is added later.
        let lag = lag.max(LATE_LEAST);
        let turns = now.duration_since(self.begun).as_micros() / lag.as_micros() + 2;
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        let late = Subject::Late(Box::new(subject), turns.into());
        self.add(late.clone(), work);
        if let Some(pending) = self.pending.get_mut(&late) {
            pending.not_before = Some(self.begun + lag.saturating_mul(turns));
        }
    }

    /// Adds work on a subject, for entries that are open.
    pub(crate) fn add(&mut self, subject: Subject, mut work: Work) {
        work.entries.retain(|key| self.open.contains_key(key));
        let pending = self.pending.entry(subject).or_default();
        let waiting = pending.work.get_or_insert_default();
        for key in work.entries.difference(&waiting.entries) {
            if let Some(open) = self.open.get_mut(key) {
                open.left += 1;
            }
        }
        waiting.merge(work);
    }

    /// All work on an entry was added.
    pub(crate) fn settle(&mut self, key: EntryKey) -> Option<(ChangeToken, u8)> {
        self.close_one(key)
    }

    fn close_one(&mut self, key: EntryKey) -> Option<(ChangeToken, u8)> {
        let open = self.open.get_mut(&key)?;
        open.left -= 1;
        if open.left > 0 {
            return None;
        }
        let token = open.token;
        self.open.remove(&key);
        token.map(|token| (token, key.0))
    }

    /// Work that may begin now. A subject is worked on by one at a time.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<(Subject, Work)> {
        let ready = |pending: &Pending| {
            !pending.is_running && pending.work.is_some() && pending.not_before.is_none_or(|at| at <= now)
        };
        let (subject, pending) = self.pending.iter_mut().find(|(_, pending)| ready(pending))?;
        pending.is_running = true;
        Some((subject.clone(), pending.work.take()?))
    }

    /// When the next work may begin that waits after a failure.
    pub(crate) fn next(&self) -> Option<Instant> {
        let waiting = self.pending.values().filter(|pending| !pending.is_running);
        waiting.filter_map(|pending| pending.not_before).min()
    }

    /// The work is done.
    pub(crate) fn finish(&mut self, subject: &Subject, work: &Work) -> Closed {
        if let Some(pending) = self.pending.get_mut(subject) {
            pending.is_running = false;
            (pending.failures, pending.not_before) = (0, None);
            if pending.work.is_none() {
                self.pending.swap_remove(subject);
            }
        }
        Closed {
            since: work.entries.iter().map(|(_, id)| *id).min(),
            done: work.entries.iter().filter_map(|key| self.close_one(*key)).collect(),
        }
    }

    /// The work has failed, and is tried again. Returns whether that has gone on for so long that somebody should know.
    pub(crate) fn fail(&mut self, subject: Subject, work: Work, now: Instant) -> bool {
        let pending = self.pending.entry(subject.clone()).or_default();
        pending.failures = pending.failures.saturating_add(1);
        let is_told = pending.failures.is_multiple_of(FAILURES_TOLD);
        let back_off = BACK_OFF.saturating_mul(1 << pending.failures.min(8)).min(BACK_OFF_MAX);
        self.put_back(subject, work, now + back_off.mul_f64(0.75 + 0.5 * fastrand::f64()));
        is_told
    }

    /// The work is done once more, from a time on.
    fn put_back(&mut self, subject: Subject, work: Work, not_before: Instant) {
        let pending = self.pending.entry(subject).or_default();
        pending.is_running = false;
        pending.not_before = Some(not_before);
        let mut again = work;
        if let Some(later) = pending.work.take() {
            for key in later.entries.intersection(&again.entries) {
                // It waited for both.
                if let Some(open) = self.open.get_mut(key) {
                    open.left -= 1;
                }
            }
            again.merge(later);
        }
        pending.work = Some(again);
    }

    /// The tokens of entries, with their partitions.
    pub(crate) fn tokens(&self, work: &Work) -> BTreeSet<ChangeToken> {
        let open = work.entries.iter().filter_map(|key| self.open.get(key));
        open.filter_map(|open| open.token).collect()
    }

    /// Partitions that are worked off further than when this was asked last.
    pub(crate) fn advanced(&mut self) -> Vec<(u8, u64)> {
        let mut advanced = Vec::new();
        for (partition, read) in &self.read {
            let mut open = self.open.range((*partition, 0)..=(*partition, u64::MAX));
            let up_to = open.next().map_or(*read, |((_, first), _)| first - 1);
            let before = self.worked_off.entry(*partition).or_default();
            if up_to > *before {
                *before = up_to;
                advanced.push((*partition, up_to));
            }
        }
        advanced
    }

    /// Changes that are not worked off. One that concerns all partitions counts once a partition.
    pub(crate) fn waiting(&self) -> usize {
        self.open.values().map(|open| open.changes).sum()
    }
}

#[cfg(test)]
impl Ledger {
    /// Whether some work on a family is to bring an item up to date.
    pub(crate) fn awaits(&self, family: &Family, id: &ItemId) -> bool {
        let pending = self.pending.get(&Subject::Family(family.clone()));
        let work = pending.and_then(|pending| pending.work.as_ref());
        work.is_some_and(|work| work.changed.contains(id) || work.gone.contains(id))
    }
}

#[cfg(test)]
mod tests;
