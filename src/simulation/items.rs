//! What origins hold and pushes bring, and as what it is written.

use std::sync::Arc;

use super::{
    truth::{CHUNK_LEN, ITEMS_MAX, Place, Violation, Written},
    world::World,
};
use crate::listing::{ChunkSet, Delta, Generation};

impl World {
    /// The items that an origin holds, or somebody pushes; often with a delta from the current generation, to be written as that.
    pub(super) fn some_items(
        &mut self,
        place: Place,
        version: u64,
        generation: Generation,
    ) -> Result<(Written, Option<Arc<Delta>>), Violation> {
        let mut written = Written {
            place,
            version,
            total: self.random.u64(..ITEMS_MAX),
            chunks: Default::default(),
        };
        written.chunks.fill(version);
        let head = self.head_in_redis(place);
        let Some(head) = head.live().filter(|head| head.total > 0 && self.random.u32(..3) > 0) else {
            return Ok((written, None));
        };
        let before = self.truth.written(head.generation)?;
        if self.random.bool() {
            written.total = before.total;
        }
        let chunk_len = u64::from(CHUNK_LEN);
        let items = |total: u64, chunk: u64| total.saturating_sub(chunk * chunk_len).min(chunk_len);
        let (mut changed, chunks) = (ChunkSet::default(), written.total.div_ceil(chunk_len));
        for chunk in 0..chunks {
            if items(written.total, chunk) != items(before.total, chunk) || self.random.u32(..4) == 0 {
                changed.push(chunk);
            } else {
                written.chunks[chunk as usize] = before.chunks[chunk as usize];
            }
        }
        let group = head.delta.as_deref().cloned().unwrap_or(Delta {
            base: head.generation,
            base_of: None,
            base_chunks: before.total.div_ceil(chunk_len),
            layers: Vec::new(),
        });
        let delta = group.follow(generation, changed, chunks);
        if written.total == 0 || !delta.fits() {
            written.chunks.fill(version);
            return Ok((written, None));
        }
        self.tally.count("deltas");
        Ok((written, Some(Arc::new(delta))))
    }
}
