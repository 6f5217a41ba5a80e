//! Reading names, versions and instants: rows of texts, and how a database that is a server gives them, whichever it is.

use futures_util::TryStreamExt;

use super::{
    failure::{SqlFailure, Tries},
    server::{DatabaseServer, Described, begin},
    session::{Driver, SqlSession},
    statement::Statement,
};
use crate::origin::{OriginError, names_bound::NamesBound};

/// Rows of texts.
pub(super) struct TextRows {
    /// The names of their columns.
    pub columns: Vec<Box<str>>,
    /// As many texts each; none for null.
    pub rows: Vec<Vec<Option<String>>>,
}

impl TextRows {
    /// The number of columns, and the rows that hold no null.
    pub(super) fn without_nulls(self) -> (usize, Vec<Vec<String>>) {
        let rows = self.rows.into_iter().filter_map(|row| row.into_iter().collect());
        (self.columns.len(), rows.collect())
    }

    /// The bytes of a row.
    pub(super) fn bytes_of(row: &[Option<String>]) -> usize {
        row.iter().flatten().map(String::len).sum()
    }
}

/// The rows of a statement.
pub(super) async fn texts<S: DatabaseServer>(server: &S, statement: &Statement) -> Result<TextRows, OriginError> {
    let mut tries = Tries::default();
    loop {
        match attempt(server, &tries, statement).await {
            Err(failure) if tries.again_after(&failure).await => {}
            outcome => return outcome.map_err(|failure| failure.error),
        }
    }
}

async fn attempt<S: DatabaseServer>(server: &S, tries: &Tries, statement: &Statement) -> Result<TextRows, SqlFailure> {
    let mut session = begin(server, tries).await?;
    match describe_and_collect(server, &mut session, statement).await {
        Ok(texts) => {
            session.finish().await?;
            Ok(texts)
        }
        Err(failure) => Err(session.give_up(failure).await),
    }
}

async fn describe_and_collect<S: DatabaseServer>(
    server: &S,
    session: &mut SqlSession<S::Driver>,
    statement: &Statement,
) -> Result<TextRows, SqlFailure> {
    let described = server.describe(session, statement).await?;
    let collected = collect(server, session, &described, statement).await;
    collected.map_err(|failure| failure.with_description(described.kept))
}

async fn collect<S: DatabaseServer>(
    server: &S,
    session: &mut SqlSession<S::Driver>,
    described: &Described<S::Kind>,
    statement: &Statement,
) -> Result<TextRows, SqlFailure> {
    let (count, columns) = (described.columns.len(), described.names());
    let (mut texts, mut bound) = (Vec::new(), NamesBound::default());
    let failure = {
        let mut rows = session.rows(S::select_texts(described, statement), &statement.values)?;
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(TextRows { columns, rows: texts }),
                Err(error) => break S::Driver::failure(error),
            };
            let row = (0..count).map(|at| S::text(&row, at).map_err(S::Driver::failure));
            let row = row.collect::<Result<Vec<Option<String>>, SqlFailure>>()?;
            bound.take_bytes(TextRows::bytes_of(&row))?;
            texts.push(row);
        }
    };
    match texts.is_empty()
        && server
            .has_no_rows(session, described, &statement.values, &failure)
            .await?
    {
        true => Ok(TextRows { columns, rows: texts }),
        false => Err(failure),
    }
}
