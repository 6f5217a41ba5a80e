//! The plan of a warm-up: an estimate, made without writing anything.
//!
//! Kept listings are counted and measured in Redis. The others are read from their origin once, as the warm-up will, and
//! counted; their bytes are reckoned from the items' own. How long reads take is measured as they are made, and where hardly
//! anything has to be read, on a few families spread over all.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{attempt::Effort, targets::Target, warm_ups::WarmUps};
use crate::{
    engine::error::{Chain, EngineError},
    listing::{Freshness, Head, HeadState, ItemId, ListingKey},
    origin::{OriginError, OriginItem, Origins, Read, ReadOrder},
    store::StreamSize,
};

/// So many reads are timed at least, where there are so many families.
const TIMED_MIN: usize = 10;
/// How quickly chunks are written, estimated: bytes a second of one warm-up.
const WRITTEN_A_SECOND: f64 = 40e6;
/// The time that a listing takes besides, estimated: its draw, publish and the commands around them.
const A_LISTING: Duration = Duration::from_millis(1);

/// Listings with their items and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Listings.
    pub listings: u64,
    /// Items.
    pub items: u64,
    /// Their bytes in Redis, with all that is kept of them.
    pub bytes: u64,
}

/// The estimate of a warm-up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Families that will be refreshed.
    pub families: u64,
    /// Of these, families that are fresh, and left.
    pub fresh: u64,
    /// Kept in Redis already: counted and measured there.
    pub kept: Amount,
    /// Not kept: read from the origin and counted, bytes reckoned.
    pub read: Amount,
    /// Reads of origins that the warm-up will make.
    pub origin_reads: u64,
    /// Families that were read now.
    pub timed: u64,
    /// How long one read of a family took, on average.
    pub a_read: Duration,
    /// How long the warm-up will take, estimated.
    pub takes: Duration,
}

impl Plan {
    /// All listings together.
    pub fn all(&self) -> Amount {
        Amount {
            listings: self.kept.listings + self.read.listings,
            items: self.kept.items + self.read.items,
            bytes: self.kept.bytes + self.read.bytes,
        }
    }

    /// Reads of origins a second, estimated.
    pub fn origin_reads_a_second(&self) -> f64 {
        self.origin_reads as f64 / self.takes.as_secs_f64().max(1e-3)
    }
}

/// A family as it was read.
struct ReadOnce {
    items: u64,
    stream: StreamSize,
    took: Duration,
}

impl WarmUps {
    /// Finds out what a warm-up of these targets will come to. Reads the origins at the warm-up's own concurrency.
    ///
    /// # Errors
    /// [`EngineError::RefreshFailed`] where an origin cannot be read; Redis's own.
    pub async fn plan(&self, targets: &[Target], effort: &Effort) -> Result<Plan, EngineError> {
        let (store, origins) = (&self.means.store, &self.means.declaration.origins());
        let mut plan = Plan::default();
        let mut kept = store.footprint();
        let mut read = store.footprint();
        let (mut to_read, mut only_kept) = (Vec::new(), Vec::new());
        for target in targets {
            let keys = target.listings();
            let heads = store.heads.read_all(&keys).await?;
            let definition = &target.defined.definition;
            let now = store.now();
            let usable = |(key, state): (&ListingKey, &HeadState)| {
                let head = state.live()?;
                (!definition.reshapes(&key.stored, head)).then(|| head.clone())
            };
            let heads: Option<Vec<Head>> = keys.iter().zip(&heads).map(usable).collect();
            let is_fresh = |head: &Head| matches!(definition.policy.freshness(head.as_of, now), Freshness::Fresh(_));
            match heads {
                Some(heads) if effort.skip_fresh && heads.iter().all(is_fresh) => plan.fresh += 1,
                Some(heads) => {
                    plan.families += 1;
                    kept.add_family(&target.family);
                    let items = heads.first().map_or(0, |head| head.total);
                    plan.origin_reads += reads_of(target, items, true);
                    for (key, head) in keys.iter().zip(&heads) {
                        let bytes = store.pages.bytes(key, head).await?;
                        let bytes = bytes.into_iter().flatten().sum::<u64>();
                        plan.kept.listings += 1;
                        plan.kept.items += head.total;
                        plan.kept.bytes += bytes;
                        kept.add_head(key);
                    }
                    only_kept.push(target);
                }
                None => {
                    plan.families += 1;
                    to_read.push(target);
                }
            }
        }
        plan.kept.bytes += kept.bytes().await?;
        // Spread evenly, for their time alone.
        let missing = TIMED_MIN.saturating_sub(to_read.len()).min(only_kept.len());
        let sample = (0..missing).filter_map(|at| only_kept.get(at * only_kept.len() / missing.max(1)));
        let all = to_read
            .iter()
            .map(|target| (*target, true))
            .chain(sample.map(|target| (*target, false)));
        let at_once = usize::try_from(effort.concurrency.get()).unwrap_or(usize::MAX);
        let mut each = stream::iter(all.collect::<Vec<_>>())
            .map(|(target, counts)| async move { (target, counts, read_once(origins, target).await) })
            .buffer_unordered(at_once);
        let mut took = Duration::ZERO;
        while let Some((target, counts, once)) = each.next().await {
            let once = once?;
            plan.timed += 1;
            took += once.took;
            if !counts {
                continue;
            }
            read.add_family(&target.family);
            plan.origin_reads += reads_of(target, once.items, false);
            for key in target.listings() {
                plan.read.listings += 1;
                plan.read.items += once.items;
                read.add_listing(&key, &once.stream);
            }
        }
        plan.read.bytes = read.bytes().await?;
        plan.a_read = took
            .checked_div(u32::try_from(plan.timed).unwrap_or(u32::MAX))
            .unwrap_or_default();
        plan.takes = expected(&plan, effort);
        Ok(plan)
    }
}

