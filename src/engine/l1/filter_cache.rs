//! L1 of filters: the columns of generations, and the matches of what was asked for lately. Both follow from items that never change, so they
//! need no invalidation, and can be made again.
//!
//! Columns and matches have bounds of their own: strangers can ask for any number of combinations, and these must not drive out the
//! columns, which take a read of the whole listing.

use std::sync::Arc;

use moka::sync::Cache;

use super::shape::Layers;
use crate::listing::{Columns, Generation, ListingKey, Matches};

/// The part of the bytes that columns have.
const COLUMNS_OF_FOUR: u64 = 3;
/// Listings whose newest columns are remembered.
const NEWEST_MAX: u64 = 100_000;

/// A generation of a listing, and which filters its columns are of, by their hash.
pub(crate) type ColumnsKey = (ListingKey, Generation, u64);

/// Columns, and the generation that they are of.
#[derive(Debug)]
pub(crate) struct KnownColumns {
    pub layers: Layers,
    pub columns: Columns,
}

/// Columns and matches of filters, within a bound.
pub(crate) struct FilterCache {
    columns: Cache<ColumnsKey, Arc<KnownColumns>>,
    /// By what is asked for too.
    matches: Cache<(ColumnsKey, u64), Arc<Matches>>,
    /// The generation whose columns were made last: those of the next one take over what has not changed.
    newest: Cache<(ListingKey, u64), Generation>,
    columns_bytes_max: u64,
}

impl FilterCache {
    /// An empty cache of at most so many bytes.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weight = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let of_columns = bytes_max / 4 * COLUMNS_OF_FOUR;
        Self {
            columns: Cache::builder()
                .max_capacity(of_columns)
                .weigher(move |_, known: &Arc<KnownColumns>| weight(known.columns.bytes()))
                .build(),
            matches: Cache::builder()
                .max_capacity(bytes_max - of_columns)
                .weigher(move |_, matches: &Arc<Matches>| weight(matches.bytes()))
                .build(),
            newest: Cache::builder().max_capacity(NEWEST_MAX).build(),
            columns_bytes_max: of_columns,
        }
    }

    /// The columns of a generation.
    pub(crate) fn columns(&self, key: &ColumnsKey) -> Option<Arc<KnownColumns>> {
        self.columns.get(key)
    }

    /// The columns of the listing that were made last, if they are still here.
    pub(crate) fn newest(&self, listing: &ListingKey, filters: u64) -> Option<Arc<KnownColumns>> {
        let generation = self.newest.get(&(listing.clone(), filters))?;
        self.columns.get(&(listing.clone(), generation, filters))
    }

    /// Keeps columns. Says whether they are small enough.
    pub(crate) fn insert_columns(&self, key: ColumnsKey, known: Arc<KnownColumns>) -> bool {
        if known.columns.bytes() as u64 > self.columns_bytes_max {
            return false;
        }
        let (listing, generation, filters) = &key;
        self.newest.insert((listing.clone(), *filters), *generation);
        self.columns.insert(key, known);
        true
    }

    /// The matches of what is asked for, by its hash.
    pub(crate) fn matches(&self, key: &ColumnsKey, asked: u64) -> Option<Arc<Matches>> {
        self.matches.get(&(key.clone(), asked))
    }

    /// Keeps matches.
    pub(crate) fn insert_matches(&self, key: ColumnsKey, asked: u64, matches: Arc<Matches>) {
        self.matches.insert((key, asked), matches);
    }

    /// What all of it takes up in memory, in bytes. Does what the caches have put off; not for every request.
    pub(crate) fn bytes(&self) -> u64 {
        self.columns.run_pending_tasks();
        self.matches.run_pending_tasks();
        self.columns.weighted_size() + self.matches.weighted_size()
    }
}
