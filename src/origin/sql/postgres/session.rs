//! A transaction of one read: begun with its limits, read through a cursor, ended at the server whatever happens here.

use std::{sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgConnection, PgPool, PgRow},
};

use super::{describe::Described, failure};
use crate::origin::{OriginError, sql::failure::Failure};

/// Rows that one `fetch` asks for. They come one by one all the same, and the server waits while nobody takes them.
const FETCH_ROWS: usize = 1000;
/// The longest that ending a statement at the server may take; then its time-out ends it.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection in a transaction. Dropping it ends what it does at the server, and closes it.
pub(super) struct Session {
    connection: Option<PoolConnection<sqlx::Postgres>>,
    begin: String,
    /// The server's process, by which another connection can cancel what it does.
    process: i32,
    options: Arc<PgConnectOptions>,
}

impl Session {
    /// Begins a transaction on a connection of the pool.
    pub async fn begin(
        pool: &PgPool,
        options: &Arc<PgConnectOptions>,
        timeout: Duration,
        max_transaction_time: Duration,
    ) -> Result<Self, Failure> {
        // The server's own limits hold even if this process stands still. A cursor is planned for all its rows.
        let begin = format!(
            "begin isolation level repeatable read read only; \
             set local statement_timeout = {}; \
             set local idle_in_transaction_session_timeout = {}; \
             set local cursor_tuple_fraction = 1; \
             select pg_backend_pid(), current_setting('server_encoding')",
            timeout.as_millis(),
            max_transaction_time.as_millis()
        );
        let mut session = Self {
            connection: Some(pool.acquire().await.map_err(failure)?),
            begin,
            process: 0,
            options: options.clone(),
        };
        session.start().await?;
        Ok(session)
    }

    /// Another transaction in the place of this one, which a refused statement has spoilt.
    pub async fn restart(&mut self) -> Result<(), Failure> {
        self.run("rollback; deallocate all").await?;
        self.start().await
    }

    async fn start(&mut self) -> Result<(), Failure> {
        let begin = self.begin.clone();
        let row = sqlx::raw_sql(AssertSqlSafe(begin))
            .fetch_one(self.connection()?)
            .await
            .map_err(failure)?;
        // As in every answer to a plain statement, values are texts.
        self.process = text(&row, 0)?.parse().unwrap_or_default();
        let encoding = text(&row, 1)?;
        if encoding != "UTF8" {
            let reason = format!("the database is encoded in {encoding}, and only UTF-8 is sorted by its bytes");
            return Err(OriginError::Misdeclared(reason).into());
        }
        Ok(())
    }

    /// Opens the cursor.
    pub async fn declare(&mut self, sql: String, values: &[Option<Arc<str>>]) -> Result<(), Failure> {
        let mut query =
            sqlx::query(AssertSqlSafe(format!("declare items no scroll cursor for {sql}"))).persistent(false);
        for value in values {
            query = query.bind(value.as_deref().map(str::to_owned));
        }
        query.execute(self.connection()?).await.map_err(failure)?;
        Ok(())
    }

    /// The cursor's next rows; none at its end.
    pub fn fetch(&mut self) -> BoxStream<'_, Result<PgRow, sqlx::Error>> {
        match self.connection() {
            Ok(connection) => sqlx::raw_sql(AssertSqlSafe(format!("fetch {FETCH_ROWS} from items"))).fetch(connection),
            Err(_) => Box::pin(futures_util::stream::once(async { Err(sqlx::Error::WorkerCrashed) })),
        }
    }

    /// Converts the values, and nothing else.
    pub async fn convert(&mut self, described: &Described, values: &[Option<Arc<str>>]) -> Result<(), Failure> {
        let mut query = sqlx::query(AssertSqlSafe(described.conversions())).persistent(false);
        for value in values {
            query = query.bind(value.as_deref().map(str::to_owned));
        }
        query.fetch_all(self.connection()?).await.map_err(failure)?;
        Ok(())
    }

    /// Ends the transaction; the connection is free for the next read.
    pub async fn finish(mut self) -> Result<(), Failure> {
        // What was described is kept at the server until it is let go of.
        self.run("commit; deallocate all").await?;
        self.connection.take();
        Ok(())
    }

    /// Ends it after a failure. Where it is the server that said no, its connection is sound.
    pub async fn give_up(mut self, failure: Failure) -> Failure {
        // If the rollback fails, the connection is closed.
        if failure.state.is_some() && self.run("rollback; deallocate all").await.is_ok() {
            self.connection.take();
        }
        failure
    }

    async fn run(&mut self, statements: &'static str) -> Result<(), Failure> {
        sqlx::raw_sql(statements)
            .execute(self.connection()?)
            .await
            .map_err(failure)?;
        Ok(())
    }

    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, Failure> {
        match &mut self.connection {
            Some(connection) => Ok(&mut *connection),
            None => Err(OriginError::Unavailable("the read has ended".into()).into()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        // Out of the pool, so that nobody else's statement is cancelled.
        let connection = connection.detach();
        let (process, options) = (self.process, self.options.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            // A server that does not answer has nothing to cancel; closing the connection is all there is then.
            let _ = tokio::time::timeout(CANCEL_TIMEOUT, cancel(&options, process)).await;
            let _ = connection.close_hard().await;
        });
    }
}

async fn cancel(options: &PgConnectOptions, process: i32) -> Result<(), sqlx::Error> {
    if process == 0 {
        return Ok(());
    }
    let mut other = options.connect().await?;
    // The transaction may be between two statements: then it ends with its connection.
    sqlx::raw_sql(AssertSqlSafe(format!("select pg_cancel_backend({process})")))
        .execute(&mut other)
        .await?;
    other.close().await
}

fn text(row: &PgRow, at: usize) -> Result<&str, Failure> {
    let value = row.try_get_raw(at).map_err(failure)?;
    let text = value.as_str();
    text.map_err(|error| OriginError::Unavailable(error).into())
}
