//! A partition's log: the announcements of its names, the newest [`LOG_ENTRIES_MAX`](crate::store::layout::announcements::LOG_ENTRIES_MAX).
//!
//! An entry holds the version and the body of an announcement, and which entry the log held last before it.

use redis::{Cmd, Value};

use super::log_position::{Entry, Linked, LogPosition};
use crate::store::{
    error::Cause,
    layout::{announcements::mark_of, chunk_codec::entry_parts, entry_id::EntryId, keys::Partition},
    wire::reply,
};

/// Entries of one log read at once: replies stay small.
pub(crate) const ENTRIES_A_READING: usize = 100;

/// Readings of some partitions' logs, with the positions they went from.
pub(crate) type Reading = Vec<(Partition, LogPosition, Vec<LogEntry>)>;

/// An entry of the log.
pub(crate) struct LogEntry {
    pub linked: Linked,
    pub version: u32,
    pub body: String,
}

/// Reads a log from and including the last entry applied.
pub(crate) fn read_log(key: &str, position: LogPosition) -> Cmd {
    let mut command = redis::cmd("XREAD");
    command.arg("COUNT").arg(ENTRIES_A_READING).arg("STREAMS").arg(key);
    command.arg(position.read_after().to_string());
    command
}

/// Reads the newest entry.
pub(crate) fn read_newest(key: &str) -> Cmd {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(key).arg("+").arg("-").arg("COUNT").arg(1);
    command
}

/// The position at the newest entry.
pub(crate) fn decode_newest(reply: Value) -> Result<LogPosition, Cause> {
    let entries = reply::array(reply).ok_or("a log that cannot be read")?;
    match entries.into_iter().next() {
        Some(entry) => {
            let entry = decode_entry(entry).ok_or("a log entry that cannot be read")?;
            Ok(LogPosition::at(entry.linked.entry))
        }
        None => Ok(LogPosition::default()),
    }
}

/// Takes replies to [`read_log`] apart, one a position.
pub(crate) fn decode_reading(positions: &[(Partition, LogPosition)], replies: Vec<Value>) -> Result<Reading, Cause> {
    let decoded = positions.iter().zip(replies).map(|((partition, position), reply)| {
        let entries = match reply {
            Value::Nil => Some(Vec::new()),
            Value::ServerError(error) => return Err(redis::RedisError::from(error).into()),
            reply => decode_xread(reply),
        };
        Ok((*partition, *position, entries.ok_or("a log that cannot be read")?))
    });
    decoded.collect()
}

/// The entries of the one stream that was asked for.
fn decode_xread(reply: Value) -> Option<Vec<LogEntry>> {
    let (_, entries) = reply::pairs(reply)?.into_iter().next()?;
    reply::array(entries)?.into_iter().map(decode_entry).collect()
}

fn decode_entry(entry: Value) -> Option<LogEntry> {
    let (id, fields) = entry_parts(entry)?;
    let (mut version, mut after, mut body) = (None, None, None);
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match reply::bytes(name)?.as_slice() {
            b"v" => version = u32::try_from(reply::integer(&value)?).ok(),
            b"after" => after = EntryId::parse(&reply::bytes(value)?),
            b"body" => body = reply::text(value),
            _ => {}
        }
    }
    // An entry that another release wrote is linked to nothing, and so begins a new epoch.
    let body = body.unwrap_or_default();
    let entry = Entry {
        id: EntryId::parse(&id)?,
        mark: mark_of(&body),
    };
    Some(LogEntry {
        linked: Linked {
            entry,
            after: after.unwrap_or(EntryId::NONE),
        },
        version: version.unwrap_or_default(),
        body,
    })
}
