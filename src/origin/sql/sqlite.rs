//! SQLite: running statements, and making items of rows.
//!
//! Connections are read-only, and never create a file. A value is bound as text; SQLite converts it where it is compared
//! with a column of a numeric type, but not where it is compared with an expression: there the query must say
//! `cast(:size as integer)`. Each read sees one state of the database, whatever is written meanwhile.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use parking_lot::Mutex;
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, Executor, SqlSafeStr, Statement as _, Transaction, TypeInfo,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteRow},
};

use self::rows::{SqliteRows, is_blob, text_of};
use super::{
    statement::Statement,
    texts::TextRows,
    typed::{self, ItemColumns},
};
use crate::origin::{OriginError, batches::ItemSender, names_bound::NamesBound};

mod rows;

/// Connections at once; a read beyond them waits.
const CONNECTIONS_MAX: u32 = 8;
/// The longest wait for a writer that holds the database; in WAL mode no reader waits.
const BUSY_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// Rows on the way from SQLite's thread.
const ROWS_MAX: usize = 1024;
/// Rows taken from there at once: taken one by one, each would cost the two threads a change of context.
const ROWS_AT_ONCE: usize = 512;
/// After how many of SQLite's steps it is asked whether anyone still waits for the read: well under a millisecond.
const STEPS_BETWEEN_CHECKS: i32 = 10_000;

/// What is done with a BLOB where a text is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blobs {
    /// It is an error.
    Refused,
    /// Its row is left out.
    LeftOut,
}

/// A database file.
pub(super) struct Sqlite {
    options: SqliteConnectOptions,
    timeout: Duration,
    /// Connections to the file that lay at the path when they were opened.
    pool: Mutex<Option<(FileIdentity, SqlitePool)>>,
}

/// Which file lies at a path. Another one means that the database was replaced as a whole, as nightly exports do; connections
/// that are open would go on reading the old one. (A database in WAL mode must not be replaced so while anyone has it open:
/// SQLite would take the old log for the new file's.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity(u64, u64);

impl Sqlite {
    /// Checks the URL only.
    pub(super) fn open(url: &str, timeout: Duration) -> Result<Self, OriginError> {
        let options: SqliteConnectOptions = url
            .parse()
            .map_err(|error: sqlx::Error| OriginError::Misdeclared(format!("the URL of a SQLite database: {error}")))?;
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        if in_memory || options.get_filename().as_os_str().is_empty() {
            return Err(OriginError::Misdeclared(
                "the URL of a SQLite database must name a file".to_owned(),
            ));
        }
        let options = options
            .read_only(true)
            .create_if_missing(false)
            .busy_timeout(timeout.min(BUSY_TIMEOUT_MAX))
            .row_buffer_size(ROWS_MAX)
            // A kept statement would keep its columns too, and the table may change.
            .statement_cache_capacity(0)
            .disable_statement_logging();
        Ok(Self {
            options,
            timeout,
            pool: Mutex::new(None),
        })
    }

