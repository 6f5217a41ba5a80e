//! MySQL and MariaDB: running statements, and making items of rows.
//!
//! A read is one statement in a read-only transaction with a consistent snapshot: it sees one state of the database. Its
//! rows come as the server finds them, unbuffered: while nobody takes them, the server waits.
//!
//! A value is bound as a text; the server converts it where it is compared with a number, and compares texts as the column's
//! collation says. Both are the server's ways: `'10abc'` is 10 to it, and `'bread'` may be `'BREAD'`.

mod session;
mod values;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use sqlx::{
    ConnectOptions, Row,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlPool, MySqlPoolOptions},
};
use url::Url;

use self::{session::Session, values::Column};
use super::{
    super::{NAMES_MAX, OriginError, Read, ReadOrder, batches::ItemSender},
    ItemColumns,
    failure::{Failure, pause_after},
    placeholders::Lexis,
    statement::{Dialect, Statement, column_of},
    typed::{ItemRows, place_of},
};

/// How MySQL spells things. Texts of every collation are compared as bytes: `utf8mb4_bin` would take no notice of spaces
/// at the end.
pub(super) const DIALECT: Dialect = Dialect {
    lexis: Lexis::MYSQL,
    identifier_quote: '`',
    placeholder: |_| "?".to_owned(),
    as_text: |expression| format!("cast(convert({expression} using utf8mb4) as binary)"),
    sorted: |expression| format!("cast(convert({expression} using utf8mb4) as binary)"),
};

/// Connections at once; a read beyond them waits.
const CONNECTIONS_MAX: u32 = 8;
/// Rows that are taken together, where they are there already.
const ROWS_AT_ONCE: usize = 256;

/// A database of a server.
pub(super) struct Mysql {
    options: Arc<MySqlConnectOptions>,
    pool: MySqlPool,
    timeout: Duration,
}

impl Mysql {
    /// Checks the URL only.
    pub fn open(url: &str, timeout: Duration) -> Result<Self, OriginError> {
        // What the driver says of a URL may quote it, and it may hold a password.
        let unreadable = || {
            OriginError::Misdeclared("the URL of a MySQL database must be like `mysql://user@host/database`".to_owned())
        };
        let url = Url::parse(url).map_err(|_| unreadable())?;
        let options = MySqlConnectOptions::from_url(&url)
            .map_err(|_| unreadable())?
            .charset("utf8mb4")
            // So that times come as UTC.
            .timezone(Some("+00:00".to_owned()))
            // Queries mean what they mean elsewhere on that server.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            // A kept statement would keep its columns too, and the table may change.
            .statement_cache_capacity(0)
            .disable_statement_logging();
        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(timeout)
            .connect_lazy_with(options.clone());
        Ok(Self {
            options: Arc::new(options),
            pool,
            timeout,
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
            match self.send_items(&statement, read, wanted, to, &mut handed_out).await {
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
            opened = self.opened(statement, read) => opened?,
        };
        let (mut session, ordered, columns) = opened;
        match self
            .pump(&mut session, &ordered, &columns, wanted, to, handed_out)
            .await
        {
            Ok(true) => session.finish().await,
            Ok(false) => Ok(()),
            Err(failure) => Err(session.give_up(failure).await),
        }
    }

    /// Whether the rows came to their end.
    async fn pump(
        &self,
        session: &mut Session,
        ordered: &Statement,
        columns: &[Column],
        wanted: &ItemColumns,
        to: &mut ItemSender,
        handed_out: &mut bool,
    ) -> Result<bool, Failure> {
        let names: Vec<Box<str>> = columns.iter().map(|column| column.name.clone()).collect();
        let mut items = ItemRows::new(&names, wanted)?;
        let mut rows = session.rows(&ordered.sql, &ordered.values)?.ready_chunks(ROWS_AT_ONCE);
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = rows.next() => chunk,
                () = to.gone() => return Ok(false),
            };
            let Some(chunk) = chunk else { return Ok(true) };
            for row in chunk {
                let row = row.map_err(failure)?;
                let item = items.item(|at| values::value(&row, at, columns[at].kind))?;
                *handed_out = true;
                if to.push(item).await.is_err() {
                    return Ok(false);
                }
            }
        }
    }

