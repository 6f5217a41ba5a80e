//! PostgreSQL: running statements, and making items of rows.
//!
//! A read is a cursor in a read-only transaction of isolation level `repeatable read`: it sees one state of the database,
//! and neither the server nor this process holds more than a few of its rows. Rows come as the server writes them in text,
//! which keeps every digit of a number.
//!
//! A value of the configuration's query has no type of its own. What the server would take it for is asked first
//! ([`describe`]); then it is bound as a text, and the server converts it: so `category = :category` is right for columns
//! of any type, and the column's index can be used.

mod describe;
mod session;
mod values;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use sqlx::{
    ConnectOptions, Row,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow},
};
use tokio::time::timeout;
use url::Url;

use self::{
    describe::{Column, Described, Kind},
    session::Session,
};
use super::{
    super::{NAMES_MAX, OriginError, Read, ReadOrder, batches::ItemSender},
    ItemColumns,
    failure::{Failure, pause_after},
    placeholders::Lexis,
    statement::{Dialect, Statement},
    typed::{ItemRows, place_of},
};

/// How PostgreSQL spells things.
pub(super) const DIALECT: Dialect = Dialect {
    lexis: Lexis::POSTGRES,
    identifier_quote: '"',
    placeholder: |number| format!("${number}"),
    as_text: |expression| format!("cast({expression} as text) collate \"C\""),
    sorted: |expression| format!("cast({expression} as text) collate \"C\""),
};

/// Connections at once; a read beyond them waits.
const CONNECTIONS_MAX: u32 = 8;
/// Rows that are taken together, where they are there already.
const ROWS_AT_ONCE: usize = 256;
/// What a URL may say besides the database. Another key does nothing, and the driver would log it with its value.
const URL_KEYS: [&str; 16] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
];

/// A database of a server.
pub(super) struct Postgres {
    options: Arc<PgConnectOptions>,
    pool: PgPool,
    timeout: Duration,
    max_transaction_time: Duration,
}

impl Postgres {
    /// Checks the URL only.
    pub fn open(url: &str, timeout: Duration, max_transaction_time: Duration) -> Result<Self, OriginError> {
        // What the driver says of a URL may quote it, and it may hold a password.
        let unreadable = || {
            OriginError::Misdeclared(
                "the URL of a PostgreSQL database must be like `postgres://user@host/database`".to_owned(),
            )
        };
        let url = Url::parse(url).map_err(|_| unreadable())?;
        for (key, _) in url.query_pairs() {
            if !URL_KEYS.contains(&&*key) {
                let reason = format!("the URL of a PostgreSQL database has no parameter `{key}`");
                return Err(OriginError::Misdeclared(reason));
            }
        }
        let options = PgConnectOptions::from_url(&url)
            .map_err(|_| unreadable())?
            .application_name("listcache")
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(timeout)
            .connect_lazy_with(options.clone());
        Ok(Self {
            options: Arc::new(options),
            pool,
            timeout,
            max_transaction_time,
        })
    }

    /// Reads items into a sender, until nobody waits for them.
    pub async fn items(
        &self,
        statement: Statement,
        read: &Read,
        wanted: &ItemColumns,
        to: &mut ItemSender,
    ) -> Result<(), OriginError> {
        let mut tried = 1;
        loop {
            let mut handed_out = false;
            let work = self.send_items(&statement, read, wanted, to, &mut handed_out);
            // When it strikes, the work is dropped, and with it the transaction.
            let outcome = timeout(self.max_transaction_time, work).await;
            match outcome.unwrap_or_else(|_| Err(held_too_long())) {
                Err(failure) if !handed_out && failure.may_pass(tried) => pause_after(tried).await,
                outcome => return outcome.map_err(|failure| failure.error),
            }
            tried += 1;
        }
    }

