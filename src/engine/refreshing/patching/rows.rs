//! Changed rows: the rows of some items, read from the origin alone.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::TryStreamExt;
use tokio::time::timeout;

use crate::{
    engine::refreshing::means::Means,
    listing::{
        Family, Field, Item, ItemId,
        definition::{Defined, SortColumn},
    },
    origin::{Origin, OriginError, OriginItem, ROWS_MAX, Read, ReadOrder, sort_key::SortKeys},
};

/// Rows with the values that all sorts of their definition need.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangedRows {
    columns: Arc<[Field]>,
    rows: Vec<OriginItem>,
}

/// An item with its sort key.
pub(crate) type KeyedRow = (Vec<u8>, Item);

impl ChangedRows {
    /// Adds others of the same definition.
    pub(crate) fn extend(&mut self, others: Self) {
        self.columns = others.columns;
        self.rows.extend(others.rows);
    }

    /// Leaves the rows of some items out.
    pub(crate) fn remove(&mut self, ids: &BTreeSet<ItemId>) {
        self.rows.retain(|row| !ids.contains(&row.item.id));
    }

    /// The items that have rows.
    pub(crate) fn ids(&self) -> BTreeSet<ItemId> {
        self.rows.iter().map(|row| row.item.id.clone()).collect()
    }

    /// The rows in a stream's order; `None` where one has no key there.
    pub(crate) fn sorted(&self, by: &[SortColumn]) -> Option<Vec<KeyedRow>> {
        let keys = SortKeys::of_columns(&self.columns, by);
        let keyed = self.rows.iter().map(|row| {
            let mut key = Vec::new();
            keys.write(row, &mut key)?;
            Some((key, row.item.clone()))
        });
        let mut keyed: Vec<KeyedRow> = keyed.collect::<Option<_>>()?;
        keyed.sort_by(|(left, _), (right, _)| left.cmp(right));
        Some(keyed)
    }
}

/// Reads rows of one family.
pub(crate) struct RowReader<'a> {
    pub means: &'a Means,
    pub origin: &'a dyn Origin,
    pub defined: &'a Defined,
    pub family: &'a Family,
}

impl RowReader<'_> {
    /// The rows of these items, as they are now.
    pub(crate) async fn read(&self, ids: &BTreeSet<ItemId>) -> Result<ChangedRows, OriginError> {
        let by = self.defined.definition.streams().flat_map(|stream| stream.by);
        let columns: BTreeSet<Field> = by.map(|column| column.column.clone()).collect();
        let columns: Vec<Field> = columns.into_iter().collect();
        let mut rows = Vec::new();
        // A column of numbers can hold only some of them: ids of one kind stand together.
        let (numbers, texts): (Vec<ItemId>, Vec<ItemId>) = ids.iter().cloned().partition(is_number);
        for ids in numbers.chunks(ROWS_MAX).chain(texts.chunks(ROWS_MAX)) {
            match self.read_some(ids, &columns).await {
                Err(OriginError::Misdeclared(reason)) if ids.len() > 1 => {
                    tracing::debug!(listing = %self.family, reason, "changed rows are read one by one");
                    for id in ids {
                        rows.extend(self.read_some(std::slice::from_ref(id), &columns).await?);
                    }
                }
                read => rows.extend(read?),
            }
        }
        // A database may take other ids for equal: `1x` for 1, `ABC` for `abc`.
        rows.retain(|row| ids.contains(&row.item.id));
        self.means.metrics.changed_rows_read.inc_by(rows.len() as u64);
        Ok(ChangedRows {
            columns: columns.into(),
            rows,
        })
    }

    async fn read_some(&self, ids: &[ItemId], columns: &[Field]) -> Result<Vec<OriginItem>, OriginError> {
        let read = Read {
            defined: self.defined.clone(),
            choices: self.family.choices.clone(),
            order: ReadOrder::Any {
                columns: columns.to_vec(),
            },
            only: Some(ids.into()),
        };
        let reading = async { self.origin.read(read).await?.try_concat().await };
        match self.defined.definition.policy.origin_timeout {
            Some(longest) => timeout(longest, reading).await.unwrap_or(Err(OriginError::TimedOut)),
            None => reading.await,
        }
    }
}

fn is_number(id: &ItemId) -> bool {
    id.as_str()
        .parse::<i64>()
        .is_ok_and(|number| number.to_string() == id.as_str())
}
