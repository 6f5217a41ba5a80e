//! Reading from a database that is a server, whichever it is.
//!
//! A read is a transaction: it sees one state of the database. What the statement's columns hold is asked first, then it is
//! put in order and run, and its rows come as the server finds them: neither the server nor this process holds more than a
//! few of them. What servers do in ways of their own is what a [`Server`] says.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use sqlx::Database;
use tokio::time::timeout;

use super::{
    super::{OriginError, Read, ReadOrder, batches::ItemSender, names_bound::NamesBound},
    ItemColumns,
    failure::{Failure, pause_after},
    session::{Driver, Session},
    statement::{Dialect, Statement},
    typed::{ItemRows, Value, place_of},
};

/// Connections at once to one database; a read beyond them waits.
pub(super) const CONNECTIONS_MAX: u32 = 8;
/// Rows that are taken together, where they are there already.
const ROWS_AT_ONCE: usize = 256;

type Row<S> = <<S as Server>::Driver as Database>::Row;

/// A server's ways.
pub(super) trait Server: Send + Sync {
    type Driver: Driver;
    /// What a column holds, as far as it is written differently.
    type Kind: Copy + Send + Sync;

    fn dialect(&self) -> &'static Dialect;

    /// The longest that a transaction may be open, however slow its reader.
    fn max_transaction_time(&self) -> Option<Duration>;

    /// Begins a transaction that only reads.
    fn begin(&self) -> impl Future<Output = Result<Session<Self::Driver>, Failure>> + Send;

    /// What the columns of a statement hold, and what its values are.
    fn describe(
        &self,
        session: &mut Session<Self::Driver>,
        statement: &Statement,
    ) -> impl Future<Output = Result<Described<Self::Kind>, Failure>> + Send;

    /// Whether a column's values sort by themselves as the process sorts them; others are sorted as texts.
    fn sorts_by_itself(column: &Column<Self::Kind>) -> Result<bool, OriginError>;

    /// The SQL of a statement whose rows are items.
    fn select_items(described: &Described<Self::Kind>, statement: &Statement) -> String;

    /// A value of such a row.
    fn value(row: &Row<Self>, at: usize, kind: Self::Kind) -> Result<Value<'_>, String>
    where
        Self: Sized;

    /// The SQL of a statement whose values are texts, as a filter compares them.
    fn select_texts(described: &Described<Self::Kind>, statement: &Statement) -> String;

    /// A value of such a row; none for null.
    fn text(row: &Row<Self>, at: usize) -> Result<Option<String>, sqlx::Error>
    where
        Self: Sized;

    /// Whether a statement failed only because a value cannot be what it is compared with: `abc` is no number, so no row
    /// has it.
    fn has_no_rows(
        &self,
        session: &mut Session<Self::Driver>,
        described: &Described<Self::Kind>,
        values: &[Option<Arc<str>>],
        failure: &Failure,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;
}

/// A described statement.
pub(super) struct Described<Kind> {
    pub columns: Vec<Column<Kind>>,
    /// Of each value the type that it is converted to, where the server must be told; none for a text.
    pub types: Vec<Option<String>>,
}

/// A column of a result.
#[derive(Clone, Debug)]
pub(super) struct Column<Kind> {
    pub name: Box<str>,
    pub kind: Kind,
}

impl<Kind> Described<Kind> {
    fn names(&self) -> Vec<Box<str>> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }
}

/// Reads items into a sender, until nobody waits for them.
pub(super) async fn items<S: Server>(
    server: &S,
    statement: &Statement,
    read: &Read,
    wanted: &ItemColumns,
    to: &mut ItemSender,
) -> Result<(), OriginError> {
    let mut tried = 1;
    loop {
        let mut handed_out = false;
        let work = send_items(server, statement, read, wanted, to, &mut handed_out);
        let outcome = match server.max_transaction_time() {
            // When it strikes, the work is dropped, and with it the transaction.
            Some(longest) => timeout(longest, work).await.unwrap_or_else(|_| Err(held_too_long())),
            None => work.await,
        };
        match outcome {
            Err(failure) if !handed_out && failure.may_pass(tried) => pause_after(tried).await,
            outcome => return outcome.map_err(|failure| failure.error),
        }
        tried += 1;
    }
}

async fn send_items<S: Server>(
    server: &S,
    statement: &Statement,
    read: &Read,
    wanted: &ItemColumns,
    to: &mut ItemSender,
    handed_out: &mut bool,
) -> Result<(), Failure> {
    let mut session = tokio::select! {
        biased;
        () = to.gone() => return Ok(()),
        begun = server.begin() => begun?,
    };
    match pump(server, &mut session, statement, read, wanted, to, handed_out).await {
        Ok(Pumped::All) => session.finish().await,
        Ok(Pumped::UntilGone) => Ok(()),
        Err(failure) => Err(session.give_up(failure).await),
    }
}

