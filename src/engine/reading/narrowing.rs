//! Narrowing: which items of a page's generation are selected by filters, and how many of these have each value.
//!
//! A page is found as any other, then narrowed: from then on its places count among the matches. Where L1 knows the matches no future is made.

use std::{sync::Arc, time::Instant};

use super::{
    page::{Narrowed, PageMeta},
    selection::Selection,
};
use crate::{
    engine::{
        error::EngineError,
        fetching::columns::FilterColumns,
        l1::{
            L1,
            filter_cache::{ColumnsKey, KnownColumns},
        },
    },
    listing::{Filtering, Filters, Matches},
};

/// Items from which on matches are found off the workers' threads: below, it takes less than a millisecond.
const ITEMS_INLINE_MAX: usize = 200_000;

/// Narrows pages.
pub(crate) struct Narrower {
    pub l1: Arc<L1>,
    pub columns: FilterColumns,
}

impl Narrower {
    /// Narrows a page by what L1 knows. `None` where that is not enough.
    pub(crate) fn narrow_from_l1(&self, selection: &Selection, meta: &mut PageMeta) -> Option<()> {
        let Some(filters) = selection.filters() else {
            return Some(());
        };
        let key = key_of(selection, meta, filters);
        let columns = match selection.facets.is_empty() {
            true => None,
            false => Some(self.l1.filters.columns(&key)?),
        };
        let matches = match &selection.filtering {
            None => None,
            Some(filtering) => Some(match self.l1.filters.matches(&key, filtering.hash()) {
                Some(matches) => matches,
                None => {
                    let columns = self.l1.filters.columns(&key)?;
                    (columns.columns.total <= ITEMS_INLINE_MAX).then_some(())?;
                    self.matches(key, &columns, filtering)
                }
            }),
        };
        meta.narrowed = Some(Narrowed { matches, columns });
        Some(())
    }

    /// Narrows a page. Says whether Redis holds what its generation promises.
    pub(crate) async fn narrow(
        &self,
        selection: &Selection,
        meta: &mut PageMeta,
        deadline: Instant,
    ) -> Result<bool, EngineError> {
        if self.narrow_from_l1(selection, meta).is_some() {
            return Ok(true);
        }
        let Some(filters) = selection.filters() else {
            return Ok(true);
        };
        let known = self
            .columns
            .get(&selection.key, &meta.layers(), filters, deadline)
            .await;
        let columns = match known {
            Ok(Some(columns)) => columns,
            Ok(None) | Err(EngineError::Corrupt) => return Ok(false),
            Err(error) => return Err(error),
        };
        meta.served.l1_hit = false;
        let key = key_of(selection, meta, filters);
        let matches = match &selection.filtering {
            None => None,
            Some(filtering) if columns.columns.total <= ITEMS_INLINE_MAX => {
                Some(self.matches(key, &columns, filtering))
            }
            Some(filtering) => {
                let (filtering, of) = (filtering.clone(), columns.clone());
                let work = move || Arc::new(filtering.matches(&of.columns));
                let matches = tokio::task::spawn_blocking(work).await;
                let matches = matches.map_err(|_| EngineError::broken_load())?;
                if let Some(filtering) = &selection.filtering {
                    self.l1.filters.insert_matches(key, filtering.hash(), matches.clone());
                }
                Some(matches)
            }
        };
        meta.narrowed = Some(Narrowed {
            matches,
            columns: (!selection.facets.is_empty()).then_some(columns),
        });
        Ok(true)
    }

    fn matches(&self, key: ColumnsKey, columns: &KnownColumns, filtering: &Filtering) -> Arc<Matches> {
        let matches = Arc::new(filtering.matches(&columns.columns));
        self.l1.filters.insert_matches(key, filtering.hash(), matches.clone());
        matches
    }
}

fn key_of(selection: &Selection, meta: &PageMeta, filters: &Filters) -> ColumnsKey {
    (selection.key.clone(), meta.generation, filters.hash)
}
