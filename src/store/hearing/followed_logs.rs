//! The logs of one server, as far as a node has followed them: decides what to apply, what to read, and when to begin a new epoch.
//! It waits for nothing: the [subscriber](super::subscriber) does the waiting, and so does a seeded simulation.

use std::sync::Arc;

use super::{
    log::{ENTRIES_A_READING, LogEntry, Reading},
    log_position::{Entry, Linked, LogPosition, Step},
};
use crate::{
    listing::Timestamp,
    store::layout::{
        announcements::{Envelope, Heard, VERSION, mark_of, parse_body, parse_wake},
        entry_id::EntryId,
        keys::Partition,
        seen::Seen,
    },
};

/// Which server, as far as it says so.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Followed {
    pub run_id: Option<String>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on listening.
    Listen,
    /// Read these partitions' logs, from [`FollowedLogs::positions_of`] on.
    Read(Vec<Partition>),
    /// Read the newest entry of every log: a new epoch begins there.
    BeginEpoch,
}

/// How far a node has followed a server's logs.
pub(crate) struct FollowedLogs {
    seen: Arc<Seen>,
    /// One a partition.
    positions: Vec<LogPosition>,
    /// Whose logs the positions are of; `None` until an epoch has begun.
    followed: Option<Followed>,
    /// The server of the new subscription.
    connected: Option<Followed>,
}

impl FollowedLogs {
    /// Nothing was heard yet.
    pub(crate) fn new(seen: Arc<Seen>) -> Self {
        Self {
            seen,
            positions: Partition::all().map(|_| LogPosition::default()).collect(),
            followed: None,
            connected: None,
        }
    }

    /// A subscription stands: missed entries are read, or an epoch begins if they cannot be known.
    pub(crate) fn resume(&mut self, server: Followed) -> Next {
        let same = self.followed.as_ref() == Some(&server);
        self.connected = Some(server);
        if same {
            Next::Read(Partition::all().collect())
        } else {
            self.lose()
        }
    }

    /// The ends of all logs, in the partitions' order: later publishes are heard as messages.
    pub(crate) fn begin_epoch(&mut self, newest: Vec<LogPosition>) -> Heard {
        self.positions = newest;
        self.followed = self.connected.clone();
        Heard::NewEpoch
    }

    /// From where these partitions' logs are to be read.
    pub(crate) fn positions_of(&self, partitions: &[Partition]) -> Vec<(Partition, LogPosition)> {
        let position = |partition: &Partition| (*partition, self.positions[partition.index()]);
        partitions.iter().map(position).collect()
    }

    /// Takes what the logs held, and adds what is new in it.
    pub(crate) fn take(&mut self, reading: Reading, heard: &mut Vec<Heard>) -> Next {
        let mut more = Vec::new();
        for (partition, from, entries) in reading {
            let links: Vec<Linked> = entries.iter().map(|entry| entry.linked).collect();
            let Some(new) = self.positions[partition.index()].catch_up(from, &links) else {
                return self.lose();
            };
            if entries.len() >= ENTRIES_A_READING {
                more.push(partition);
            }
            for LogEntry { linked, version, body } in entries.into_iter().take(new.end).skip(new.start) {
                heard.push(self.understand(partition, linked.entry.id, version, &body));
            }
        }
        if more.is_empty() {
            Next::Listen
        } else {
            Next::Read(more)
        }
    }

    /// Takes a message of the channel.
    pub(crate) fn hear(&mut self, message: &[u8], heard: &mut Vec<Heard>) -> Next {
        let envelope: Option<Envelope<'_>> = serde_json::from_slice(message).ok();
        let known = envelope.filter(|envelope| usize::from(envelope.partition) < self.positions.len());
        let Some(envelope) = known else {
            if let Some(nonce) = parse_wake(message) {
                heard.push(Heard::Changes(nonce));
                return Next::Listen;
            }
            // Another release's: where it wrote the log too the next comparison moves the position on.
            heard.push(Heard::Unreadable);
            return Next::Listen;
        };
        let partition = Partition(envelope.partition);
        let linked = Linked {
            entry: Entry {
                id: envelope.entry,
                mark: mark_of(envelope.body.get()),
            },
            after: envelope.after,
        };
        match self.positions[partition.index()].hear(linked) {
            Step::Apply => {
                heard.push(self.understand(partition, envelope.entry, envelope.v, envelope.body.get()));
                Next::Listen
            }
            Step::Duplicate => Next::Listen,
            Step::Gap => Next::Read(vec![partition]),
        }
    }

    /// The logs are not the ones that were followed. Should beginning anew fail half-way, the next subscription does it too.
    fn lose(&mut self) -> Next {
        self.followed = None;
        Next::BeginEpoch
    }

    fn understand(&self, partition: Partition, entry: EntryId, version: u32, body: &str) -> Heard {
        match (version == VERSION).then(|| parse_body(body)).flatten() {
            Some(mut announcement) => {
                // An entry's id begins with the time of its writing.
                announcement.written = Some(Timestamp(entry.ms));
                self.seen.raise_to(partition, &announcement.head);
                Heard::Announcement(announcement)
            }
            None => Heard::Unreadable,
        }
    }
}
