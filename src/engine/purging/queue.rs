//! What waits to be purged at one CDN, and what the next call holds. Pure: times are given.
//!
//! Each tag is purged twice. A cache that asks again between the announcement and the first purge may get a page from a node that has not
//! heard yet, and store it after the purge: the second one, when every node has heard for sure, deletes that.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    listing::{Timestamp, cache_tag},
    store::LogCursor,
};

/// More changes than these wait for no CDN: all pages are purged then. A CDN may be away for long, and memory is bounded.
const WAITING_MAX: usize = 50_000;

/// How far each log is done, by partition.
pub(crate) type Ends = BTreeMap<usize, LogCursor>;

/// A head that moved.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// The listing's tag.
    pub tag: Arc<str>,
    /// That of its definition.
    pub definition: Arc<str>,
    /// When it was announced.
    pub since: Timestamp,
    /// The place of the announcement.
    pub ends: Ends,
}

/// Tags that were purged once.
#[derive(Debug)]
struct Round {
    due: Timestamp,
    tags: BTreeSet<Arc<str>>,
    definitions: BTreeSet<Arc<str>>,
    ends: Ends,
}

/// The first or the second purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    First,
    Second,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Batch {
    pub phase: Phase,
    pub tags: Vec<Arc<str>>,
    /// Whether definitions are purged instead of listings.
    pub is_widened: bool,
    /// How many entries of the queue it does.
    count: usize,
    definitions: BTreeSet<Arc<str>>,
    ends: Ends,
}

/// The limits of one CDN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub debounce: Duration,
    pub widen_after: Duration,
    /// From the first purge of a tag until its second.
    pub second_after: Duration,
    pub tags_a_call: usize,
}

