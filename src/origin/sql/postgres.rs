//! PostgreSQL: its own part of a read.
//!
//! Rows come of one statement that is run to its end, so the server may use several of its processes; of a cursor it never
//! does. Integers and floats come as the server holds them; the rest it converts to texts, which keeps every digit of a decimal.
//!
//! A value of the configuration's query has no type of its own. The server is first asked for the type that it infers
//! ([`describe`]); then it is bound as a text, and the server converts it: so `category = :category` is right for columns
//! of any type, and the column's index can be used.

mod describe;
mod values;

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Row,
    postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow},
};
use url::Url;

use self::describe::PostgresKind;
use super::{
    failure::SqlFailure,
    server::{CONNECTIONS_MAX, Column, DatabaseServer},
    session::{Driver, SqlSession},
    statement::{Dialect, Statement},
    typed::Value,
};
use crate::origin::OriginError;

/// Versions, as `server_version_num` has them, from which the server can be told to end a connection whose peer takes nothing
/// any more; a statement whose client is gone; and a transaction that is open for too long, whatever it does.
const KNOWS_TCP_USER_TIMEOUT: u32 = 12_00_00;
const KNOWS_CLIENT_CHECK: u32 = 14_00_00;
const KNOWS_TRANSACTION_TIMEOUT: u32 = 17_00_00;

/// How often the server looks whether the client is still there. It cannot on Windows, and refuses to be told so.
const CLIENT_CHECK: &str =
    "case when version() !~* 'visual c|mingw' then set_config('client_connection_check_interval', '1s', true) end";

/// The parameters that a URL may have. Another key does nothing, and the driver would log it with its value.
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

type Described = super::server::Described<PostgresKind>;

/// A database of a server.
pub(super) struct Postgres {
    options: Arc<PgConnectOptions>,
    pool: PgPool,
    max_transaction_time: Duration,
}

impl Postgres {
    /// Checks the URL only.
    pub(super) fn open(url: &str, timeout: Duration, max_transaction_time: Duration) -> Result<Self, OriginError> {
        // The driver's message may quote the URL, which may hold a password.
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
            // A kept statement would keep its columns too, and the table may change.
            .statement_cache_capacity(0)
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(timeout)
            .connect_lazy_with(options.clone());
        Ok(Self {
            options: Arc::new(options),
            pool,
            max_transaction_time,
        })
    }

    /// Another transaction in the place of one that a refused statement has spoilt.
    async fn restart(&self, session: &mut SqlSession<sqlx::Postgres>) -> Result<(), SqlFailure> {
        session.run(sqlx::Postgres::ROLLBACK).await?;
        self.start(session).await
    }

    async fn start(&self, session: &mut SqlSession<sqlx::Postgres>) -> Result<(), SqlFailure> {
        // The server's own limits hold even if this process stands still. None of them is the read's time-out: the server
        // cannot tell its own slowness from that of the reader of the rows, and this process can.
        let longest = self.max_transaction_time.as_millis();
        let connection = session.connection()?;
        let version = connection.server_version_num().unwrap_or_default();
        let mut begin = "begin isolation level repeatable read read only;".to_owned();
        for (since, limit) in [
            (0, "statement_timeout"),
            (0, "idle_in_transaction_session_timeout"),
            (KNOWS_TCP_USER_TIMEOUT, "tcp_user_timeout"),
            (KNOWS_TRANSACTION_TIMEOUT, "transaction_timeout"),
        ] {
            if version >= since {
                begin.push_str(&format!(" set local {limit} = {longest};"));
            }
        }
        let client_check = if version >= KNOWS_CLIENT_CHECK {
            CLIENT_CHECK
        } else {
            "null"
        };
        begin.push_str(&format!(
            " select pg_backend_pid(), current_setting('server_encoding'), {client_check}"
        ));
        let row = sqlx::raw_sql(AssertSqlSafe(begin))
            .fetch_one(connection)
            .await
            .map_err(SqlFailure::of_postgres)?;
        // In the answer to a plain statement, values are texts.
        let text = |at| {
            row.try_get_unchecked::<Option<String>, _>(at)
                .map_err(SqlFailure::of_postgres)
        };
        session.is_numbered(text(0)?.and_then(|number| number.parse().ok()).unwrap_or_default());
        match text(1)?.as_deref() {
            Some("UTF8") => Ok(()),
            other => {
                let encoding = other.unwrap_or_default();
                let reason = format!("the database is encoded in {encoding}, and only UTF-8 is sorted by its bytes");
                Err(OriginError::Misdeclared(reason).into())
            }
        }
    }
}

