//! What origins hold and pushes bring, and as what it is written.

use std::sync::Arc;

use super::{
    truth::{CHUNK_LEN, Place, Violation, Written},
    world::World,
};
use crate::listing::{ChunkSet, Delta};

impl World {
    /// The items that an origin holds, or somebody pushes; often with a delta from the current generation, to be written as that.
    pub(super) fn some_items(
        &mut self,
        place: Place,
        version: u64,
    ) -> Result<(Written, Option<Arc<Delta>>), Violation> {
        let mut written = Written {
            place,
            version,
            total: self.random.u64(..30),
            base: None,
        };
        let head = self.head_in_redis(place);
        let Some(head) = head.live().filter(|head| head.total > 0 && self.random.u32(..3) > 0) else {
            return Ok((written, None));
        };
        let base = head.delta.as_ref().map_or(head.generation, |delta| delta.base);
        let before = self.truth.written(base)?;
        if self.random.bool() {
            written.total = before.total;
        }
        let chunk_len = u64::from(CHUNK_LEN);
        let items = |total: u64, chunk: u64| total.saturating_sub(chunk * chunk_len).min(chunk_len);
        let (mut changed, mut bits) = (ChunkSet::default(), 0);
        for chunk in 0..written.total.div_ceil(chunk_len) {
            if items(written.total, chunk) != items(before.total, chunk) || self.random.u32(..4) == 0 {
                changed.push(chunk);
                bits |= 1 << chunk;
            }
        }
        if written.total == 0 {
            return Ok((written, None));
        }
        self.tally.count("deltas");
        written.base = Some((before.version, bits));
        let delta = Delta {
            base,
            base_chunks: before.total.div_ceil(chunk_len),
            changed,
        };
        Ok((written, Some(Arc::new(delta))))
    }
}