    /// Reads items into a sender, until nobody waits for them.
    pub(super) async fn items(
        &self,
        statement: Statement,
        columns: &ItemColumns,
        to: &mut ItemSender,
    ) -> Result<(), OriginError> {
        let (mut connection, _interrupt) = tokio::select! {
            biased;
            () = to.gone() => return Ok(()),
            connection = self.connect() => connection?,
        };
        let mut snapshot = tokio::select! {
            biased;
            () = to.gone() => return Ok(()),
            snapshot = Snapshot::of(&mut connection) => snapshot?,
        };
        snapshot.refuse_equal_names(&statement).await?;
        let (names, json) = snapshot.columns(&statement).await?;
        let mut items = SqliteRows::new(&names, json, columns)?;
        let mut rows = snapshot.rows(&statement).ready_chunks(ROWS_AT_ONCE);
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = rows.next() => chunk,
                () = to.gone() => return Ok(()),
            };
            let Some(chunk) = chunk else { return Ok(()) };
            for row in chunk {
                let row = row.map_err(origin_error)?;
                if to.push(items.item(&row)?).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    /// The rows of a statement. One with a BLOB is an error, or left out and told of.
    pub(super) async fn texts(&self, statement: Statement, blobs: Blobs) -> Result<TextRows, OriginError> {
        let (mut connection, _interrupt) = self.connect().await?;
        let mut snapshot = Snapshot::of(&mut connection).await?;
        let names = snapshot.columns(&statement).await?.0;
        let columns = names.len();
        let (mut texts, mut bound) = (Vec::new(), NamesBound::default());
        let (mut position, mut left_out, mut first) = (0, 0_u64, None);
        let mut rows = snapshot.rows(&statement);
        while let Some(row) = rows.try_next().await.map_err(origin_error)? {
            position += 1;
            if blobs == Blobs::LeftOut
                && let Some(column) = (0..columns).find(|column| is_blob(&row, *column))
            {
                left_out += 1;
                first.get_or_insert((position, column));
                continue;
            }
            let row = (0..columns).map(|column| text_of(&row, column, position));
            let row = row.collect::<Result<Vec<Option<String>>, _>>()?;
            bound.take_bytes(TextRows::bytes_of(&row))?;
            texts.push(row);
        }
        if let Some((row, column)) = first {
            let column = names.get(column).map_or("", String::as_str);
            tracing::warn!(
                column,
                rows = left_out,
                first = row,
                "rows of names were left out: a BLOB is no text"
            );
        }
        Ok(TextRows {
            columns: names.into_iter().map(Into::into).collect(),
            rows: texts,
        })
    }

    /// A connection, and what interrupts its statement when the read ends early: without it SQLite would sort to the end.
    async fn connect(&self) -> Result<(PoolConnection<sqlx::Sqlite>, InterruptOnDrop), OriginError> {
        let mut connection = self.pool().await?.acquire().await.map_err(origin_error)?;
        let interrupt = InterruptOnDrop(Arc::default());
        let interrupted = interrupt.0.clone();
        let mut handle = connection.lock_handle().await.map_err(origin_error)?;
        handle.set_progress_handler(STEPS_BETWEEN_CHECKS, move || !interrupted.load(Ordering::Relaxed));
        drop(handle);
        Ok((connection, interrupt))
    }

    async fn pool(&self) -> Result<SqlitePool, OriginError> {
        let identity = self.identity().await?;
        let mut pool = self.pool.lock();
        match &*pool {
            Some((of, pool)) if *of == identity => Ok(pool.clone()),
            _ => {
                let opened = SqlitePoolOptions::new()
                    .max_connections(CONNECTIONS_MAX)
                    .acquire_timeout(self.timeout)
                    .connect_lazy_with(self.options.clone());
                // Reads that are under way keep the connections they have.
                *pool = Some((identity, opened.clone()));
                Ok(opened)
            }
        }
    }

    async fn identity(&self) -> Result<FileIdentity, OriginError> {
        use std::os::unix::fs::MetadataExt;
        let path = self.options.get_filename();
        let file = tokio::fs::metadata(path).await.map_err(|source| {
            let path = path.to_owned();
            OriginError::Unavailable(Box::new(MissingDatabase { path, source }))
        })?;
        Ok(FileIdentity(file.dev(), file.ino()))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the database `{}` cannot be opened", path.display())]
struct MissingDatabase {
    path: PathBuf,
    source: std::io::Error,
}

/// Ends the statement of a connection. The next read of that connection brings its own.
struct InterruptOnDrop(Arc<AtomicBool>);

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One state of the database, its tables' columns included: a statement's columns and its rows
/// belong together. Dropping it ends the transaction.
struct Snapshot<'c>(Transaction<'c, sqlx::Sqlite>);

impl<'c> Snapshot<'c> {
    async fn of(connection: &'c mut SqliteConnection) -> Result<Self, OriginError> {
        let mut transaction = connection.begin().await.map_err(origin_error)?;
        // The transaction begins with the first read, and only a read makes SQLite see that tables have changed.
        let encoding: String =
            sqlx::query_scalar("select encoding from pragma_encoding, (select count(*) from sqlite_schema)")
                .fetch_one(&mut *transaction)
                .await
                .map_err(origin_error)?;
        if encoding != "UTF-8" {
            let reason = format!("the database is encoded in {encoding}, and only UTF-8 is sorted by its bytes");
            return Err(OriginError::Misdeclared(reason));
        }
        Ok(Self(transaction))
    }

    /// Of two columns of one name SQLite gives the second another name (`price:1`) once the query is a subquery: the query
    /// by itself still tells.
    async fn refuse_equal_names(&mut self, statement: &Statement) -> Result<(), OriginError> {
        let sql = AssertSqlSafe(statement.query().to_owned()).into_sql_str();
        let prepared = self.0.prepare(sql).await.map_err(origin_error)?;
        let names: Vec<&str> = prepared.columns().iter().map(|column| column.name()).collect();
        typed::refuse_equal_names(&names)
    }

    /// The names of a statement's columns, and which of them hold JSON: those of a table's column declared `JSON`.
    async fn columns(&mut self, statement: &Statement) -> Result<(Vec<String>, Vec<bool>), OriginError> {
        let sql = AssertSqlSafe(statement.sql.clone()).into_sql_str();
        let prepared = self.0.prepare(sql).await.map_err(origin_error)?;
        let mut names = Vec::new();
        let mut json = Vec::new();
        for column in prepared.columns() {
            names.push(column.name().to_owned());
            let origin = column.origin();
            // The driver knows the types that it has a name for; `JSON` is not among them.
            let declared = match origin.table_column() {
                Some(origin) if column.type_info().name() == "NULL" => {
                    sqlx::query_scalar("select upper(type) = 'JSON' from pragma_table_xinfo(?1) where name = ?2")
                        .bind(origin.table.to_string())
                        .bind(origin.name.to_string())
                        .fetch_optional(&mut *self.0)
                        .await
                        .map_err(origin_error)?
                }
                _ => None,
            };
            json.push(declared.unwrap_or(false));
        }
        Ok((names, json))
    }

    fn rows(&mut self, statement: &Statement) -> BoxStream<'_, Result<SqliteRow, sqlx::Error>> {
        let mut query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
        for value in &statement.values {
            query = query.bind(value.as_deref().map(str::to_owned));
        }
        query.fetch(&mut *self.0)
    }
}

/// SQLite answers with 1 to what is wrong with a statement; the rest is the database's state.
pub(super) fn origin_error(error: sqlx::Error) -> OriginError {
    const ERROR: i32 = 1;
    const READ_ONLY: i32 = 8;
    match &error {
        sqlx::Error::PoolTimedOut => OriginError::TimedOut,
        sqlx::Error::Database(said) => {
            let code = said
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                .unwrap_or_default();
            match code & 0xFF {
                ERROR | READ_ONLY => OriginError::Misdeclared(said.message().to_owned()),
                _ => OriginError::Unavailable(Box::new(error)),
            }
        }
        _ => OriginError::Unavailable(Box::new(error)),
    }
}