    async fn open_described(&self, statement: &Statement) -> Result<(Session, Vec<Column>), Failure> {
        let mut session = Session::begin(&self.pool, &self.options, self.timeout).await?;
        match session.describe(statement).await {
            Ok(columns) => Ok((session, columns)),
            Err(failure) => Err(session.give_up(failure).await),
        }
    }

    async fn opened(&self, statement: &Statement, read: &Read) -> Result<(Session, Statement, Vec<Column>), Failure> {
        let (session, columns) = self.open_described(statement).await?;
        let names: Vec<Box<str>> = columns.iter().map(|column| column.name.clone()).collect();
        let mut ordered = statement.clone();
        ordered.order(&DIALECT, read, |column| {
            Ok(columns[place_of(&names, column)?].kind.sorts_by_itself())
        })?;
        if let ReadOrder::Any { columns } = &read.order {
            for column in columns {
                place_of(&names, column)?;
            }
        }
        Ok((session, ordered, columns))
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
        let (mut session, columns) = self.open_described(statement).await?;
        // The server knows best how it writes a value as text: so a filter compares it.
        let selected: Vec<String> = columns
            .iter()
            .map(|column| format!("convert({} using utf8mb4)", column_of(&DIALECT, &column.name)))
            .collect();
        let sql = statement.with_placeholders(&selected.join(", "), |_| "?".to_owned());
        match Self::collect(&mut session, &sql, statement, columns.len()).await {
            Ok(texts) => {
                session.finish().await?;
                Ok((columns.len(), texts))
            }
            Err(failure) => Err(session.give_up(failure).await),
        }
    }

    async fn collect(
        session: &mut Session,
        sql: &str,
        statement: &Statement,
        columns: usize,
    ) -> Result<Vec<Vec<String>>, Failure> {
        let mut texts = Vec::new();
        let mut rows = session.rows(sql, &statement.values)?;
        while let Some(row) = rows.try_next().await.map_err(failure)? {
            let row = (0..columns).map(|at| row.try_get_unchecked::<Option<String>, _>(at).map_err(failure));
            if let Some(row) = row.collect::<Result<Option<Vec<String>>, Failure>>()? {
                texts.push(row);
            }
            if texts.len() > NAMES_MAX {
                let reason = format!("a query yields more than {NAMES_MAX} names or values");
                return Err(OriginError::Misdeclared(reason).into());
            }
        }
        Ok(texts)
    }
}

/// What is wrong with a statement or what it may do, what took too long, and the rest, which is the server's state.
fn failure(error: sqlx::Error) -> Failure {
    let (number, state) = match &error {
        sqlx::Error::Database(said) => match said.try_downcast_ref::<MySqlDatabaseError>() {
            Some(said) => (said.number(), said.code().map(Box::from)),
            None => (0, None),
        },
        _ => (0, None),
    };
    let class: Option<&str> = state.as_deref().and_then(|state: &str| state.get(..2));
    // The statement's time-out of MySQL and of MariaDB, and a killed statement.
    let late = matches!(error, sqlx::Error::PoolTimedOut) || matches!(number, 3024 | 1969 | 1317);
    // A deadlock, a lock that was waited for too long, a row that is not as the snapshot has it.
    let passing = matches!(number, 1213 | 1205 | 1020);
    // `1267` and `1271`: a mix of collations that cannot be compared.
    let misdeclared = matches!(class, Some("0A" | "21" | "22" | "25" | "42" | "45")) || matches!(number, 1267 | 1271);
    let error = match error {
        _ if late => OriginError::TimedOut,
        sqlx::Error::Database(said) if misdeclared && !passing => OriginError::Misdeclared(said.message().to_owned()),
        other => OriginError::Unavailable(Box::new(other)),
    };
    Failure { error, passing, state }
}
