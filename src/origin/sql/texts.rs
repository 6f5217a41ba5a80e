//! Reading names and versions from a database that is a server, whichever it is.

use futures_util::TryStreamExt;

use super::{
    failure::{SqlFailure, Tries},
    server::{DatabaseServer, Described, begin},
    session::{Driver, SqlSession},
    statement::Statement,
};
use crate::origin::{OriginError, names_bound::NamesBound};

/// The number of columns, and the rows that hold no null, as texts.
pub(super) async fn texts<S: DatabaseServer>(
    server: &S,
    statement: &Statement,
) -> Result<(usize, Vec<Vec<String>>), OriginError> {
    let mut tries = Tries::default();
    loop {
        match attempt(server, &tries, statement).await {
            Err(failure) if tries.again_after(&failure).await => {}
            outcome => return outcome.map_err(|failure| failure.error),
        }
    }
}

async fn attempt<S: DatabaseServer>(
    server: &S,
    tries: &Tries,
    statement: &Statement,
) -> Result<(usize, Vec<Vec<String>>), SqlFailure> {
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
) -> Result<(usize, Vec<Vec<String>>), SqlFailure> {
    let described = server.describe(session, statement).await?;
    let collected = collect(server, session, &described, statement).await;
    collected.map_err(|failure| failure.with_description(described.kept))
}

async fn collect<S: DatabaseServer>(
    server: &S,
    session: &mut SqlSession<S::Driver>,
    described: &Described<S::Kind>,
    statement: &Statement,
) -> Result<(usize, Vec<Vec<String>>), SqlFailure> {
    let columns = described.columns.len();
    let (mut texts, mut bound) = (Vec::new(), NamesBound::default());
    let failure = {
        let mut rows = session.rows(S::select_texts(described, statement), &statement.values)?;
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok((columns, texts)),
                Err(error) => break S::Driver::failure(error),
            };
            let row = (0..columns).map(|at| S::text(&row, at).map_err(S::Driver::failure));
            if let Some(row) = row.collect::<Result<Option<Vec<String>>, SqlFailure>>()? {
                bound.take(&row)?;
                texts.push(row);
            }
        }
    };
    match texts.is_empty()
        && server
            .has_no_rows(session, described, &statement.values, &failure)
            .await?
    {
        true => Ok((columns, texts)),
        false => Err(failure),
    }
}
