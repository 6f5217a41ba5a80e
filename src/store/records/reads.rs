//! Reads as the nodes have counted them: the last read of a family, and the number of its reads.
//!
//! Both sets are bounded: beyond [`FAMILIES_A_PARTITION_MAX`] the family with the oldest read, or the fewest, is forgotten.

use std::sync::Arc;

use redis::Pipeline;

use super::due::parse_family;
use crate::{
    listing::{Family, Timestamp},
    store::{access::Access, error::StoreError, layout::keys::Partition, wire::reply},
};

/// Members of each set.
const FAMILIES_A_PARTITION_MAX: usize = 10_000;
/// Families flushed in one turn: two commands each, and two a partition.
const FAMILIES_A_TURN: usize = 50;
/// Members read in one turn.
const MEMBERS_A_TURN: usize = 2000;

/// The counts of reads of all families.
#[derive(Clone)]
pub struct ReadRecords(pub(crate) Arc<Access>);

impl ReadRecords {
    /// Adds to the counts of families, and says that they were read just now.
    pub async fn record(&self, reads: &[(Family, u64)]) -> Result<(), StoreError> {
        const OPERATION: &str = "record reads";
        let now = self.0.clock.now();
        // Neighbours in a partition share the trimming.
        let mut reads: Vec<(Partition, &(Family, u64))> =
            reads.iter().map(|read| (Partition::of(&read.0.name), read)).collect();
        reads.sort_unstable_by_key(|(partition, _)| *partition);
        for batch in reads.chunks(FAMILIES_A_TURN) {
            let mut turn = Pipeline::new();
            for in_partition in batch.chunk_by(|(one, _), (other, _)| one == other) {
                let partition = in_partition[0].0;
                let (last_read, popular) = (self.0.keys.reads(partition), self.0.keys.popular(partition));
                for (_, (family, count)) in in_partition {
                    let family = family.to_string();
                    turn.cmd("ZADD").arg(&last_read).arg("GT").arg(now.0).arg(&family);
                    turn.cmd("ZINCRBY").arg(&popular).arg(*count).arg(&family);
                }
                for key in [&last_read, &popular] {
                    let beyond = -1 - i64::try_from(FAMILIES_A_PARTITION_MAX).unwrap_or(i64::MAX - 1);
                    turn.cmd("ZREMRANGEBYRANK").arg(key).arg(0).arg(beyond);
                }
            }
            self.0.redis.change(OPERATION, "reads", &turn).await?;
        }
        Ok(())
    }

    /// Counts the time that nobody reads a family from now on, where no read of it is known.
    pub async fn begin_idleness(&self, family: &Family) -> Result<(), StoreError> {
        let key = self.0.keys.reads(Partition::of(&family.name));
        let mut turn = Pipeline::new();
        let now = self.0.clock.now();
        turn.cmd("ZADD").arg(&key).arg("NX").arg(now.0).arg(family.to_string());
        self.0.redis.change("begin idleness", &key, &turn).await
    }

    /// When a family was read last, on any node; `None` where that is not known.
    pub async fn last(&self, family: &Family) -> Result<Option<Timestamp>, StoreError> {
        let key = self.0.keys.reads(Partition::of(&family.name));
        let mut command = redis::cmd("ZSCORE");
        command.arg(&key).arg(family.to_string());
        let reply = self.0.redis.read_one("read last read", &key, &command).await?;
        Ok(reply::score(&reply).map(Timestamp))
    }

    /// Families by recorded reads, most read first.
    pub async fn popular(&self, limit: usize) -> Result<Vec<(Family, u64)>, StoreError> {
        const OPERATION: &str = "read popular";
        let limit = limit.min(FAMILIES_A_PARTITION_MAX * usize::from(crate::store::PARTITIONS));
        let mut families = Vec::new();
        if limit == 0 {
            return Ok(families);
        }
        let page = limit.min(MEMBERS_A_TURN);
        let partitions: Vec<Partition> = Partition::all().collect();
        for partitions in partitions.chunks(MEMBERS_A_TURN / page) {
            let mut from = 0;
            loop {
                let mut turn = Pipeline::new();
                for partition in partitions {
                    let key = self.0.keys.popular(*partition);
                    let range = turn.cmd("ZRANGE").arg(key).arg(from).arg(from + page - 1);
                    range.arg("REV").arg("WITHSCORES");
                }
                let mut full = false;
                for reply in self.0.redis.read(OPERATION, &turn).await? {
                    let reply = reply::answered(reply, OPERATION, "popular")?;
                    let members = reply::pairs(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
                    full |= members.len() == page;
                    families.extend(
                        members
                            .into_iter()
                            .filter_map(|(family, count)| Some((parse_family(&family)?, reply::score(&count)?))),
                    );
                }
                from += page;
                // Of each partition the first `limit` are enough.
                if !full || from >= limit {
                    break;
                }
            }
        }
        families.sort_by(|(one, reads), (other, more)| more.cmp(reads).then_with(|| one.cmp(other)));
        families.truncate(limit);
        Ok(families)
    }
}