    async fn send_items(
        &self,
        statement: &Statement,
        read: &Read,
        wanted: &ItemColumns,
        to: &mut ItemSender,
        handed_out: &mut bool,
    ) -> Result<(), Failure> {
        let opened = tokio::select! {
            biased;
            () = to.gone() => return Ok(()),
            opened = self.open_cursor(statement, |described| {
                let mut ordered = statement.clone();
                ordered.order(&DIALECT, read, |column| described.column(column)?.sorts_by_itself())?;
                if let ReadOrder::Any { columns } = &read.order {
                    for column in columns {
                        described.column(column)?.sorts_by_itself()?;
                    }
                }
                Ok(ordered)
            }) => opened?,
        };
        let Some((mut session, columns)) = opened else {
            return Ok(());
        };
        match self.pump(&mut session, &columns, wanted, to, handed_out).await {
            Ok(true) => session.finish().await,
            Ok(false) => Ok(()),
            Err(failure) => Err(session.give_up(failure).await),
        }
    }

    /// Whether the rows came to their end.
    async fn pump(
        &self,
        session: &mut Session,
        columns: &[Column],
        wanted: &ItemColumns,
        to: &mut ItemSender,
        handed_out: &mut bool,
    ) -> Result<bool, Failure> {
        let names: Vec<Box<str>> = columns.iter().map(|column| column.name.clone()).collect();
        let mut items = ItemRows::new(&names, wanted)?;
        loop {
            let mut fetched = 0;
            let mut rows = session.fetch().ready_chunks(ROWS_AT_ONCE);
            loop {
                let chunk = tokio::select! {
                    biased;
                    chunk = rows.next() => chunk,
                    () = to.gone() => return Ok(false),
                };
                let Some(chunk) = chunk else { break };
                for row in chunk {
                    let row = row.map_err(failure)?;
                    fetched += 1;
                    let item = items.item(|at| values::value(&row, at, columns[at].kind))?;
                    *handed_out = true;
                    if to.push(item).await.is_err() {
                        return Ok(false);
                    }
                }
            }
            drop(rows);
            if fetched == 0 {
                return Ok(true);
            }
        }
    }

    /// The number of columns, and the rows that hold no null, as texts.
    pub async fn texts(&self, statement: Statement) -> Result<(usize, Vec<Vec<String>>), OriginError> {
        let mut tried = 1;
        loop {
            match self.try_texts(&statement).await {
                Err(failure) if failure.may_pass(tried) => pause_after(tried).await,
                outcome => return outcome.map_err(|failure| failure.error),
            }
            tried += 1;
        }
    }

    async fn try_texts(&self, statement: &Statement) -> Result<(usize, Vec<Vec<String>>), Failure> {
        let opened = self.open_cursor(statement, |_| Ok(statement.clone())).await?;
        let Some((mut session, columns)) = opened else {
            return Ok((1, Vec::new()));
        };
        match Self::collect(&mut session, &columns).await {
            Ok(texts) => {
                session.finish().await?;
                Ok((columns.len(), texts))
            }
            Err(failure) => Err(session.give_up(failure).await),
        }
    }

    async fn collect(session: &mut Session, columns: &[Column]) -> Result<Vec<Vec<String>>, Failure> {
        let mut texts = Vec::new();
        loop {
            let mut fetched = 0;
            let mut rows = session.fetch();
            while let Some(row) = rows.try_next().await.map_err(failure)? {
                fetched += 1;
                let row = (0..columns.len()).map(|at| text_of(&row, at, columns[at].kind));
                if let Some(row) = row.collect::<Result<Option<Vec<String>>, Failure>>()? {
                    texts.push(row);
                }
                if texts.len() > NAMES_MAX {
                    let reason = format!("a query yields more than {NAMES_MAX} names or values");
                    return Err(OriginError::Misdeclared(reason).into());
                }
            }
            drop(rows);
            if fetched == 0 {
                return Ok(texts);
            }
        }
    }

