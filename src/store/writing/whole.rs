//! A generation that was begun as a delta and differs too much: what it takes from its base is put in between.
//!
//! The ids of a stream only grow, so the stream is written anew aside, and then takes the place of the one that was begun. Entries go
//! over as they lie there, with their check sums: the origin is not asked again.

use std::{ops::Range, sync::Arc};

use redis::{Pipeline, Value};

use super::{finished::BUILDING_LIFE, in_flight::check_written};
use crate::{
    listing::{ChunkIndex, ChunkSet},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            chunk_codec::{entry_parts, read_range},
            keys::ListingPlace,
        },
        wire::{commands::Commands, reply},
    },
};

const OPERATION: &str = "write generation";
/// Entries a turn: a chunk may have some MiB.
const ENTRIES_A_TURN: u64 = 16;

/// Streams of a generation that is made whole.
pub(super) struct Whole<'a> {
    pub access: &'a Arc<Access>,
    /// Where the chunks lie that the generation holds itself, and all will.
    pub own: &'a ListingPlace,
    /// Where the others lie.
    pub base: ListingPlace,
    /// Where all are put together.
    pub aside: ListingPlace,
    pub changed: &'a ChunkSet,
}

impl Whole<'_> {
    /// Writes all chunks aside, and puts them in the place of those that the generation held itself.
    pub(super) async fn make(self, chunks: u64) -> Result<(), StoreError> {
        let mut from = 0;
        while from < chunks {
            let range = from..(from + ENTRIES_A_TURN).min(chunks);
            from = range.end;
            let entries = self.read(range.clone()).await?;
            self.write(range, entries).await?;
        }
        let mut turn = Pipeline::new();
        turn.cmd("RENAME").arg(self.aside.key()).arg(self.own.key());
        let replies = self.access.redis.write(OPERATION, &turn).await?;
        check_written(replies, self.own.key())
    }

    /// The entries of a range, from where each lies.
    async fn read(&self, range: Range<u64>) -> Result<Vec<Vec<Value>>, StoreError> {
        let mut turn = Commands::default();
        read_range(&mut turn, self.base.key(), &range);
        let own: Vec<u64> = self.changed.within(range.clone()).collect();
        if let (Some(first), Some(last)) = (own.first(), own.last()) {
            read_range(&mut turn, self.own.key(), &(*first..last + 1));
        }
        let mut replies = self.access.redis.write(OPERATION, turn).await?.into_iter();
        let mut entries = |place: &ListingPlace| -> Result<Vec<(ChunkIndex, Vec<Value>)>, StoreError> {
            let reply = reply::answered(replies.next().unwrap_or_default(), OPERATION, place.key())?;
            let entries = reply::array(reply).unwrap_or_default().into_iter();
            let entry = |entry| {
                let (id, fields) = entry_parts(entry)?;
                Some((ChunkIndex::from_entry_id(&id)?, fields))
            };
            Ok(entries.filter_map(entry).collect())
        };
        let base = entries(&self.base)?;
        let own = if own.is_empty() { Vec::new() } else { entries(self.own)? };
        let found = range.map(|index| {
            let from = if self.changed.contains(index) { &own } else { &base };
            let entry = from.iter().find(|(at, _)| at.0 == index);
            let lost = || StoreError::corrupt(self.base.key(), "a chunk is gone that a new generation takes over");
            entry.map(|(_, fields)| fields.clone()).ok_or_else(lost)
        });
        found.collect()
    }

    async fn write(&self, range: Range<u64>, entries: Vec<Vec<Value>>) -> Result<(), StoreError> {
        let mut turn = Pipeline::new();
        turn.cmd("MULTI");
        for (index, fields) in range.zip(entries) {
            let add = turn.cmd("XADD").arg(self.aside.key());
            if index > 0 {
                add.arg("NOMKSTREAM");
            }
            add.arg(ChunkIndex(index).entry_id());
            for field in fields.into_iter().filter_map(reply::bytes) {
                add.arg(field);
            }
        }
        let life = BUILDING_LIFE.as_millis() as u64;
        turn.cmd("PEXPIRE").arg(self.aside.key()).arg(life);
        turn.cmd("PEXPIRE").arg(self.own.key()).arg(life);
        turn.cmd("EXEC");
        check_written(self.access.redis.write(OPERATION, &turn).await?, self.aside.key())
    }
}
