//! The first page straight from the origin, while Redis does not answer and L1 does not have it.
//!
//! For definitions that ask for it (`redis_down.direct`). A database that a cache spares all day is not made for all readers at once.
//! So a listing has one read at a time for all requests that wait, few listings are read at once, and a read has little time. A
//! request that finds no place gets the error that it would get without. Nothing is kept: only Redis can say which generation a
//! page is of, and a page without one must not be mixed with others.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    page::{Page, PageFreshness, PageMeta, Place, Served, Waited},
    selection::Selection,
};
use crate::{
    engine::{
        declared::names::Existence,
        error::{Chain, EngineError},
        l1::items::PageItems,
        loads::coalesce::Coalescer,
        refreshing::{means::Means, page_state::PageState},
    },
    listing::{Chunk, Direction, Field, Generation, ListingKey, definition::Defined},
    origin::{Origin, OriginError, Read, ReadOrder, ordering::in_order},
};

/// Listings that are read at once; there is no place for more.
const READS_MAX: usize = 4;
/// Places of these for names that no enumeration and no head tells of: anybody can make up such names.
const UNKNOWN_READS_MAX: usize = 2;
/// The most time of a read: a request waits for it.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// Items kept of either end of a listing: no page has more.
const ENDS_MAX: usize = 1000;

/// Reads of origins that requests wait for.
pub(crate) struct Direct {
    means: Arc<Means>,
    places: Arc<Semaphore>,
    reads: Coalescer<ListingKey, Option<Arc<Ends>>>,
}

/// Both ends of a listing, for either order's first page.
#[derive(Default)]
struct Ends {
    total: u64,
    first: Vec<Bytes>,
    last: VecDeque<Bytes>,
}

impl Ends {
    fn push(&mut self, json: Bytes) {
        self.total += 1;
        if self.first.len() < ENDS_MAX {
            self.first.push(json.clone());
        }
        if self.last.len() == ENDS_MAX {
            self.last.pop_front();
        }
        self.last.push_back(json);
    }

    /// The first items in a direction, as a page has them.
    fn items(&self, direction: Direction, limit: usize) -> PageItems {
        let chunk = match direction {
            Direction::Forward => Chunk::join(&self.first[..limit.min(self.first.len())]),
            Direction::Reverse => {
                let beyond = self.last.len().saturating_sub(limit);
                Chunk::join(&self.last.range(beyond..).collect::<Vec<_>>())
            }
        };
        let pieces = match chunk.len() {
            0 => Vec::new(),
            len => vec![(Arc::new(chunk), 0..len)],
        };
        PageItems { direction, pieces }
    }
}

impl Direct {
    /// Nothing is read yet.
    pub(crate) fn new(means: Arc<Means>) -> Self {
        Self {
            reads: Coalescer::new(means.runtime.clone()),
            means,
            places: Arc::new(Semaphore::new(READS_MAX)),
        }
    }

    /// The page at `place` from the origin itself; `None` where that is not allowed, not possible, or takes too long.
    pub(crate) async fn page(
        &self,
        selection: &Selection,
        place: &Place,
        refused: bool,
    ) -> Option<Result<Page, EngineError>> {
        let defined = selection.defined.as_ref()?;
        let Place::Offset {
            offset: 0,
            limit,
            pinned: None,
        } = place
        else {
            return None;
        };
        let may_exist = !matches!(selection.existence, Existence::Unknown | Existence::ByHead);
        if !selection.policy.redis_down_direct || !may_exist {
            return None;
        }
        let _permit = self.means.permits.wait().ok()?;
        let began = Instant::now();
        let read = || {
            self.read_ends(
                selection.key.clone(),
                defined.clone(),
                selection.is_known(&self.means.l1),
            )
        };
        let joined = self.reads.join(&selection.key, read).await;
        let ends = joined.value??;
        if ends.total == 0 && selection.existence == Existence::ByItems {
            return Some(Err(EngineError::NotFound));
        }
        self.means.metrics.direct_pages.inc();
        let meta = PageMeta {
            // The page is of no generation, and this one is not shown.
            generation: Generation {
                id: self.means.store.now().0.saturating_mul(1000),
                nonce: fastrand::u32(..),
            },
            total: ends.total,
            chunk_len: selection.policy.chunk_len,
            delta: None,
            offset: 0,
            limit: *limit,
            order: selection.order,
            pinned: false,
            freshness: PageFreshness {
                ttl_ms: 0,
                state: PageState::Direct { refused },
                until_ms: PageFreshness::NEVER,
            },
            narrowed: None,
            served: Served {
                filled: true,
                collapsed: joined.collapsed,
                l1_hit: false,
            },
        };
        Some(Ok(Page {
            count: meta.count(),
            items: Some(ends.items(selection.direction, limit.get() as usize)),
            packed: None,
            waited: Waited {
                origin: began.elapsed(),
                ..Waited::default()
            },
            meta,
        }))
    }