    /// A transaction with a cursor on the statement that `complete` makes of the described one; nothing where a value cannot
    /// be what it is compared with: `abc` is no number, so no row has it.
    async fn open_cursor(
        &self,
        statement: &Statement,
        complete: impl Fn(&Described) -> Result<Statement, OriginError>,
    ) -> Result<Option<(Session, Vec<Column>)>, Failure> {
        let mut session = self.begin().await?;
        match Self::declared(&mut session, statement, complete).await {
            Ok(Some(columns)) => Ok(Some((session, columns))),
            Ok(None) => {
                session.restart().await?;
                session.finish().await?;
                Ok(None)
            }
            Err(failure) => Err(session.give_up(failure).await),
        }
    }

    async fn declared(
        session: &mut Session,
        statement: &Statement,
        complete: impl Fn(&Described) -> Result<Statement, OriginError>,
    ) -> Result<Option<Vec<Column>>, Failure> {
        let mut undetermined = Vec::new();
        let described = loop {
            match session.describe(statement, &undetermined).await {
                Ok(described) => break described,
                // In `:brand is null` nothing says what the value is: then it is a text.
                Err(refused) if refused.is("42P18") && undetermined.len() < statement.values.len() => {
                    let Some(number) = describe::parameter_in(&refused.error) else {
                        return Err(refused);
                    };
                    undetermined.push(number);
                    session.restart().await?;
                }
                Err(refused) => return Err(refused),
            }
        };
        let completed = complete(&described)?;
        let sql = described.typed(&completed);
        match session.declare(sql, &completed.values).await {
            Ok(()) => Ok(Some(described.columns)),
            Err(refused) if refused.is("22") && described.converts() => {
                session.restart().await?;
                match session.convert(&described, &completed.values).await {
                    Err(unconvertible) if unconvertible.is("22") => Ok(None),
                    Err(other) => Err(other),
                    Ok(()) => Err(refused),
                }
            }
            Err(refused) => Err(refused),
        }
    }

    async fn begin(&self) -> Result<Session, Failure> {
        Session::begin(&self.pool, &self.options, self.timeout, self.max_transaction_time).await
    }
}

fn text_of(row: &PgRow, at: usize, kind: Kind) -> Result<Option<String>, Failure> {
    let value = row.try_get_raw(at).map_err(failure)?;
    let text = values::text(&value, kind).map_err(OriginError::Misdeclared)?;
    Ok(text.map(str::to_owned))
}

impl Described {
    fn column(&self, name: &str) -> Result<&Column, OriginError> {
        let names: Vec<Box<str>> = self.columns.iter().map(|column| column.name.clone()).collect();
        Ok(&self.columns[place_of(&names, name)?])
    }
}

fn held_too_long() -> Failure {
    OriginError::Unavailable("its transaction was open for longer than `max_transaction_time`".into()).into()
}

/// By the class of the SQLSTATE: what is wrong with a statement or what it may do, what took too long, and the rest, which is
/// the server's state.
fn failure(error: sqlx::Error) -> Failure {
    let state = match &error {
        sqlx::Error::Database(said) => said.code().map(|code| Box::from(&*code)),
        _ => None,
    };
    let code: &str = state.as_deref().unwrap_or_default();
    // `57014`: the statement's time-out.
    let late = matches!(error, sqlx::Error::PoolTimedOut) || code == "57014";
    // A conflict with recovery, on a standby, is a serialisation failure too.
    let passing = matches!(code, "40001" | "40P01");
    let misdeclared = matches!(code.get(..2), Some("0A" | "21" | "22" | "25" | "2F" | "42" | "P0")) && code != "25P03";
    let error = match error {
        _ if late => OriginError::TimedOut,
        sqlx::Error::Database(said) if misdeclared => OriginError::Misdeclared(said.message().to_owned()),
        other => OriginError::Unavailable(Box::new(other)),
    };
    Failure { error, passing, state }
}
