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

/// The changes that a read must follow, as far as they are known.
pub(crate) struct KeptChanges<'a> {
    pub means: &'a Means,
    pub family: &'a Family,
    pub policy: &'a Policy,
    /// `None` where the origin cannot read rows: then a full read follows each change.
    pub reader: Option<RowReader<'a>>,
    /// The last change that was looked at.
    pub last: u64,
    changed: BTreeSet<ItemId>,
    gone: BTreeSet<ItemId>,
    rows: ChangedRows,
}

impl<'a> KeptChanges<'a> {
    /// Of a read that was drawn with this id.
    pub(crate) fn new(
        means: &'a Means,
        family: &'a Family,
        policy: &'a Policy,
        reader: Option<RowReader<'a>>,
        drawn: u64,
    ) -> Self {
        Self {
            means,
            family,
            policy,
            reader,
            last: drawn,
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
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
            Exchanged::Unchanged | Exchanged::Impossible => Ok(finished),
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
        let mut now_gone: BTreeSet<ItemId> = gone.into_iter().collect();
        for change in changes.iter().filter(|change| change.may_concern(self.family)) {
            match &change.of {
                ChangeOf::Item(id, ItemState::Gone(_)) => {
                    now_gone.insert(id.clone());
                }
                ChangeOf::Item(id, ItemState::Changed) => {
                    // It was told later: the item is there again.
                    now_gone.remove(id);
                    newly.insert(id.clone());
                }
                // Its full reads follow.
                ChangeOf::Listings(_) => {}
            }
        }
        // Of a change that was looked at before, the end of being gone was seen then.
        now_gone.retain(|id| !self.changed.contains(id) || self.gone.contains(id));
        if let Some(reader) = self.reader.as_ref().filter(|_| !newly.is_empty()) {
            self.rows.remove(&newly);
            self.rows.extend(reader.read(&newly).await?);
            self.changed.extend(newly);
        }
        self.rows.remove(&now_gone);
        self.gone = now_gone;
        Ok(())
    }
}