/// Reads a family from its origin, and counts.
async fn read_once(origins: &Origins, target: &Target) -> Result<ReadOnce, EngineError> {
    let failed = |error: OriginError| {
        EngineError::RefreshFailed(format!("{} cannot be read: {}", target.family, Chain(&error)).into())
    };
    let definition = &target.defined.definition;
    let origin = origins.get(&definition.origin);
    let origin = origin.ok_or_else(|| failed(OriginError::Misdeclared("its origin is not configured".to_owned())))?;
    let read = Read {
        defined: target.defined.clone(),
        choices: target.family.choices.clone(),
        order: ReadOrder::Any { columns: Vec::new() },
        only: None,
    };
    let began = Instant::now();
    let mut items = origin.read(read).await.map_err(failed)?;
    let chunk_len = definition.policy.chunk_len.get() as usize;
    let (mut stream, mut total) = (StreamSize::default(), 0);
    let mut chunk = Vec::new();
    let mut end_chunk = |chunk: &mut Vec<(ItemId, usize)>| {
        stream.add_chunk(chunk.iter().map(|(id, json)| (id.as_str(), *json)));
        chunk.clear();
    };
    while let Some(batch) = items.try_next().await.map_err(failed)? {
        total += batch.len() as u64;
        for OriginItem { item, .. } in batch {
            chunk.push((item.id, item.json.len()));
            if chunk.len() >= chunk_len {
                end_chunk(&mut chunk);
            }
        }
    }
    if !chunk.is_empty() {
        end_chunk(&mut chunk);
    }
    Ok(ReadOnce {
        items: total,
        stream,
        took: began.elapsed(),
    })
}

/// How often a refresh reads the origin: once for all sorts, or once a stored sort where the family is too large for that,
/// which a first refresh does not know before it has begun.
fn reads_of(target: &Target, items: u64, is_known: bool) -> u64 {
    let definition = &target.defined.definition;
    let streams = definition.streams().count() as u64;
    if streams == 1 || items <= definition.policy.sort_in_memory_max {
        1
    } else {
        streams + u64::from(!is_known)
    }
}

fn expected(plan: &Plan, effort: &Effort) -> Duration {
    let all = plan.all();
    let reads = plan.a_read.as_secs_f64() * plan.origin_reads as f64;
    let concurrency = f64::from(effort.concurrency.get()).min(plan.families.max(1) as f64);
    let written = all.bytes as f64 / WRITTEN_A_SECOND;
    let listings = A_LISTING.as_secs_f64() * all.listings as f64;
    let by_work = (reads / concurrency).max(written) + listings / concurrency;
    let by_rate = effort
        .rate
        .map_or(0.0, |rate| all.listings as f64 / f64::from(rate.get()));
    Duration::try_from_secs_f64(by_work.max(by_rate)).unwrap_or(Duration::MAX)
}
