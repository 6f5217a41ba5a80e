//! The logs as a queue: read from a place that Redis keeps, by a node that purges caches behind this service.

use std::{fmt, sync::Arc, time::Duration};

use redis::{Pipeline, Value};

use super::{
    log::{ENTRIES_A_READING, LogEntry, decode_newest, decode_reading, read_log, read_newest},
    log_position::{Entry, Linked, LogPosition},
};
use crate::{
    listing::{ListingName, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            announcements::{VERSION, parse_body},
            entry_id::EntryId,
            keys::{PARTITIONS, Partition},
        },
        wire::reply,
    },
};

/// How long the word of a worker counts.
const WORD_LIFE: Duration = Duration::from_secs(2);

/// A place in the log of one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCursor(Entry);

impl LogCursor {
    /// Whether it lies behind another one of the same log.
    pub fn is_after(self, other: Self) -> bool {
        self.0.id > other.0.id
    }

    fn parse(text: &str) -> Option<Self> {
        let (id, mark) = text.split_once('/')?;
        Some(Self(Entry {
            id: EntryId::parse(id.as_bytes())?,
            mark: u64::from_str_radix(mark, 16).ok()?,
        }))
    }
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:016x}", self.0.id, self.0.mark)
    }
}

/// An announcement in the log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its place.
    pub cursor: LogCursor,
    /// When it was written.
    pub written: Timestamp,
    /// Whose head has moved; `None` where another release wrote the entry.
    pub name: Option<ListingName>,
}

/// The entries of one log after a place.
#[derive(Clone, Debug)]
pub enum LogRead {
    /// The entries, and whether there are probably more.
    Entries(Vec<Logged>, bool),
    /// The log no longer reaches back to the place, or is another one.
    Cut,
}

/// How far a worker is: the place up to which everything was purged once, and that up to which it was purged twice, by partition.
#[derive(Clone, Debug)]
pub struct PurgeCursors {
    /// Once.
    pub first: Vec<LogCursor>,
    /// Twice.
    pub second: Vec<LogCursor>,
}

/// Reads the logs.
#[derive(Clone)]
pub struct LogReader(pub(crate) Arc<Access>);

impl LogReader {
    /// How many logs there are.
    pub const LOGS: usize = PARTITIONS as usize;

    /// The log that has a name's announcements.
    pub fn log_of(name: &ListingName) -> usize {
        Partition::of(name).index()
    }

    /// The newest entry of each log.
    pub async fn newest(&self) -> Result<Vec<LogCursor>, StoreError> {
        const OPERATION: &str = "read the ends of the logs";
        let mut turn = Pipeline::new();
        for partition in Partition::all() {
            turn.add_command(read_newest(&self.0.keys.log(partition)));
        }
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let ends = replies.into_iter().map(|reply| {
            let position = decode_newest(reply).map_err(|_| StoreError::odd_reply(OPERATION))?;
            Ok(LogCursor(position.last()))
        });
        ends.collect()
    }

    /// The entries of some logs, each after a place in it.
    pub async fn after(&self, places: &[(usize, LogCursor)]) -> Result<Vec<(usize, LogRead)>, StoreError> {
        const OPERATION: &str = "read the logs";
        let mut turn = Pipeline::new();
        let mut positions = Vec::with_capacity(places.len());
        for (log, place) in places {
            let Some(partition) = Partition::all().nth(*log) else {
                continue;
            };
            let position = LogPosition::at(place.0);
            turn.add_command(read_log(&self.0.keys.log(partition), position));
            positions.push((partition, position));
        }
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let read = decode_reading(&positions, replies).map_err(|_| StoreError::odd_reply(OPERATION))?;
        let read = read.into_iter().map(|(partition, from, entries)| {
            let links: Vec<Linked> = entries.iter().map(|entry| entry.linked).collect();
            let mut position = from;
            let read = match position.catch_up(from, &links) {
                None => LogRead::Cut,
                Some(new) => {
                    let more = entries.len() >= ENTRIES_A_READING;
                    LogRead::Entries(entries.into_iter().skip(new.start).map(logged).collect(), more)
                }
            };
            (partition.index(), read)
        });
        Ok(read.collect())
    }

    /// How far the worker of a CDN is; `None` where Redis knows nothing of it.
    pub async fn cursors(&self, cdn: &str) -> Result<Option<PurgeCursors>, StoreError> {
        const OPERATION: &str = "read how far a CDN is purged";
        let key = self.0.keys.purged(cdn);
        let mut command = redis::cmd("HMGET");
        command.arg(&key);
        for phase in ["first", "second"] {
            for log in 0..Self::LOGS {
                command.arg(format!("{phase}:{log}"));
            }
        }
        let reply = self.0.redis.read_one(OPERATION, &key, &command).await?;
        let fields = reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        let cursor = |field: Value| LogCursor::parse(&reply::text(field)?);
        let cursors: Option<Vec<LogCursor>> = fields.into_iter().map(cursor).collect();
        Ok(cursors
            .filter(|cursors| cursors.len() == 2 * Self::LOGS)
            .map(|mut first| {
                let second = first.split_off(Self::LOGS);
                PurgeCursors { first, second }
            }))
    }

    /// Remembers how far the worker of a CDN is.
    pub async fn keep(
        &self,
        cdn: &str,
        first: impl IntoIterator<Item = (usize, LogCursor)>,
        second: impl IntoIterator<Item = (usize, LogCursor)>,
    ) -> Result<(), StoreError> {
        let key = self.0.keys.purged(cdn);
        let mut command = redis::cmd("HSET");
        command.arg(&key);
        for (log, cursor) in first {
            command.arg(format!("first:{log}")).arg(cursor.to_string());
        }
        for (log, cursor) in second {
            command.arg(format!("second:{log}")).arg(cursor.to_string());
        }
        let mut turn = Pipeline::new();
        turn.add_command(command);
        self.0.redis.change("keep how far a CDN is purged", &key, &turn).await
    }

    /// The worker of a CDN says that it lives, and how late its oldest purge is. The word counts for two seconds.
    pub async fn say(&self, cdn: &str, lag: Duration) -> Result<(), StoreError> {
        let key = self.0.keys.purge_lag(cdn);
        let mut turn = Pipeline::new();
        turn.cmd("SET")
            .arg(&key)
            .arg(u64::try_from(lag.as_millis()).unwrap_or(u64::MAX))
            .arg("PX")
            .arg(WORD_LIFE.as_millis() as u64);
        self.0.redis.change("say how late purges are", &key, &turn).await
    }

    /// How late purges are at each CDN; `None` where no worker says so.
    pub async fn lags(&self, cdns: &[Box<str>]) -> Result<Vec<Option<Duration>>, StoreError> {
        const OPERATION: &str = "read how late purges are";
        let mut turn = Pipeline::new();
        for cdn in cdns {
            turn.cmd("GET").arg(self.0.keys.purge_lag(cdn));
        }
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let lag = |reply: Value| Some(Duration::from_millis(reply::text(reply)?.parse().ok()?));
        Ok(replies.into_iter().map(lag).collect())
    }
}

fn logged(LogEntry { linked, version, body }: LogEntry) -> Logged {
    let announcement = (version == VERSION).then(|| parse_body(&body)).flatten();
    Logged {
        cursor: LogCursor(linked.entry),
        // An entry's id begins with the time of its writing.
        written: Timestamp(linked.entry.id.ms),
        name: announcement.map(|announcement| announcement.listing.name().clone()),
    }
}
