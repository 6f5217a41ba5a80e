//! Kept changes: a full read follows those that were recorded since it was drawn, before it is published.
//!
//! A read of half a minute may have seen the state before a change that is known by now. Its items are exchanged then, in the generation that is
//! written aside, and items that are gone leave it. `publish` finds, in the step that moves the head, whether there are later changes still.

use super::{
    exchange::{Exchanged, StreamExchange},
    followed::Followed,
    rows::{ChangedRows, RowReader},
};
use crate::{
    engine::refreshing::{build_error::BuildError, means::Means},
    listing::{Family, Policy, definition::StreamOrder},
    store::FinishedGeneration,
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
    followed: Followed,
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
            followed: Followed::new(drawn, shows),
            rows: ChangedRows::default(),
        }
    }

    /// The last change that was looked at.
    pub(crate) fn last(&self) -> u64 {
        self.followed.last
    }

    /// Whether there are changes that only a later full read can follow.
    pub(crate) fn is_behind(&self) -> bool {
        self.followed.is_behind
    }

    /// Brings a finished generation up to date. With `renew` its id becomes greater than all that are drawn.
    pub(crate) async fn follow(
        &mut self,
        finished: FinishedGeneration,
        stream: &StreamOrder<'_>,
        renew: bool,
    ) -> Result<FinishedGeneration, BuildError> {
        self.catch_up().await?;
        let ids = self.followed.ids();
        if ids.is_empty() && !renew {
            return Ok(finished);
        }
        // Without a key a row has no place: then a full read follows the change.
        let Some(rows) = self.rows.sorted(stream.by) else {
            self.followed.fall_behind();
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
                self.followed.fall_behind();
                Ok(finished)
            }
            Exchanged::Written(newer) => {
                finished.underlie();
                Ok(*newer)
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), BuildError> {
        let since = self.means.store.changes.since(&self.family.name, self.last()).await?;
        let newly = self.followed.take(since, self.family);
        match self
            .reader
            .as_ref()
            .filter(|_| self.followed.changed.len() + newly.len() <= FOLLOWED_MAX)
        {
            _ if newly.is_empty() => {}
            Some(reader) => {
                self.rows.remove(&newly);
                self.rows.extend(reader.read(&newly).await?);
                self.followed.changed.extend(newly);
            }
            None => self.followed.fall_behind(),
        }
        self.rows.remove(&self.followed.gone);
        Ok(())
    }
}
