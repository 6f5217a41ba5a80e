//! How far a node has followed one partition's log. For each message and each reading it decides: apply, skip, read the missing
//! entries, or begin a new epoch. Pure: a seeded simulation may drive it.

use crate::store::layout::entry_id::EntryId;

/// An entry and what tells it from another with the same id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub id: EntryId,
    pub mark: u64,
}

/// An entry as the log or a message gives it: with the one that the log held last when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Linked {
    pub entry: Entry,
    pub after: EntryId,
}

/// The decision about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next one; the position has moved.
    Apply,
    /// It was applied before.
    Duplicate,
    /// Something before it is missing: read the log.
    Gap,
}

/// The last entry applied, or [`EntryId::NONE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogPosition {
    last: Entry,
}

impl LogPosition {
    /// A node that has everything up to this entry.
    pub(crate) fn at(last: Entry) -> Self {
        Self { last }
    }

    /// The last entry applied.
    pub(crate) fn last(self) -> Entry {
        self.last
    }

    /// The id after which a reading of the log begins with the last entry applied.
    pub(crate) fn read_after(self) -> EntryId {
        self.last.id.before()
    }

    /// Decides about a message.
    pub(crate) fn hear(&mut self, Linked { entry, after }: Linked) -> Step {
        if entry == self.last || entry.id < self.last.id {
            // An older one may belong to a history that has been rewound: then the next reading shows it.
            Step::Duplicate
        } else if after == self.last.id && entry.id > self.last.id {
            self.last = entry;
            Step::Apply
        } else {
            Step::Gap
        }
    }

    /// Takes a reading of the log that was begun when the position was `from`, and went after `from.read_after()`. Returns
    /// which of its entries to apply, having moved past them; `None` where the log is not the one that was followed, or has
    /// lost entries that were not applied.
    ///
    /// The position may have moved on while the reading was on its way: known entries are not applied again.
    pub(crate) fn catch_up(&mut self, from: Self, read: &[Linked]) -> Option<std::ops::Range<usize>> {
        let first = read.first();
        let recognised = if from.last.id == EntryId::NONE {
            // The log was empty: it holds everything since, unless it is cut already.
            first.is_none_or(|first| first.after == EntryId::NONE)
        } else {
            first.is_some_and(|first| first.entry == from.last)
        };
        let linked = read.windows(2).all(|pair| pair[1].after == pair[0].entry.id);
        let differs = read
            .iter()
            .any(|Linked { entry, .. }| entry.id == self.last.id && entry.mark != self.last.mark);
        if !recognised || !linked || differs {
            return None;
        }
        let new = read.partition_point(|read| read.entry.id <= self.last.id);
        if let Some(last) = read.get(new..)?.last() {
            self.last = last.entry;
        }
        Some(new..read.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> EntryId {
        EntryId { ms: 0, seq }
    }

    fn entry(seq: u64) -> Entry {
        Entry { id: id(seq), mark: seq }
    }

    /// The same id in another history.
    fn other(seq: u64) -> Entry {
        Entry { id: id(seq), mark: 99 }
    }

    /// A piece of a log: each entry names the one before it, the first one as given.
    fn log(after: u64, entries: &[Entry]) -> Vec<Linked> {
        let before = std::iter::once(id(after)).chain(entries.iter().map(|entry| entry.id));
        let linked = entries.iter().zip(before);
        linked.map(|(entry, after)| Linked { entry: *entry, after }).collect()
    }

    fn entries(after: u64, seqs: &[u64]) -> Vec<Linked> {
        log(after, &seqs.iter().copied().map(entry).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check_hear(at: u64, heard: Entry, after: u64, expect: Step, then_at: u64) {
        let mut position = LogPosition::at(if at == 0 { Entry::default() } else { entry(at) });
        let heard = Linked {
            entry: heard,
            after: id(after),
        };
        assert_eq!(position.hear(heard), expect);
        assert_eq!(position.last.id, id(then_at));
    }

    #[test]
    fn the_next_message_is_applied_and_an_old_one_is_not() {
        check_hear(0, entry(1), 0, Step::Apply, 1);
        check_hear(4, entry(7), 4, Step::Apply, 7);
        check_hear(4, entry(4), 3, Step::Duplicate, 4);
        check_hear(4, entry(2), 1, Step::Duplicate, 4);
    }

    #[test]
    fn a_message_after_a_missing_one_is_a_gap() {
        check_hear(4, entry(7), 6, Step::Gap, 4);
        check_hear(0, entry(7), 6, Step::Gap, 0);
        // The log was flushed and began anew.
        check_hear(4, entry(7), 0, Step::Gap, 4);
        // The same id with another content.
        check_hear(4, other(4), 3, Step::Gap, 4);
    }

    #[track_caller]
    fn check_catch_up(from: u64, at: u64, read: &[Linked], expect: Option<(&[u64], u64)>) {
        let position = |at| LogPosition::at(if at == 0 { Entry::default() } else { entry(at) });
        let mut now = position(at);
        let applied = now.catch_up(position(from), read);
        let applied: Option<Vec<u64>> = applied.map(|range| read[range].iter().map(|read| read.entry.id.seq).collect());
        assert_eq!(applied.as_deref(), expect.map(|(applied, _)| applied));
        assert_eq!(now.last.id.seq, expect.map_or(at, |(_, then_at)| then_at));
    }

    #[test]
    fn what_was_missed_is_applied_once() {
        check_catch_up(4, 4, &entries(3, &[4]), Some((&[], 4)));
        check_catch_up(4, 4, &entries(3, &[4, 5, 9]), Some((&[5, 9], 9)));
        check_catch_up(0, 0, &entries(0, &[]), Some((&[], 0)));
        check_catch_up(0, 0, &entries(0, &[1, 2]), Some((&[1, 2], 2)));
        // Messages came in while the log was being read.
        check_catch_up(4, 6, &entries(3, &[4, 5, 6, 7]), Some((&[7], 7)));
        check_catch_up(4, 6, &entries(3, &[4, 5]), Some((&[], 6)));
        check_catch_up(0, 2, &entries(0, &[]), Some((&[], 2)));
    }

    #[test]
    fn another_log_is_recognised() {
        // Flushed, rewound, or cut beyond the last entry applied.
        check_catch_up(4, 4, &entries(0, &[]), None);
        check_catch_up(4, 4, &entries(2, &[3]), None);
        check_catch_up(4, 4, &entries(4, &[5, 6]), None);
        check_catch_up(0, 0, &entries(7, &[8, 9]), None);
        // The same id with another content.
        check_catch_up(4, 4, &log(3, &[other(4), entry(5)]), None);
        check_catch_up(4, 5, &log(3, &[entry(4), other(5)]), None);
        // A hole inside: somebody took an entry out.
        let mut holed = entries(3, &[4, 5, 6]);
        holed.remove(1);
        check_catch_up(4, 4, &holed, None);
    }

    #[test]
    fn reading_begins_with_the_last_entry() {
        assert_eq!(EntryId { ms: 5, seq: 1 }.before(), EntryId { ms: 5, seq: 0 });
        assert_eq!(EntryId { ms: 5, seq: 0 }.before(), EntryId { ms: 4, seq: u64::MAX });
        assert_eq!(EntryId::NONE.before(), EntryId::NONE);
        assert_eq!(
            EntryId::parse(b"5-18446744073709551615")
                .map(|id| id.to_string())
                .as_deref(),
            Some("5-18446744073709551615")
        );
        for bad in [&b"5"[..], b"-", b"5-", b"x-1", b"5-1-2"] {
            assert_eq!(EntryId::parse(bad), None);
        }
    }
}
