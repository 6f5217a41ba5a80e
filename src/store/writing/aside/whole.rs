//! A generation that was begun over a base and differs too much: all of it is put together in a stream of its own.
//!
//! The origin is not asked again: what was written is read, and the chunks that have not changed with it, from wherever each counts.

use std::sync::Arc;

use super::{fields::Fields, finished::Written, packer::Packer, stream_writer::StreamWriter};
use crate::{
    listing::{
        ChunkIndex, Delta,
        sidecar::{Column, Segments},
    },
    store::{
        access::Access,
        error::StoreError,
        layout::{
            chunk_codec::Entry,
            delta_codec::{decode_segment, read_segment, sealed},
        },
        reading::{decoding::decoded, pages::Lying},
        wire::{commands::Commands, connections::ReplySize},
    },
};

const OPERATION: &str = "write generation";
/// Chunks a turn: each may have some MiB.
const CHUNKS_A_TURN: u64 = 16;

/// A generation that is made whole.
pub(super) struct Whole<'a> {
    access: &'a Arc<Access>,
    written: &'a Written,
    packer: Option<&'a Packer>,
    /// Where its chunks lie until then.
    lying: &'a Delta,
}

impl<'a> Whole<'a> {
    pub(super) fn of(
        access: &'a Arc<Access>,
        written: &'a Written,
        packer: Option<&'a Packer>,
        lying: &'a Delta,
    ) -> Self {
        Self {
            access,
            written,
            packer,
            lying,
        }
    }

    /// Writes stream and columns. Returns their bytes.
    pub(super) async fn make(self, mut stream: StreamWriter) -> Result<u64, StoreError> {
        let draft = &self.written.draft;
        let chunks = self.written.total.div_ceil(draft.chunk_len.get().into());
        let mut from = 0;
        while from < chunks {
            let range = from..(from + CHUNKS_A_TURN).min(chunks);
            from = range.end;
            let wanted = range.end - range.start;
            let mut turn = Commands::default();
            let lying = Lying::of(
                &self.access.keys,
                &draft.key,
                draft.generation,
                Some(self.lying),
                range.clone(),
            );
            lying.read(&mut turn);
            let replies = self.access.redis.read_raw(ReplySize::Large, OPERATION, turn).await?;
            let found = decoded(self.access, draft.key.name(), &replies, |replies, dictionaries| {
                lying.decode_items(replies, dictionaries)
            });
            let found = found.await?;
            if found.len() as u64 != wanted {
                let reason = "a chunk is gone that a new generation takes over";
                return Err(StoreError::corrupt(draft.stream_key.key(), reason));
            }
            for (index, items) in range.zip(found) {
                let packed = self.packer.and_then(|packer| packer.pack_items(&items));
                let entry = packed.as_deref().map_or(Entry::Items(&items), Entry::Packed);
                stream.add(ChunkIndex(index), entry).await?;
            }
        }
        stream.finish().await?;
        Ok(stream.bytes() + self.make_columns().await?)
    }

    /// Puts the segments into the sidecar. One that is lost is rebuilt when it is needed.
    async fn make_columns(&self) -> Result<u64, StoreError> {
        let (draft, mut fields) = (&self.written.draft, Fields::of(self.written.draft.sidecar_key.clone()));
        let columns = [Column::Ids, Column::Keys].into_iter();
        let columns = columns.filter(|column| *column == Column::Ids || self.written.has_keys);
        for column in columns {
            for first in Segments::new(draft.chunk_len).firsts(self.written.total) {
                let mut turn = Commands::default();
                let place = read_segment(
                    &mut turn,
                    &self.access.keys,
                    (&draft.key, self.lying),
                    Segments::new(draft.chunk_len),
                    (column, first),
                );
                let replies = self.access.redis.write(OPERATION, turn).await?;
                let reply = replies.into_iter().next().unwrap_or_default();
                if let Some(bytes) = decode_segment(reply, &place)? {
                    let field = column.field(first);
                    let value = sealed(&draft.sidecar_key, &field, bytes);
                    fields.add(field, &value);
                    fields.send_much(self.access).await?;
                }
            }
        }
        fields.send(self.access).await?;
        Ok(fields.bytes())
    }
}