impl DatabaseServer for Postgres {
    type Driver = sqlx::Postgres;
    type Kind = PostgresKind;

    fn dialect(&self) -> &'static Dialect {
        &Dialect::POSTGRES
    }

    fn max_transaction_time(&self) -> Option<Duration> {
        Some(self.max_transaction_time)
    }

    async fn begin(&self) -> Result<SqlSession<sqlx::Postgres>, SqlFailure> {
        let mut session = SqlSession::acquire(&self.pool, &self.options).await?;
        self.start(&mut session).await?;
        Ok(session)
    }

    async fn describe(
        &self,
        session: &mut SqlSession<sqlx::Postgres>,
        statement: &Statement,
    ) -> Result<Described, SqlFailure> {
        let mut undetermined = Vec::new();
        loop {
            match describe::describe(session, statement, &undetermined).await {
                // In `:brand is null` nothing says what the value is: then it is a text.
                Err(refused) if refused.is("42P18") && undetermined.len() < statement.values.len() => {
                    let Some(number) = describe::parameter_in(&refused.error) else {
                        return Err(refused);
                    };
                    undetermined.push(number);
                    self.restart(session).await?;
                }
                outcome => return outcome,
            }
        }
    }

    fn rank_of(column: &Column<PostgresKind>) -> Option<PostgresKind> {
        // `dense_rank` is a `bigint`.
        (column.kind == PostgresKind::Ordered).then_some(PostgresKind::Integer)
    }

    fn sorts_by_itself(column: &Column<PostgresKind>) -> Result<bool, OriginError> {
        column.sorts_by_itself()
    }

    fn select_items(described: &Described, statement: &Statement) -> String {
        described.select_items(statement)
    }

    fn value(row: &PgRow, at: usize, kind: PostgresKind) -> Result<Value<'_>, String> {
        values::value(row, at, kind)
    }

    fn select_texts(described: &Described, statement: &Statement) -> String {
        described.select_texts(statement)
    }

    fn text(row: &PgRow, at: usize) -> Result<Option<String>, sqlx::Error> {
        row.try_get_unchecked(at)
    }

    async fn has_no_rows(
        &self,
        session: &mut SqlSession<sqlx::Postgres>,
        described: &Described,
        values: &[Option<Arc<str>>],
        failure: &SqlFailure,
    ) -> Result<bool, SqlFailure> {
        if !failure.is("22") || !described.converts() {
            return Ok(false);
        }
        self.restart(session).await?;
        let mut converted = session.rows(described.conversions(), values)?;
        match converted.next().await {
            Some(Err(error)) => {
                let unconvertible = sqlx::Postgres::failure(error);
                drop(converted);
                match unconvertible.is("22") {
                    true => self.restart(session).await.map(|()| true),
                    false => Err(unconvertible),
                }
            }
            _ => Ok(false),
        }
    }
}

impl Driver for sqlx::Postgres {
    // A described statement is kept at the server until it is released.
    const COMMIT: &'static str = "commit; deallocate all";
    const ROLLBACK: &'static str = "rollback; deallocate all";

    fn stop(number: u64) -> String {
        // A mere cancel is lost on a server that is about to read its next command, or that waits to send.
        format!("select pg_terminate_backend({number})")
    }

    fn failure(error: sqlx::Error) -> SqlFailure {
        SqlFailure::of_postgres(error)
    }

    fn run(connection: &mut PgConnection, statements: String) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        let run = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection);
        run.map(|outcome| outcome.map(drop)).boxed()
    }

    fn rows<'c>(
        connection: &'c mut PgConnection,
        statement: String,
        values: &[Option<Arc<str>>],
    ) -> BoxStream<'c, Result<PgRow, sqlx::Error>> {
        let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        for value in values {
            query = query.bind(value.as_deref().map(str::to_owned));
        }
        query.fetch(connection)
    }
}