/// What waits.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    /// By the time of the announcement, roughly; of one partition in the log's order.
    first: VecDeque<Waiting>,
    rounds: VecDeque<Round>,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            first: VecDeque::new(),
            rounds: VecDeque::new(),
        }
    }

    /// Adds heads that moved.
    pub(crate) fn add(&mut self, waiting: impl IntoIterator<Item = Waiting>) {
        self.first.extend(waiting);
        if self.first.len() > WAITING_MAX {
            self.forget_which();
        }
    }

    /// All pages are purged in place of those that wait.
    fn forget_which(&mut self) {
        let all: Arc<str> = cache_tag::ALL.into();
        let since = self.first.front().map_or(Timestamp(0), |oldest| oldest.since);
        let ends = self.first.drain(..).flat_map(|waiting| waiting.ends).collect();
        self.first.push_back(Waiting {
            tag: all.clone(),
            definition: all,
            since,
            ends,
        });
    }

    /// Adds what was purged once by a worker before this one, nobody knows when.
    pub(crate) fn add_purged(&mut self, purged: Vec<Waiting>, now: Timestamp) {
        for purged in purged {
            let round = Round {
                due: now.after(self.limits.second_after),
                tags: [purged.tag].into(),
                definitions: [purged.definition].into(),
                ends: purged.ends,
            };
            self.rounds.push_back(round);
        }
    }

    /// Any head may have moved up to there: all pages are purged, in place of those that wait.
    pub(crate) fn lose(&mut self, now: Timestamp, ends: Ends) {
        self.first.clear();
        self.rounds.clear();
        let all: Arc<str> = cache_tag::ALL.into();
        self.first.push_back(Waiting {
            tag: all.clone(),
            definition: all,
            since: now,
            ends,
        });
    }

    /// The next call and the time at which it is due; `None` where nothing waits. `time_for` gives the time that a number of calls takes.
    pub(crate) fn next(&self, time_for: impl Fn(usize) -> Duration) -> Option<(Timestamp, Batch)> {
        let first = self
            .first
            .front()
            .map(|oldest| oldest.since.after(self.limits.debounce));
        let second = self.rounds.front().map(|round| round.due);
        let is_second = match (first, second) {
            (Some(first), Some(second)) => second < first,
            (first, _) => first.is_none(),
        };
        let is_too_much = time_for(self.calls()) > self.limits.widen_after;
        match is_second {
            true => second.map(|due| (due, self.second_batch(due, is_too_much))),
            false => first.map(|due| (due, self.first_batch(is_too_much))),
        }
    }

    /// How many calls all that waits needs, second purges among them.
    fn calls(&self) -> usize {
        let first: BTreeSet<&Arc<str>> = self.first.iter().map(|waiting| &waiting.tag).collect();
        let second: usize = self.rounds.iter().map(|round| round.tags.len()).sum();
        let most = self.limits.tags_a_call;
        2 * first.len().div_ceil(most) + second.div_ceil(most)
    }

    fn first_batch(&self, is_widened: bool) -> Batch {
        let mut batch = Batch::new(Phase::First, is_widened);
        for waiting in &self.first {
            if !batch.take(
                self.limits.tags_a_call,
                [&waiting.tag],
                [&waiting.definition],
                &waiting.ends,
            ) {
                break;
            }
        }
        batch
    }

    fn second_batch(&self, due: Timestamp, is_widened: bool) -> Batch {
        let mut batch = Batch::new(Phase::Second, is_widened);
        for round in self
            .rounds
            .iter()
            .take_while(|round| round.due <= due.after(self.limits.debounce))
        {
            if !batch.take(self.limits.tags_a_call, &round.tags, &round.definitions, &round.ends) {
                break;
            }
        }
        batch
    }

    /// A call has succeeded. Returns how far its phase is now.
    pub(crate) fn done(&mut self, batch: Batch, now: Timestamp) -> Ends {
        match batch.phase {
            Phase::First => {
                self.first.drain(..batch.count.min(self.first.len()));
                self.rounds.push_back(Round {
                    due: now.after(self.limits.second_after),
                    tags: batch.tags.into_iter().collect(),
                    definitions: batch.definitions,
                    ends: batch.ends.clone(),
                });
            }
            Phase::Second => drop(self.rounds.drain(..batch.count.min(self.rounds.len()))),
        }
        batch.ends
    }

    /// How late the oldest purge is.
    pub(crate) fn lag(&self, now: Timestamp) -> Duration {
        let first = self
            .first
            .front()
            .map(|oldest| oldest.since.after(self.limits.debounce));
        let second = self.rounds.front().map(|round| round.due);
        let oldest = first.into_iter().chain(second).min();
        oldest.map_or(Duration::ZERO, |due| now.since(due))
    }
}

impl Batch {
    fn new(phase: Phase, is_widened: bool) -> Self {
        Self {
            phase,
            tags: Vec::new(),
            is_widened,
            count: 0,
            definitions: BTreeSet::new(),
            ends: Ends::new(),
        }
    }

    /// Takes one more entry, unless its tags are too many for one call. Widened, it takes all.
    fn take<'t>(
        &mut self,
        most: usize,
        tags: impl IntoIterator<Item = &'t Arc<str>>,
        definitions: impl IntoIterator<Item = &'t Arc<str>>,
        ends: &Ends,
    ) -> bool {
        self.definitions.extend(definitions.into_iter().cloned());
        if self.is_widened {
            self.tags = match self.definitions.len() <= most {
                true => self.definitions.iter().cloned().collect(),
                false => vec![cache_tag::ALL.into()],
            };
        } else {
            let new: Vec<_> = tags
                .into_iter()
                .filter(|tag| !self.tags.contains(tag))
                .cloned()
                .collect();
            if self.tags.len() + new.len() > most && self.count > 0 {
                return false;
            }
            self.tags.extend(new);
        }
        self.count += 1;
        self.ends.extend(ends.iter().map(|(partition, end)| (*partition, *end)));
        true
    }
}

#[cfg(test)]
mod tests;
