//! How a node follows the logs, as turns.

use std::sync::Arc;

use super::server::{Replies, Turn};
use crate::store::{
    hearing::{
        followed_logs::{Followed, FollowedLogs, Next},
        log::{decode_newest, decode_reading, read_log, read_newest},
        log_position::LogPosition,
    },
    layout::{
        announcements::Heard,
        keys::{Keys, Partition},
        seen::Seen,
    },
};

/// Where logs are read from.
pub(crate) struct From(Vec<(Partition, LogPosition)>);

/// The node's next step about the logs.
pub(crate) enum Step {
    Listen,
    Read(From, Turn),
    BeginEpoch(Turn),
}

/// One node's side.
pub(crate) struct Logs {
    keys: Keys,
    followed: FollowedLogs,
}

impl Logs {
    pub(super) fn new(keys: Keys, seen: Arc<Seen>) -> Self {
        let followed = FollowedLogs::new(seen);
        Self { keys, followed }
    }

    /// A subscription stands.
    pub(crate) fn resume(&mut self, run_id: &str) -> Step {
        let next = self.followed.resume(Followed {
            run_id: Some(run_id.to_owned()),
        });
        self.step(next)
    }

    pub(crate) fn hear(&mut self, message: &[u8], heard: &mut Vec<Heard>) -> Step {
        let next = self.followed.hear(message, heard);
        self.step(next)
    }

    pub(crate) fn compare(&self) -> (From, Turn) {
        self.reading(&Partition::all().collect::<Vec<_>>())
    }

    pub(crate) fn take_reading(&mut self, from: &From, replies: Replies, heard: &mut Vec<Heard>) -> Step {
        let reading = decode_reading(&from.0, replies.0).ok().unwrap();
        let next = self.followed.take(reading, heard);
        self.step(next)
    }

    pub(crate) fn take_newest(&mut self, replies: Replies) -> Heard {
        let newest = replies.0.into_iter().map(|reply| decode_newest(reply).ok().unwrap());
        self.followed.begin_epoch(newest.collect())
    }

    fn step(&self, next: Next) -> Step {
        match next {
            Next::Listen => Step::Listen,
            Next::Read(partitions) => {
                let (from, turn) = self.reading(&partitions);
                Step::Read(from, turn)
            }
            Next::BeginEpoch => Step::BeginEpoch(Turn(
                Partition::all()
                    .map(|partition| read_newest(&self.keys.log(partition)))
                    .collect(),
            )),
        }
    }

    fn reading(&self, partitions: &[Partition]) -> (From, Turn) {
        let positions = self.followed.positions_of(partitions);
        let read = |(partition, position): &(Partition, LogPosition)| read_log(&self.keys.log(*partition), *position);
        let commands = Turn(positions.iter().map(read).collect());
        (From(positions), commands)
    }
}
