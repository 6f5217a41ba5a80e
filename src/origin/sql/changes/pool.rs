//! Connections of a database that tells of changes, besides those that read items: few, for small statements.

use std::{future::Future, time::Duration};

use futures_util::{StreamExt, TryStreamExt};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Row,
    mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions},
    postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions},
};
use tokio::time::timeout;

use crate::origin::{
    OriginError,
    sql::{failure::SqlFailure, sqlite::origin_error, statement::Dialect},
};

/// One connection reads and writes, another may listen.
const CONNECTIONS_MAX: u32 = 2;

/// A row that tells of a change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeRow {
    /// The key by which it is deleted, or its version.
    pub number: i64,
    /// The item that has changed.
    pub id: String,
}

impl ChangeRow {
    /// Rows of a number and an id. `None` where one has not both.
    pub(super) fn all(rows: Vec<[Option<String>; 2]>) -> Option<Vec<Self>> {
        let rows = rows.into_iter().map(|[number, id]| {
            Some(Self {
                number: number?.parse().ok()?,
                id: id?,
            })
        });
        rows.collect()
    }
}

/// A connection that listens, once one does.
#[derive(Default)]
pub struct OutboxListener(Option<PgListener>);

/// Connections to one database.
pub(super) struct ChangePool {
    pool: Pool,
    timeout: Duration,
}

enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    Mysql(MySqlPool),
}

/// A cell as text, by the first of some types that it has. `None` for null and for other types.
macro_rules! cell {
    ($row:expr, $at:expr, $($kind:ty),+) => {
        // SQLite makes 0 and "" of null where no `Option` is asked for.
        None$(.or_else(|| {
            let value = Row::try_get::<Option<$kind>, _>($row, $at).ok().flatten();
            value.map(|value| value.to_string())
        }))+
    };
}

impl ChangePool {
    /// The database of a URL. Nothing is connected yet. Needs a runtime.
    pub(super) fn open(url: &str, timeout: Duration, is_read_only: bool) -> Result<Self, OriginError> {
        // The driver's message may quote the URL, which may hold a password.
        let unreadable = |_| OriginError::Misdeclared("the URL of the database with changes cannot be read".to_owned());
        let pool = match url.split(':').next().unwrap_or_default() {
            "sqlite" => {
                let options: SqliteConnectOptions = url.parse().map_err(unreadable)?;
                let options = options.read_only(is_read_only).create_if_missing(false);
                let options = options.busy_timeout(timeout).disable_statement_logging();
                let pool = SqlitePoolOptions::new()
                    .max_connections(CONNECTIONS_MAX)
                    .acquire_timeout(timeout);
                Pool::Sqlite(pool.connect_lazy_with(options))
            }
            "postgres" | "postgresql" => {
                let options: PgConnectOptions = url.parse().map_err(unreadable)?;
                let options = options.application_name("listcache").disable_statement_logging();
                let pool = PgPoolOptions::new()
                    .max_connections(CONNECTIONS_MAX)
                    .acquire_timeout(timeout);
                Pool::Postgres(pool.connect_lazy_with(options))
            }
            _ => {
                let options: MySqlConnectOptions = url.parse().map_err(unreadable)?;
                let options = options.charset("utf8mb4").disable_statement_logging();
                let pool = MySqlPoolOptions::new()
                    .max_connections(CONNECTIONS_MAX)
                    .acquire_timeout(timeout);
                Pool::Mysql(pool.connect_lazy_with(options))
            }
        };
        Ok(Self { pool, timeout })
    }

    /// How the database spells things.
    pub(super) fn dialect(&self) -> Dialect {
        match &self.pool {
            Pool::Sqlite(_) => Dialect::SQLITE,
            Pool::Postgres(_) => Dialect::POSTGRES,
            Pool::Mysql(_) => Dialect::MYSQL,
        }
    }

    /// The first rows of a statement, at most so many, each with its first columns: whole numbers and texts, as texts.
    pub(super) async fn rows<const COLUMNS: usize>(
        &self,
        sql: String,
        at_most: usize,
    ) -> Result<Vec<[Option<String>; COLUMNS]>, OriginError> {
        let sql = AssertSqlSafe(sql);
        // Each database has a type of its own for a row.
        macro_rules! rows {
            ($pool:expr, $error:expr, $($kind:ty),+) => {{
                let row = |row| std::array::from_fn(|at| cell!(&row, at, $($kind),+));
                // A statement is not kept: the next one has other numbers.
                let rows = sqlx::query(sql).persistent(false).fetch($pool).take(at_most);
                rows.map_ok(row).try_collect().await.map_err($error)
            }};
        }
        let read = async {
            match &self.pool {
                Pool::Sqlite(pool) => rows!(pool, origin_error, i64, String),
                Pool::Postgres(pool) => rows!(pool, of_postgres, i64, i32, i16, String),
                Pool::Mysql(pool) => rows!(pool, of_mysql, i64, u64, String),
            }
        };
        self.in_time(read).await
    }

    /// Deletes rows by their keys. Table and column are quoted, keys are numbers.
    pub(super) async fn delete(&self, table: &str, key: &str, keys: &[String]) -> Result<(), OriginError> {
        let all = || AssertSqlSafe(format!("delete from {table} where {key} in ({})", keys.join(", ")));
        // For a list of keys MySQL may read the whole table, and waits for rows of transactions that are under way.
        // A statement for each key finds its row by the index, and locks no other.
        let each = || {
            let deletes = keys.iter().map(|of| format!("delete from {table} where {key} = {of};"));
            AssertSqlSafe(deletes.collect::<String>())
        };
        let delete = async {
            match &self.pool {
                Pool::Sqlite(pool) => sqlx::query(all()).execute(pool).await.map(drop).map_err(origin_error),
                Pool::Postgres(pool) => sqlx::query(all()).execute(pool).await.map(drop).map_err(of_postgres),
                Pool::Mysql(pool) => {
                    let mut deleting = pool.begin().await.map_err(of_mysql)?;
                    sqlx::raw_sql(each()).execute(&mut *deleting).await.map_err(of_mysql)?;
                    deleting.commit().await.map_err(of_mysql)
                }
            }
        };
        self.in_time(delete).await
    }

    /// Returns when PostgreSQL notifies a channel. Else it never returns.
    ///
    /// PostgreSQL keeps no notifications. When it begins to listen there may be rows already, so it returns then.
    pub(super) async fn notified(&self, channel: &str, OutboxListener(listener): &mut OutboxListener) {
        let Pool::Postgres(pool) = &self.pool else {
            return std::future::pending().await;
        };
        let Some(listening) = listener else {
            let Ok(mut listening) = PgListener::connect_with(pool).await else {
                return std::future::pending().await;
            };
            if listening.listen(channel).await.is_err() {
                return std::future::pending().await;
            }
            *listener = Some(listening);
            return;
        };
        // `None`: the connection is lost.
        if !matches!(listening.try_recv().await, Ok(Some(_))) {
            *listener = None;
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, OriginError>>) -> Result<T, OriginError> {
        timeout(self.timeout, work).await.unwrap_or(Err(OriginError::TimedOut))
    }
}

fn of_postgres(error: sqlx::Error) -> OriginError {
    SqlFailure::of_postgres(error).error
}

fn of_mysql(error: sqlx::Error) -> OriginError {
    SqlFailure::of_mysql(error).error
}
