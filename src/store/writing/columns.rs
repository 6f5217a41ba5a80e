//! The columns of a generation's sidecar, on their way to Redis: segment by segment, as the stream is written.
//!
//! A delta writes the segments that hold a chunk of its own. The others are its base's: the content of a chunk covers the sort keys of its
//! items, so a segment without a changed chunk has not changed.

use std::sync::Arc;

use super::{finished::BUILDING_LIFE, in_flight::deliver};
use crate::{
    listing::{
        ChunkIndex, ChunkSet, ItemId,
        sidecar::{Column, ColumnEncoder, Segment, Segments},
    },
    store::{
        access::Access,
        error::StoreError,
        layout::{keys::ListingPlace, sidecar_codec::sealed_segment},
        wire::{commands::Commands, reply},
    },
};

/// Bytes that wait before they are sent.
const WAITING_MAX: usize = 512 * 1024;

/// The columns of one generation.
pub(super) struct Columns {
    sidecar: ListingPlace,
    segments: Segments,
    encoder: ColumnEncoder,
    /// First chunks of the segments that are left to the base.
    left: Vec<ChunkIndex>,
    waiting: Commands,
    begun: bool,
}

impl Columns {
    pub(super) fn new(sidecar: ListingPlace, segments: Segments) -> Self {
        Self {
            sidecar,
            segments,
            encoder: ColumnEncoder::new(segments),
            left: Vec::new(),
            waiting: Commands::default(),
            begun: false,
        }
    }

    /// Takes the next item.
    pub(super) fn push(&mut self, id: &ItemId, key: Option<&[u8]>) {
        self.encoder.push(id, key);
    }

    /// To be called behind each chunk: takes the segments that are full. With `changed`, those without a changed chunk are left to
    /// the base.
    pub(super) fn end_chunk(&mut self, changed: Option<&ChunkSet>) {
        for segment in self.encoder.take_full() {
            self.take(&segment, changed);
        }
    }

    fn take(&mut self, segment: &Segment, changed: Option<&ChunkSet>) {
        let chunks = segment.first.0..segment.first.0 + self.segments.chunks_each();
        if changed.is_some_and(|changed| changed.within(chunks).next().is_none()) {
            if segment.column == Column::Ids {
                self.left.push(segment.first);
            }
            return;
        }
        self.add(&segment.field(), &sealed_segment(&self.sidecar, segment));
    }

    fn add(&mut self, field: &str, bytes: &[u8]) {
        self.begin();
        self.waiting
            .add(redis::cmd("HSET").arg(&self.sidecar).arg(field).arg(bytes));
    }

    /// Fields and expiry come together or not at all: nothing without expiry is ever left behind.
    fn begin(&mut self) {
        if self.waiting.is_empty() {
            self.waiting.add(&redis::cmd("MULTI"));
        }
    }

    /// Sends what waits, where that is much. With it the sidecar's life begins anew.
    pub(super) async fn send_much(&mut self, access: &Arc<Access>) -> Result<(), StoreError> {
        match self.waiting.bytes() >= WAITING_MAX {
            true => self.send(access).await,
            false => Ok(()),
        }
    }

    /// Sends what waits. With it the sidecar's life begins anew.
    pub(super) async fn send(&mut self, access: &Arc<Access>) -> Result<(), StoreError> {
        if self.waiting.is_empty() && !self.begun {
            return Ok(());
        }
        self.begin();
        let life = BUILDING_LIFE.as_millis() as u64;
        self.waiting.add(redis::cmd("PEXPIRE").arg(&self.sidecar).arg(life));
        self.waiting.add(&redis::cmd("EXEC"));
        self.begun = true;
        deliver(access.clone(), self.sidecar.key().to_owned(), self.waiting.take()).await
    }

    /// Sends the rest, and says whether all items that came had sort keys. `base`: the sidecar to copy from what was left there, where the
    /// generation has become whole in the end.
    pub(super) async fn finish(
        mut self,
        access: &Arc<Access>,
        changed: Option<&ChunkSet>,
        base: Option<&ListingPlace>,
    ) -> Result<bool, StoreError> {
        let end = std::mem::replace(&mut self.encoder, ColumnEncoder::new(self.segments)).finish();
        for segment in &end.segments {
            self.take(segment, changed);
        }
        if let Some(base) = base {
            self.copy_left(access, base).await?;
        }
        // Keys that turned out not to be whole mean nothing, written or not: the sidecar says that there are none.
        self.send(access).await?;
        Ok(end.keys.is_ok())
    }

    /// Copies the segments that were left to a base. Their sums hold no generation.
    async fn copy_left(&mut self, access: &Arc<Access>, base: &ListingPlace) -> Result<(), StoreError> {
        const OPERATION: &str = "copy sidecar";
        let fields = self.left.iter().flat_map(|first| {
            let columns = [Column::Ids, Column::Keys];
            columns.map(|column| column.field(*first))
        });
        for field in fields.collect::<Vec<String>>() {
            let mut turn = Commands::default();
            turn.add(redis::cmd("HGET").arg(base).arg(&field));
            let replies = access.redis.write(OPERATION, turn).await?;
            let reply = replies.into_iter().next().unwrap_or_default();
            // One that is lost is rebuilt when it is needed.
            if let Some(bytes) = reply::bytes(reply::answered(reply, OPERATION, base.key())?) {
                self.add(&field, &bytes);
                self.send_much(access).await?;
            }
        }
        Ok(())
    }
}
