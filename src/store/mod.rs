//! The data in Redis, and the only code that speaks to it.
//!
//! [`Store`] is a handle to parts: `store.due` for due times, `store.pages` for the items of a page. Each part has one file in the room
//! of its kind, and holds an [`access::Access`]: the connections, the names of keys, the clock and the ids seen.
//!
//! ```text
//! handle      the parts together; start and rights check a server before it is used
//! moving      from one layout to another: an old layout read, a prefix claimed, old keys removed
//! records     small keys beside the listings: due times, failures, freezes, names, counts
//! writing     draw ─► generations ─► publish: the right to write, the stream written aside, the head moved;
//!                          or ─► confirm: the origin still has what is kept
//! hearing     announcements of other nodes: subscriber, and followed_logs, which decides what was missed
//! reading     a page: HMGET and XRANGE in one turn, no script
//! access      what all parts share
//! layout      keys, heads, chunks and announcements as bytes
//! wire        connections, commands, replies, the clock
//! health      what Redis refuses, and whether it answers
//! error       why a call failed
//! ```
//! Each uses those below it. `layout::keys` names every key, every script is a file under `scripts/`, and `docs/redis-layout.md` says what
//! lies where.

mod access;
mod connect_error;
#[cfg(any(test, fuzzing))]
mod decode_anything;
mod dictionaries;
mod error;
mod handle;
mod health;
mod hearing;
mod layout;
mod moving;
mod private_server;
mod reading;
mod records;
mod rights;
mod scripts;
#[cfg(test)]
pub(crate) mod simulated;
mod start;
mod wire;
mod writing;

#[cfg(any(test, fuzzing))]
pub(crate) use self::decode_anything::decode_anything;
pub(crate) use self::layout::keys::LAYOUT;

pub use self::{
    connect_error::ConnectError,
    error::StoreError,
    handle::{Store, StoreOptions},
    health::refusals::Refused,
    hearing::log_reader::{LogCursor, LogRead, LogReader, Logged, PurgeCursors},
    layout::{
        announcements::{Announcement, Heard},
        keys::PARTITIONS,
        sidecar_codec::Description,
    },
    moving::{layout_1::Layout1, prefix::Prefix},
    private_server::{PrivateServer, PrivateServerError},
    reading::{
        exports::{ExportReads, Exportable},
        pages::PinnedRead,
        worker_reads::ReadsNearby,
    },
    records::{
        change_outcomes::ChangeOutcomes,
        changelogs::ChangelogPositions,
        changes::{
            ChangeRecords, Recording,
            entries::{ChangesSince, RecordedChanges},
        },
        coalesced::ReadEnd,
        due::{Claim, LATER_A_PARTITION},
        failures::{Emptiness, Failing, Failure},
        footprint::{Footprint, StreamSize},
        freezes::{FREEZES_MAX, Freeze},
        warm_ups::WarmUpRecord,
    },
    writing::{
        aside::{base::Base, finished::FinishedGeneration, generations::GenerationWriter},
        confirm::{Confirmation, Confirmed, Kept},
        draw::{Drawn, DrawnFor, Grant},
        leases::{Lease, LeaseState},
        publish::{NextChangeIs, Publication, Published},
    },
};
