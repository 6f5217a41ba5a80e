//! Kept changes: a full read follows those that were recorded since it was drawn, before it is published.
//!
//! A read of half a minute may have seen the state before a change that is known by now. Its items are exchanged then, in the generation that is
//! written aside, and items that are gone leave it. `publish` finds, in the step that moves the head, whether there are later changes still.

use std::collections::BTreeSet;

use super::{
    exchange::{Exchanged, StreamExchange},
    rows::{ChangedRows, RowReader},
};
use crate::{
    engine::refreshing::{build_error::BuildError, means::Means},
    listing::{ChangeOf, Family, ItemId, ItemState, Policy, definition::StreamOrder},
    store::{ChangesSince, FinishedGeneration},
};

/// Items whose rows are read to follow changes: more are cheaper to read in full.
const FOLLOWED_MAX: usize = 2000;

/// The changes that a read must follow, as far as they are known.
pub(crate) struct KeptChanges<'a> {
    pub means: &'a Means,
    pub family: &'a Family,
    pub policy: &'a Policy,
    /// `None` where the origin cannot read rows: then a full read follows each change.
    pub reader: Option<RowReader<'a>>,
    /// The last change that was looked at.
    pub last: u64,
    /// Whether there are changes that only a later full read can follow.
    pub is_behind: bool,
    drawn: u64,
    /// Whether there are changes that were recorded after the draw.
    has_later: bool,
    changed: BTreeSet<ItemId>,
    gone: BTreeSet<ItemId>,
    /// Items that are gone from some listings, this family's among them.
    gone_here: BTreeSet<ItemId>,
    rows: ChangedRows,
}

impl<'a> KeptChanges<'a> {
    /// Of a read that was drawn with this id, and may show the state of another one before it.
    pub(crate) fn new(
        means: &'a Means,
        family: &'a Family,
        policy: &'a Policy,
        reader: Option<RowReader<'a>>,
        drawn: u64,
        shows: u64,
    ) -> Self {
        Self {
            means,
            family,
            policy,
            reader,
            last: shows,
            drawn,
            has_later: false,
            is_behind: false,
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            gone_here: BTreeSet::new(),
            rows: ChangedRows::default(),
        }
    }

    /// Brings a finished generation up to date. With `renew` its id becomes greater than all that are drawn.
    pub(crate) async fn follow(
        &mut self,
        finished: FinishedGeneration,
        stream: &StreamOrder<'_>,
        renew: bool,
    ) -> Result<FinishedGeneration, BuildError> {
        self.catch_up().await?;
        let ids: BTreeSet<ItemId> = self.changed.union(&self.gone).cloned().collect();
        if ids.is_empty() && !renew {
            return Ok(finished);
        }
        // Without a key a row has no place: then a full read follows the change.
        let Some(rows) = self.rows.sorted(stream.by) else {
            self.is_behind |= self.has_later;
            return Ok(finished);
        };
        let store = &self.means.store;
        let drawn = store.draws.without_lease(&self.family.name, 1).await?;
        let Some(generation) = drawn.generations.first().copied() else {
            return Ok(finished);
        };
        let exchange = StreamExchange {
            store,
            policy: self.policy,
            listing: &finished.key().clone(),
            ids: &ids,
            rows: &rows,
        };
        match exchange.over_finished(&finished, generation, renew).await? {
            Exchanged::Unchanged => Ok(finished),
            Exchanged::Impossible => {
                self.is_behind |= self.has_later;
                Ok(finished)
            }
            Exchanged::Written(newer) => {
                finished.underlie();
                Ok(*newer)
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), BuildError> {
        let ChangesSince { last, changes, gone } = self.means.store.changes.since(&self.family.name, self.last).await?;
        self.last = last;
        let mut newly = BTreeSet::new();
        for (recorded, change) in changes.iter().filter(|(_, change)| change.may_concern(self.family)) {
            // Those from before the draw are followed where a database lags, and by the worker once more.
            let is_later = *recorded > self.drawn;
            self.has_later |= is_later;
            match &change.of {
                // Those that are gone everywhere are known from their own record.
                ChangeOf::Item(id, ItemState::Gone(_)) if !change.is_plain() => {
                    self.gone_here.insert(id.clone());
                }
                ChangeOf::Item(_, ItemState::Gone(_) | ItemState::Recalled(_)) => {}
                ChangeOf::Item(id, ItemState::Changed | ItemState::Returned) => {
                    // It was told later: the item is there again.
                    self.gone_here.remove(id);
                    newly.insert(id.clone());
                }
                ChangeOf::Listings(_) => self.is_behind |= is_later,
            }
        }
        let now_gone: BTreeSet<ItemId> = gone.into_iter().chain(self.gone_here.iter().cloned()).collect();
        match self
            .reader
            .as_ref()
            .filter(|_| self.changed.len() + newly.len() <= FOLLOWED_MAX)
        {
            _ if newly.is_empty() => {}
            Some(reader) => {
                self.rows.remove(&newly);
                self.rows.extend(reader.read(&newly).await?);
                self.changed.extend(newly);
            }
            None => self.is_behind |= self.has_later,
        }
        self.rows.remove(&now_gone);
        self.gone = now_gone;
        Ok(())
    }
}
