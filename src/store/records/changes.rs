//! Changes that shops tell of, until they are worked off: a stream a partition, in the order in which they were recorded.
//!
//! An entry has an id of the same clock as generations. So a generation that was drawn later was read later, and one that was drawn earlier may
//! lack the change: `publish` compares the two in the step that moves the head. A change that names no listings is recorded in all partitions,
//! because any listing may hold its item.
//!
//! A change is taken when all its partitions have recorded it. To record it twice does no harm.

pub(in crate::store) mod entries;

use std::sync::Arc;

use redis::Pipeline;

use self::entries::{
    Answer, Body, ChangesSince, Decoder, RecordedChanges, Recorder, bodies_of, decode_since, reading, reading_since,
};
use super::{change_outcomes::ChangeOutcomes, changelogs::ChangelogPositions};
use crate::{
    listing::{Change, ChangeToken, ListingName, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::{announcements::wake_message, keys::Partition},
        scripts,
        wire::{commands::Commands, connections::ReplySize, reply},
    },
};

/// The outcome of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// All partitions have them.
    Recorded,
    /// Too many wait. Some partitions may have them: they may be recorded again.
    Full,
}

/// The records of changes.
#[derive(Clone)]
pub struct ChangeRecords(pub(crate) Arc<Access>);

impl ChangeRecords {
    /// The outcomes of what was recorded.
    pub fn outcomes(&self) -> ChangeOutcomes {
        ChangeOutcomes(self.0.clone())
    }

    /// The positions in changelogs of databases.
    pub fn changelogs(&self) -> ChangelogPositions {
        ChangelogPositions(self.0.clone())
    }

    /// The partition of a name.
    pub fn partition_of(name: &ListingName) -> u8 {
        Partition::of(name).0
    }

    /// Records changes in all partitions that they may concern, and wakes the node that works them off.
    pub async fn record(&self, changes: &[Change], token: Option<ChangeToken>) -> Result<Recording, StoreError> {
        let mut left = bodies_of(changes);
        if let Some(token) = token {
            self.outcomes().begin(token, changes.len(), left.len()).await?;
        }
        let token = token.map_or_else(String::new, |token| token.to_string());
        let mut recording = Recording::Recorded;
        // The second time with the ids that are gone no more, where any are gone: there are rarely any.
        for names_back in [false, true] {
            let recorder = Recorder {
                token: &token,
                names_back,
            };
            let answers = self.record_bodies(&left, &recorder).await?;
            let mut again = Vec::new();
            for ((partition, body), answer) in left.into_iter().zip(answers) {
                match answer {
                    Answer::Full => recording = Recording::Full,
                    Answer::Gone => again.push((partition, body)),
                    Answer::Recorded(id) => self.0.seen.raise(partition, id),
                }
            }
            left = again;
            if left.is_empty() {
                break;
            }
        }
        self.wake(0).await?;
        Ok(recording)
    }

    async fn record_bodies(
        &self,
        bodies: &[(Partition, Body)],
        recorder: &Recorder<'_>,
    ) -> Result<Vec<Answer>, StoreError> {
        let (keys, mut calls) = (&self.0.keys, Pipeline::new());
        for (partition, body) in bodies {
            calls.add_command(recorder.call(keys, *partition, body, self.0.seen.greatest(*partition)));
        }
        let replies = self
            .0
            .redis
            .scripts("record changes", &scripts::RECORD_CHANGES, &calls)
            .await?;
        let answers = bodies.iter().zip(replies);
        answers
            .map(|((partition, _), reply)| recorder.decode(reply, &keys.changes(*partition)))
            .collect()
    }

    /// Sends a message that every node hears behind all announcements that were made before it.
    pub async fn wake(&self, nonce: u64) -> Result<(), StoreError> {
        const OPERATION: &str = "tell of changes";
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.0.keys.channel()).arg(wake_message(nonce));
        let replies = self.0.redis.write(OPERATION, &command).await?;
        reply::done(replies, OPERATION, "channel")
    }

    /// Entries of all partitions behind these ids, at most so many of each, and the bytes that they take up.
    pub async fn read(&self, after: &[u64], at_most: usize) -> Result<(Vec<RecordedChanges>, usize), StoreError> {
        const OPERATION: &str = "read changes";
        let mut turn = Commands::default();
        for (partition, after) in Partition::all().zip(after) {
            turn.add(&reading(&self.0.keys, partition, *after, at_most));
        }
        let replies = self.0.redis.read_raw(ReplySize::Large, OPERATION, turn).await?;
        let (mut read, mut bytes, mut decoder) = (Vec::new(), 0, Decoder::default());
        for (partition, reply) in Partition::all().zip(replies) {
            bytes += reply.len();
            let reply = reply::value(&reply, OPERATION)?;
            read.extend(decoder.entries(partition, reply, &self.0.keys.changes(partition))?);
        }
        Ok((read, bytes))
    }

    /// The changes that were recorded behind an id and may concern a name, and the items that are gone or recalled: one turn.
    pub async fn since(&self, name: &ListingName, after: u64) -> Result<ChangesSince, StoreError> {
        let turn = reading_since(&self.0.keys, name, after, self.0.clock.now());
        // Through the writing connection, which is the one that the next step needs anyway.
        let replies = self.0.redis.write("read changes", &turn).await?;
        decode_since(&self.0.keys, name, after, replies)
    }

    /// Up to where the changes of each partition are worked off.
    pub async fn worked_off(&self) -> Result<Vec<u64>, StoreError> {
        const OPERATION: &str = "read changes";
        let mut turn = Pipeline::new();
        for partition in Partition::all() {
            turn.cmd("GET").arg(self.0.keys.worked_off(partition));
        }
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let ids = replies.into_iter().map(|reply| {
            let reply = reply::answered(reply, OPERATION, "worked-off")?;
            Ok(reply::unsigned(&reply).unwrap_or_default())
        });
        ids.collect()
    }

    /// Remembers up to where the changes of partitions are worked off, and that these changes are.
    pub async fn work_off(&self, up_to: &[(u8, u64)], done: &[(ChangeToken, u8)]) -> Result<(), StoreError> {
        if up_to.is_empty() && done.is_empty() {
            return Ok(());
        }
        let mut turn = Pipeline::new();
        for (partition, id) in up_to {
            turn.cmd("SET")
                .arg(self.0.keys.worked_off(Partition(*partition)))
                .arg(*id);
        }
        self.outcomes().done(done, &mut turn);
        self.0.redis.change("work changes off", "worked-off", &turn).await
    }

    /// Redis's time, in the unit of ids.
    pub fn now_us(&self) -> u64 {
        let Timestamp(now) = self.0.clock.now();
        now.saturating_mul(1000)
    }
}
