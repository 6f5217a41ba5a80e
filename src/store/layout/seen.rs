//! The greatest id that this node has seen in each partition. A draw must not go below it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::keys::{PARTITIONS, Partition};
use crate::listing::HeadState;

/// The greatest id this node has seen a partition: a failover that rewinds Redis must not hand ids out again.
#[derive(Debug)]
pub(crate) struct Seen([AtomicU64; PARTITIONS as usize]);

impl Seen {
    pub(crate) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; PARTITIONS as usize])
    }

    pub(crate) fn raise(&self, partition: Partition, id: u64) {
        if let Some(seen) = self.0.get(partition.index()) {
            seen.fetch_max(id, Ordering::Relaxed);
        }
    }

    pub(crate) fn raise_to(&self, partition: Partition, head: &HeadState) {
        self.raise(partition, head.id());
    }

    pub(crate) fn greatest(&self, partition: Partition) -> u64 {
        self.0
            .get(partition.index())
            .map_or(0, |seen| seen.load(Ordering::Relaxed))
    }
}
