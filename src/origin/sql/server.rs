//! A server's own part of a read. The common part is in [`items`](super::items) and
//! [`texts`](super::texts).

use std::{future::Future, sync::Arc, time::Duration};

use sqlx::Database;

use super::{
    failure::{SqlFailure, Tries},
    session::{Driver, SqlSession},
    statement::{Dialect, Statement},
    typed::Value,
};
use crate::origin::OriginError;

/// Connections at once to one database; a read beyond them waits.
pub(super) const CONNECTIONS_MAX: u32 = 8;

pub(super) type Row<S> = <<S as DatabaseServer>::Driver as Database>::Row;

/// A server's ways.
pub(super) trait DatabaseServer: Send + Sync {
    type Driver: Driver;
    /// The kinds of columns that are written differently.
    type Kind: Copy + Send + Sync;

    fn dialect(&self) -> &'static Dialect;

    /// The longest that a transaction may be open, however slow its reader.
    fn max_transaction_time(&self) -> Option<Duration>;

    /// Begins a transaction that only reads.
    fn begin(&self) -> impl Future<Output = Result<SqlSession<Self::Driver>, SqlFailure>> + Send;

    /// The columns and the values of a statement.
    fn describe(
        &self,
        session: &mut SqlSession<Self::Driver>,
        statement: &Statement,
    ) -> impl Future<Output = Result<Described<Self::Kind>, SqlFailure>> + Send;

    /// The kind of a column's rank, where only the server knows the order of its values: then the process sorts by ranks.
    fn rank_of(_: &Column<Self::Kind>) -> Option<Self::Kind> {
        None
    }

    /// Compares a statement's description with what it yields: some of it is known only when the statement runs.
    fn compare_with(_: &Row<Self>, _: &mut Described<Self::Kind>) -> Result<(), SqlFailure>
    where
        Self: Sized,
    {
        Ok(())
    }

    /// Whether a column's values sort by themselves as the process sorts them; others are sorted as texts.
    fn sorts_by_itself(column: &Column<Self::Kind>) -> Result<bool, OriginError>;

    /// The SQL of a statement whose rows are items.
    fn select_items(described: &Described<Self::Kind>, statement: &Statement) -> String;

    /// A value of such a row.
    fn value(row: &Row<Self>, at: usize, kind: Self::Kind) -> Result<Value<'_>, String>
    where
        Self: Sized;

    /// The SQL of a statement whose values are texts.
    fn select_texts(described: &Described<Self::Kind>, statement: &Statement) -> String;

    /// A value of such a row; none for null.
    fn text(row: &Row<Self>, at: usize) -> Result<Option<String>, sqlx::Error>
    where
        Self: Sized;

    /// Whether a statement failed only because a value cannot be what it is compared with: `abc` is no number, so no row
    /// has it.
    fn has_no_rows(
        &self,
        session: &mut SqlSession<Self::Driver>,
        described: &Described<Self::Kind>,
        values: &[Option<Arc<str>>],
        failure: &SqlFailure,
    ) -> impl Future<Output = Result<bool, SqlFailure>> + Send;
}

/// A described statement.
pub(super) struct Described<Kind> {
    pub columns: Vec<Column<Kind>>,
    /// Whether it was described for an earlier read, so that its tables may have changed since.
    pub kept: bool,
    /// Columns whose ranks are selected too, behind the columns, each with the kind of a rank.
    pub ranked: Vec<(usize, Kind)>,
    /// Of each value the type that it is converted to, where the server must be told; none for a text.
    pub types: Vec<Option<String>>,
}

/// A column of a result.
#[derive(Clone, Debug)]
pub(super) struct Column<Kind> {
    pub name: Box<str>,
    pub kind: Kind,
}

impl<Kind: Copy> Described<Kind> {
    /// The value at a place of a row.
    pub(super) fn kind_at(&self, at: usize) -> Kind {
        match self.columns.get(at) {
            Some(column) => column.kind,
            None => self.ranked[at - self.columns.len()].1,
        }
    }

    pub(super) fn names(&self) -> Vec<Box<str>> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }
}

/// A session for one try of a read.
pub(super) async fn begin<S: DatabaseServer>(server: &S, tries: &Tries) -> Result<SqlSession<S::Driver>, SqlFailure> {
    let mut session = server.begin().await?;
    if tries.afresh {
        session.forget_statements().await?;
    }
    Ok(session)
}
