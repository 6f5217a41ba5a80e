//! MySQL and MariaDB: their own part of a read.
//!
//! Statements that were prepared are kept with their connection. The driver could let go of one only by a message that has no
//! answer, and over TCP the next message would wait for the server to confirm it: 40 ms, as the driver leaves Nagle's
//! algorithm on. So none is let go of while its connection lives; a connection that keeps [`STATEMENTS_MAX`] is closed.
//! Tables may have changed since a statement was prepared. The server notices, but the description that was kept does not: a
//! read that does not fit it is begun again ([`SqlFailure::with_description`]).
//!
//! A value is bound as a text; the server converts it where it is compared with a number, and compares texts as the column's
//! collation says. Both are the server's ways: `'10abc'` is 10 to it, and `'bread'` may be `'BREAD'`.

mod describe;
mod values;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row,
    mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlPoolOptions, MySqlRow},
};
use url::Url;

use self::values::MysqlKind;
use super::{
    failure::SqlFailure,
    server::{CONNECTIONS_MAX, Column, DatabaseServer},
    session::{Driver, SqlSession},
    statement::{Dialect, Statement, column_of},
    typed::Value,
};
use crate::origin::OriginError;

/// Statements that a connection keeps; with more it is closed after its read. The server has a bound for all its clients,
/// `max_prepared_stmt_count`: 16,382 if nothing else is set.
const STATEMENTS_MAX: usize = 64;
/// Statements that one read may prepare, at most.
const STATEMENTS_OF_A_READ: usize = 4;

type Described = super::server::Described<MysqlKind>;

/// A database of a server.
pub(super) struct Mysql {
    options: Arc<MySqlConnectOptions>,
    pool: MySqlPool,
    timeout: Duration,
    /// Which of the two the server said it is.
    is_mariadb: AtomicBool,
}

impl Mysql {
    /// Checks the URL only.
    pub(super) fn open(url: &str, timeout: Duration) -> Result<Self, OriginError> {
        // The driver's message may quote the URL, which may hold a password.
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
            // More than are ever kept, so that the driver lets go of none.
            .statement_cache_capacity(STATEMENTS_MAX + STATEMENTS_OF_A_READ)
            .disable_statement_logging();
        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(timeout)
            .after_release(|connection, _| Box::pin(async { Ok(connection.cached_statements_size() < STATEMENTS_MAX) }))
            .connect_lazy_with(options.clone());
        Ok(Self {
            options: Arc::new(options),
            pool,
            timeout,
            is_mariadb: AtomicBool::new(false),
        })
    }
}

impl DatabaseServer for Mysql {
    type Driver = sqlx::MySql;
    type Kind = MysqlKind;

    fn dialect(&self) -> &'static Dialect {
        &Dialect::MYSQL
    }

    fn max_transaction_time(&self) -> Option<Duration> {
        None
    }

    async fn begin(&self) -> Result<SqlSession<sqlx::MySql>, SqlFailure> {
        let mut session = SqlSession::acquire(&self.pool, &self.options).await?;
        // One message and one answer. Of the limits each server reads its own: the others are comments to it.
        let seconds = self.timeout.as_secs_f64();
        let milliseconds = self.timeout.as_millis();
        // The server must not give up on a reader that is slow, as long as the read may take.
        let write_timeout = self.timeout.as_secs().max(60);
        let begin = format!(
            "select connection_id(), version(); \
             set session net_write_timeout = {write_timeout} \
             /*M! , session max_statement_time = {seconds} */ /*!50708 , session max_execution_time = {milliseconds} */; \
             set transaction isolation level repeatable read; \
             start transaction with consistent snapshot, read only"
        );
        let answers = sqlx::raw_sql(AssertSqlSafe(begin)).fetch_all(session.connection()?);
        let answers = answers.await.map_err(SqlFailure::of_mysql)?;
        let row = answers
            .first()
            .ok_or_else(|| SqlFailure::of_mysql(sqlx::Error::RowNotFound))?;
        let version: String = row.try_get(1).map_err(SqlFailure::of_mysql)?;
        session.is_numbered(row.try_get(0).map_err(SqlFailure::of_mysql)?);
        self.is_mariadb.store(version.contains("MariaDB"), Ordering::Relaxed);
        Ok(session)
    }

    async fn describe(
        &self,
        session: &mut SqlSession<sqlx::MySql>,
        statement: &Statement,
    ) -> Result<Described, SqlFailure> {
        describe::describe(session, statement, self.is_mariadb.load(Ordering::Relaxed)).await
    }

    fn compare_with(row: &MySqlRow, described: &mut Described) -> Result<(), SqlFailure> {
        describe::compare_with(row, described)
    }

    fn sorts_by_itself(column: &Column<MysqlKind>) -> Result<bool, OriginError> {
        Ok(column.kind.sorts_by_itself())
    }

    fn select_items(_: &Described, statement: &Statement) -> String {
        statement.sql.clone()
    }

    fn value(row: &MySqlRow, at: usize, kind: MysqlKind) -> Result<Value<'_>, String> {
        values::value(row, at, kind)
    }

    fn select_texts(described: &Described, statement: &Statement) -> String {
        // The server knows best how it writes a value as text: so a filter compares it.
        let texts = described.columns.iter();
        let texts = texts.map(|column| format!("convert({} using utf8mb4)", column_of(&Dialect::MYSQL, &column.name)));
        statement.with_placeholders(&texts.collect::<Vec<_>>().join(", "), |_| "?".to_owned())
    }

    fn text(row: &MySqlRow, at: usize) -> Result<Option<String>, sqlx::Error> {
        row.try_get_unchecked(at)
    }

    async fn has_no_rows(
        &self,
        _: &mut SqlSession<sqlx::MySql>,
        _: &Described,
        _: &[Option<Arc<str>>],
        _: &SqlFailure,
    ) -> Result<bool, SqlFailure> {
        // The server converts any text to a number.
        Ok(false)
    }
}

impl Driver for sqlx::MySql {
    const COMMIT: &'static str = "commit";
    const ROLLBACK: &'static str = "rollback";

    fn stop(number: u64) -> String {
        format!("kill {number}")
    }

    fn failure(error: sqlx::Error) -> SqlFailure {
        SqlFailure::of_mysql(error)
    }

    fn run(connection: &mut MySqlConnection, statements: String) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        let run = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection);
        run.map(|outcome| outcome.map(drop)).boxed()
    }

    fn rows<'c>(
        connection: &'c mut MySqlConnection,
        statement: String,
        values: &[Option<Arc<str>>],
    ) -> BoxStream<'c, Result<MySqlRow, sqlx::Error>> {
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for value in values {
            query = query.bind(value.as_deref().map(str::to_owned));
        }
        query.fetch(connection)
    }
}
