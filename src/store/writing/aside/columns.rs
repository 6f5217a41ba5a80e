//! The columns of a generation, cut into segments as its chunks are written.
//!
//! A whole generation has all segments, in its sidecar. A delta writes those that hold a chunk it changed, beside its chunks. The others
//! are those of its group: the content of a chunk covers the sort keys of its items, so a segment without a changed chunk has not changed.

use super::fields::Fields;
use crate::{
    listing::{
        ChunkSet, Generation, ItemId,
        sidecar::{ColumnEncoder, IdHash, Segment, Segments},
    },
    store::layout::delta_codec::{sealed, segment_field},
};

/// The columns of one generation.
pub(super) struct Columns {
    generation: Generation,
    segments: Segments,
    encoder: ColumnEncoder,
}

impl Columns {
    pub(super) fn new(generation: Generation, segments: Segments) -> Self {
        Self {
            generation,
            segments,
            encoder: ColumnEncoder::new(segments),
        }
    }

    /// Takes the next item.
    pub(super) fn push(&mut self, id: &ItemId, key: Option<&[u8]>) {
        self.encoder.push(id, key);
    }

    /// Takes the next item, of which the id's hash is known.
    pub(super) fn push_hash(&mut self, id: IdHash, key: Option<&[u8]>) {
        self.encoder.push_hash(id, key);
    }

    /// To be called behind each chunk: takes the segments that are full. With `changed`, of a delta, only those with a changed chunk.
    pub(super) fn end_chunk(&mut self, changed: Option<&ChunkSet>, to: &mut Fields) {
        for segment in self.encoder.take_full() {
            self.add(&segment, changed, to);
        }
    }

    /// Takes the rest, and says whether all items that came had sort keys.
    pub(super) fn finish(mut self, changed: Option<&ChunkSet>, to: &mut Fields) -> bool {
        let end = std::mem::replace(&mut self.encoder, ColumnEncoder::new(self.segments)).finish();
        for segment in &end.segments {
            self.add(segment, changed, to);
        }
        // Keys that turned out not to be whole mean nothing, written or not: the sidecar says that there are none.
        end.keys.is_ok()
    }

    fn add(&self, segment: &Segment, changed: Option<&ChunkSet>, to: &mut Fields) {
        let chunks = segment.first.0..segment.first.0.saturating_add(self.segments.chunks_each());
        let field = match changed {
            Some(changed) if !changed.meets(&chunks) => return,
            Some(_) => segment_field(self.generation, segment),
            None => segment.field(),
        };
        let value = sealed(to.place(), &field, segment.bytes.clone());
        to.add(field, &value);
    }
}
