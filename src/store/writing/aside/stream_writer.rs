//! Entries on their way into a stream that no reader knows yet.
//!
//! A killed writer leaves nothing behind, because its stream has an expiry from its first entry on. A stream that expired under a slow
//! writer does not come back, because every later entry needs it to be there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::in_flight::{BUILDING_LIFE, OnTheirWay, deliver};
use crate::{
    listing::ChunkIndex,
    store::{
        access::Access,
        error::StoreError,
        layout::{
            chunk_codec::{Entry, add_chunk},
            keys::ListingPlace,
        },
        wire::commands::Commands,
    },
};

/// Entries a pipeline: more would make a neighbour's small call wait.
const BATCH_ENTRIES_MAX: usize = 400;
/// Streams of fewer bytes are sealed: to copy them takes Redis some 50 microseconds at most.
const SEALED_BYTES_MAX: u64 = 64 * 1024;
/// Bytes a pipeline, but for its last chunk.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// Writes one stream.
pub(super) struct StreamWriter {
    access: Arc<Access>,
    place: ListingPlace,
    aside: ListingPlace,
    /// Entries of the pipeline that is not full yet.
    batch: Commands,
    /// The pipelines before it.
    on_their_way: OnTheirWay,
    sent_at: Instant,
    entries: u64,
    bytes: u64,
    /// Whether the first entry, and with it the expiry, is in Redis.
    begun: bool,
}

impl StreamWriter {
    /// `aside`: where a copy of the stream may lie for the blink of an eye.
    pub(super) fn new(access: Arc<Access>, place: ListingPlace, aside: ListingPlace) -> Self {
        Self {
            access,
            place,
            aside,
            batch: Commands::default(),
            on_their_way: OnTheirWay::default(),
            sent_at: Instant::now(),
            entries: 0,
            bytes: 0,
            begun: false,
        }
    }

    /// Bytes of all entries.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How long ago something was sent.
    pub(super) fn idle(&self) -> Duration {
        self.sent_at.elapsed()
    }

    /// Adds the entry of a chunk, and sends a pipeline when one is full. Its last entry is not quiet, so that Redis says where it is full,
    /// or the stream gone. Should it be so for some entries only, the stream is too short, and publishing it is refused.
    pub(super) async fn add(&mut self, index: ChunkIndex, entry: Entry<'_>) -> Result<(), StoreError> {
        let is_full = self.batch.len() + 1 >= BATCH_ENTRIES_MAX || self.batch.bytes() >= BATCH_BYTES_MAX;
        if is_full {
            self.batch.end_quiet();
        } else if self.begun && self.batch.is_empty() && self.access.redis.writes_quietly() {
            self.batch.begin_quiet();
        }
        let (before, is_first) = (self.batch.bytes(), self.entries == 0);
        // The first entry and the expiry come together or not at all: nothing without expiry is ever left behind.
        if is_first {
            self.batch.add(&redis::cmd("MULTI"));
        }
        add_chunk(&mut self.batch, &self.place, index, entry, !is_first);
        self.bytes += (self.batch.bytes() - before) as u64;
        if is_first {
            self.renew();
            self.batch.add(&redis::cmd("EXEC"));
        }
        self.entries += 1;
        if is_full { self.send().await } else { Ok(()) }
    }

    /// Sends what there is. With it the stream's life begins anew.
    pub(super) async fn send(&mut self) -> Result<(), StoreError> {
        self.sent_at = Instant::now();
        if self.begun {
            self.batch.end_quiet();
            self.renew();
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.begun {
            return self
                .on_their_way
                .send(&self.access, self.place.key(), &mut self.batch)
                .await;
        }
        // The first makes the stream: it must not arrive after the unlinking.
        deliver(self.access.clone(), self.place.key().to_owned(), self.batch.take()).await?;
        self.begun = true;
        Ok(())
    }

    /// Sends the rest, and waits until all has arrived.
    pub(super) async fn finish(&mut self) -> Result<(), StoreError> {
        if self.entries > 0 && !self.begun && self.bytes < SEALED_BYTES_MAX {
            self.seal();
        }
        if !self.batch.is_empty() {
            self.send().await?;
        }
        self.on_their_way.all_arrived().await
    }

    /// Puts a copy in the stream's place. A stream's last node is allocated with 4 KB (`stream-node-max-bytes`) whatever it holds, and a copy's
    /// is as large as it is: for a listing of a few items that is most of its memory.
    fn seal(&mut self) {
        self.batch.add(&redis::cmd("MULTI"));
        self.batch
            .add(redis::cmd("COPY").arg(&self.place).arg(&self.aside).arg("REPLACE"));
        self.batch.add(redis::cmd("RENAME").arg(&self.aside).arg(&self.place));
        self.batch.add(&redis::cmd("EXEC"));
    }

    fn renew(&mut self) {
        let life = BUILDING_LIFE.as_millis() as u64;
        self.batch.add(redis::cmd("PEXPIRE").arg(&self.place).arg(life));
    }
}
