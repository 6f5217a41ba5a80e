//! Changes and the node that works them off, as turns.

use redis::Value;

use super::{
    client::{Before, Client, SimulatedGeneration, SimulatedLease, turn},
    server::{Replies, Turn},
};
use crate::{
    listing::{Change, Generation, Head, HeadState, Item, ItemId, ListingKey, ListingName, Policy, Timestamp},
    store::{
        layout::{announcements::wake_message, head_codec::read_head, keys::Partition},
        records::changes::entries::{
            Answer, Body, ChangesSince, Decoder, RecordedChanges, Recorder, bodies_of, decode_since, reading,
            reading_since,
        },
        wire::{commands::Commands, reply},
        writing::{draw::taking_role, publish::is_overtaken},
    },
};

/// Changes on their way into the partitions that they may concern.
pub(crate) struct Recordings {
    left: Vec<(Partition, Body)>,
    names_back: bool,
}

impl Recordings {
    pub(crate) fn of(changes: &[Change]) -> Self {
        Self {
            left: bodies_of(changes),
            names_back: false,
        }
    }

    fn recorder(&self) -> Recorder<'static> {
        Recorder {
            token: "",
            names_back: self.names_back,
        }
    }

    /// Whether all calls were done, and none refused.
    pub(crate) fn are_whole(&self, replies: &Replies) -> bool {
        let is_recorded = |((partition, _), reply): (&(Partition, Body), &Value)| {
            let answer = self.recorder().decode(reply.clone(), &partition.0.to_string());
            matches!(answer, Ok(Answer::Recorded(_)))
        };
        replies.0.len() == self.left.len() && self.left.iter().zip(&replies.0).all(is_recorded)
    }
}

impl Client {
    pub(crate) fn record(&self, recordings: &Recordings) -> Turn {
        let calls = recordings.left.iter().map(|(partition, body)| {
            let seen = self.seen.greatest(*partition);
            recordings.recorder().call(&self.keys, *partition, body, seen)
        });
        turn(calls)
    }

    /// What is left to record, with the ids that are back.
    pub(crate) fn take_recorded(&self, recordings: Recordings, replies: Replies) -> Option<Recordings> {
        let recorder = recordings.recorder();
        let mut left = Vec::new();
        for ((partition, body), reply) in recordings.left.into_iter().zip(replies.0) {
            match recorder.decode(reply, &self.keys.changes(partition)).unwrap() {
                Answer::Recorded(id) => self.seen.raise(partition, id),
                Answer::Gone => left.push((partition, body)),
                Answer::Full => panic!("too many changes are kept"),
            }
        }
        (!left.is_empty()).then_some(Recordings { left, names_back: true })
    }

    /// A message to all nodes, this one among them.
    pub(crate) fn wake(&self, nonce: u64) -> Turn {
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.keys.channel()).arg(wake_message(nonce));
        turn([command])
    }

    pub(crate) fn read_changes(&self, after: &[u64], at_most: usize) -> Turn {
        let partitions = Partition::all().zip(after);
        turn(partitions.map(|(partition, after)| reading(&self.keys, partition, *after, at_most)))
    }

    pub(crate) fn take_changes(&self, replies: Replies) -> Vec<RecordedChanges> {
        let mut decoder = Decoder::default();
        let partitions = Partition::all().zip(replies.0);
        let entries = partitions.map(|(partition, reply)| decoder.entries(partition, reply, "changes").unwrap());
        entries.flatten().collect()
    }

    pub(crate) fn read_since(&self, name: &ListingName, after: u64, now: Timestamp) -> Turn {
        let commands = reading_since(&self.keys, name, after, now);
        turn(commands.cmd_iter().cloned())
    }

    pub(crate) fn take_since(&self, name: &ListingName, after: u64, replies: Replies) -> ChangesSince {
        decode_since(&self.keys, name, after, replies.0).unwrap()
    }

    /// Until when an item is gone, as a name's partition has it.
    pub(crate) fn read_gone(&self, name: &ListingName, id: &ItemId) -> Turn {
        let mut score = redis::cmd("ZSCORE");
        score.arg(self.keys.gone(Partition::of(name))).arg(id.as_str());
        turn([score])
    }

    pub(crate) fn read_worked_off(&self) -> Turn {
        turn(Partition::all().map(|partition| {
            let mut get = redis::cmd("GET");
            get.arg(self.keys.worked_off(partition));
            get
        }))
    }

    pub(crate) fn take_worked_off(replies: &Replies) -> Vec<u64> {
        let ids = replies.0.iter();
        ids.map(|reply| reply::unsigned(reply).unwrap_or_default()).collect()
    }

    pub(crate) fn work_off(&self, up_to: &[(u8, u64)]) -> Turn {
        turn(up_to.iter().map(|(partition, id)| {
            let mut set = redis::cmd("SET");
            set.arg(self.keys.worked_off(Partition(*partition))).arg(*id);
            set
        }))
    }

    /// Takes a role, and the lease that it gives where it does.
    pub(crate) fn take_role(&self, role: &str, value: &str) -> (SimulatedLease, Turn) {
        let lease = SimulatedLease {
            key: self.keys.role(role),
            value: value.to_owned(),
        };
        let commands = taking_role(&lease.key, value);
        (lease, turn(commands.cmd_iter().cloned()))
    }

    pub(crate) fn took_role(replies: &Replies) -> bool {
        replies.0.last().is_some_and(|reply| *reply != Value::Nil)
    }

    pub(crate) fn read_heads<'k>(&self, listings: impl IntoIterator<Item = &'k ListingKey>) -> Turn {
        let mut commands = Commands::default();
        for listing in listings {
            read_head(&mut commands, self.keys.head(listing).key());
        }
        turn(commands.parsed())
    }

    pub(crate) fn take_heads<'k>(
        &self,
        listings: impl IntoIterator<Item = &'k ListingKey>,
        replies: Replies,
    ) -> Vec<HeadState> {
        let read = listings.into_iter().zip(replies.0);
        read.map(|(listing, reply)| self.take_head(listing, Replies(vec![reply])).unwrap())
            .collect()
    }

    /// Whether the stream and the sidecar of a generation are there.
    pub(crate) fn look_for(&self, key: &ListingKey, generation: Generation) -> Turn {
        let parts = [self.keys.stream(key, generation), self.keys.sidecar(key, generation)];
        turn(parts.map(|part| {
            let mut exists = redis::cmd("EXISTS");
            exists.arg(part);
            exists
        }))
    }

    /// Of nothing there is no stream.
    pub(crate) fn are_there(replies: &Replies, total: u64) -> bool {
        let [stream, sidecar] = [0, 1].map(|at| replies.0[at] == Value::Int(1));
        sidecar && (stream || total == 0)
    }

    /// A generation is written whole.
    pub(crate) fn write_whole(&self, written: &SimulatedGeneration, items: &[Item], policy: &Policy) -> Turn {
        let mut commands = Vec::new();
        for (index, chunk) in (0..).zip(items.chunks(policy.chunk_len.get() as usize)) {
            commands.extend(self.write_chunk(written, index, chunk, index == 0).0);
        }
        commands.extend(self.finish(written, policy).0);
        Turn(commands)
    }

    /// Whether the current head shows items of an earlier read that were changed since.
    pub(crate) fn is_overtaken(before: &Before, head: &Head, as_of: Timestamp) -> bool {
        is_overtaken(&before.0.state, head, as_of)
    }
}

impl Before {
    pub(crate) fn state(&self) -> &HeadState {
        &self.0.state
    }
}