    /// Reads a listing in its order, and holds its ends. `None` where there is no place, or the origin fails.
    fn read_ends(
        &self,
        key: ListingKey,
        defined: Defined,
        is_known: bool,
    ) -> impl Future<Output = Option<Arc<Ends>>> + Send + use<> {
        let (declared, places) = (self.means.declaration.take(), self.places.clone());
        let metrics = self.means.metrics.clone();
        async move {
            if !is_known && places.available_permits() <= READS_MAX - UNKNOWN_READS_MAX {
                return None;
            }
            let _place = places.try_acquire_owned().ok()?;
            let origin = declared.origins.get(&defined.definition.origin)?;
            metrics.origin_reads.inc();
            let within = defined
                .definition
                .policy
                .origin_timeout
                .unwrap_or(READ_WITHIN)
                .min(READ_WITHIN);
            match timeout(within, read(&*origin, &key, &defined)).await {
                Ok(Ok(ends)) => Some(Arc::new(ends)),
                Ok(Err(error)) => {
                    tracing::warn!(listing = %key, error = %Chain(&error), "a page straight from the origin failed");
                    None
                }
                Err(_) => {
                    tracing::warn!(listing = %key, "a page straight from the origin took too long");
                    None
                }
            }
        }
    }
}

async fn read(origin: &dyn Origin, key: &ListingKey, defined: &Defined) -> Result<Ends, OriginError> {
    let definition = &defined.definition;
    let stream = definition.streams().find(|stream| stream.stored() == key.stored);
    let order = stream.ok_or_else(|| OriginError::Misdeclared(format!("no sort {}", key.sort())))?;
    let is_collated = order.by.iter().any(|sort| sort.column.collate.is_some());
    let columns: Vec<Field> = order.by.iter().map(|sort| sort.column.clone()).collect();
    let mut items = origin
        .read(Read {
            defined: defined.clone(),
            choices: key.family.choices.clone(),
            order: match is_collated {
                true => ReadOrder::Any {
                    columns: columns.clone(),
                },
                false => ReadOrder::By(order.by.to_vec()),
            },
            only: None,
        })
        .await?;
    let mut ends = Ends::default();
    let mut to_sort = Vec::new();
    while let Some(batch) = items.try_next().await? {
        match is_collated {
            true => to_sort.extend(batch),
            false => batch.into_iter().for_each(|item| ends.push(item.item.json)),
        }
        if ends.total > definition.policy.max_items {
            return Err(OriginError::Misdeclared("more items than max_items".to_owned()));
        }
        if to_sort.len() as u64 > definition.policy.sort_in_memory_max {
            return Err(OriginError::Misdeclared(
                "more items than are sorted in the process".to_owned(),
            ));
        }
    }
    in_order(to_sort, &columns, order.by).for_each(|item| ends.push(item.item.json));
    if ends.total < definition.policy.min_items {
        return Err(OriginError::Misdeclared("fewer items than min_items".to_owned()));
    }
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(total: usize, direction: Direction, limit: usize, expect: &[usize]) {
        let mut ends = Ends::default();
        for number in 0..total {
            ends.push(number.to_string().into());
        }
        let items = ends.items(direction, limit);
        let found: Vec<usize> = items
            .pieces
            .iter()
            .flat_map(|(chunk, range)| range.clone().map(|at| chunk.item(at)))
            .map(|item| std::str::from_utf8(&item).unwrap().parse().unwrap())
            .collect();
        // Backwards the body puts out the last of a piece first.
        assert_eq!(found, expect);
        assert_eq!(ends.total, total as u64);
    }

    #[test]
    fn both_ends_are_there_however_long_the_listing() {
        check(0, Direction::Forward, 24, &[]);
        check(3, Direction::Forward, 24, &[0, 1, 2]);
        check(3, Direction::Reverse, 2, &[1, 2]);
        check(5000, Direction::Forward, 2, &[0, 1]);
        check(5000, Direction::Reverse, 2, &[4998, 4999]);
    }
}