enum Pumped {
    All,
    /// Nobody waits for the rest.
    UntilGone,
}

async fn pump<S: Server>(
    server: &S,
    session: &mut Session<S::Driver>,
    statement: &Statement,
    read: &Read,
    wanted: &ItemColumns,
    to: &mut ItemSender,
    handed_out: &mut bool,
) -> Result<Pumped, Failure> {
    let described = tokio::select! {
        biased;
        () = to.gone() => return Ok(Pumped::UntilGone),
        described = server.describe(session, statement) => described?,
    };
    let ordered = in_order::<S>(server, &described, statement, read)?;
    let mut items = ItemRows::new(&described.names(), wanted)?;
    let failure = {
        let sql = S::select_items(&described, &ordered);
        let mut rows = session.rows(sql, &ordered.values)?.ready_chunks(ROWS_AT_ONCE);
        'rows: loop {
            let chunk = tokio::select! {
                biased;
                chunk = rows.next() => chunk,
                () = to.gone() => return Ok(Pumped::UntilGone),
            };
            let Some(chunk) = chunk else {
                return Ok(Pumped::All);
            };
            for row in chunk {
                let row = match row {
                    Ok(row) => row,
                    Err(error) => break 'rows S::Driver::failure(error),
                };
                let item = items.item(|at| S::value(&row, at, described.columns[at].kind))?;
                *handed_out = true;
                if to.push(item).await.is_err() {
                    return Ok(Pumped::UntilGone);
                }
            }
        }
    };
    if !*handed_out
        && server
            .has_no_rows(session, &described, &ordered.values, &failure)
            .await?
    {
        return Ok(Pumped::All);
    }
    Err(failure)
}

/// The statement in the order that is asked for; an error where a column to sort by is not there, or cannot be sorted by.
fn in_order<S: Server>(
    server: &S,
    described: &Described<S::Kind>,
    statement: &Statement,
    read: &Read,
) -> Result<Statement, OriginError> {
    let names = described.names();
    let by_itself = |column: &str| S::sorts_by_itself(&described.columns[place_of(&names, column)?]);
    if let ReadOrder::Any { columns } = &read.order {
        for column in columns {
            by_itself(column)?;
        }
    }
    let mut ordered = statement.clone();
    ordered.order(server.dialect(), read, by_itself)?;
    Ok(ordered)
}

/// The number of columns, and the rows that hold no null, as texts.
pub(super) async fn texts<S: Server>(
    server: &S,
    statement: &Statement,
) -> Result<(usize, Vec<Vec<String>>), OriginError> {
    let mut tried = 1;
    loop {
        match try_texts(server, statement).await {
            Err(failure) if failure.may_pass(tried) => pause_after(tried).await,
            outcome => return outcome.map_err(|failure| failure.error),
        }
        tried += 1;
    }
}

async fn try_texts<S: Server>(server: &S, statement: &Statement) -> Result<(usize, Vec<Vec<String>>), Failure> {
    let mut session = server.begin().await?;
    match collect(server, &mut session, statement).await {
        Ok(texts) => {
            session.finish().await?;
            Ok(texts)
        }
        Err(failure) => Err(session.give_up(failure).await),
    }
}

async fn collect<S: Server>(
    server: &S,
    session: &mut Session<S::Driver>,
    statement: &Statement,
) -> Result<(usize, Vec<Vec<String>>), Failure> {
    let described = server.describe(session, statement).await?;
    let columns = described.columns.len();
    let (mut texts, mut bound) = (Vec::new(), NamesBound::default());
    let failure = {
        let mut rows = session.rows(S::select_texts(&described, statement), &statement.values)?;
        loop {
            let row = match rows.try_next().await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok((columns, texts)),
                Err(error) => break S::Driver::failure(error),
            };
            let row = (0..columns).map(|at| S::text(&row, at).map_err(S::Driver::failure));
            if let Some(row) = row.collect::<Result<Option<Vec<String>>, Failure>>()? {
                bound.take(&row)?;
                texts.push(row);
            }
        }
    };
    match texts.is_empty()
        && server
            .has_no_rows(session, &described, &statement.values, &failure)
            .await?
    {
        true => Ok((columns, texts)),
        false => Err(failure),
    }
}

fn held_too_long() -> Failure {
    OriginError::Unavailable("its transaction was open for longer than `max_transaction_time`".into()).into()
}
