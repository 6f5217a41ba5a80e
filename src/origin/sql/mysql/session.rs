//! A transaction of one read: begun with its limits, ended at the server whatever happens here.

use std::{sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions, Connection, Executor, SqlSafeStr, Statement as _,
    mysql::{MySqlColumn, MySqlConnectOptions, MySqlConnection, MySqlPool, MySqlRow},
    pool::PoolConnection,
};

use super::{
    failure,
    values::{Column, Kind},
};
use crate::origin::{
    OriginError,
    sql::{failure::Failure, statement::Statement},
};

/// The longest that ending a statement at the server may take; then its time-out ends it.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection in a transaction. Dropping it ends what it does at the server, and closes it.
pub(super) struct Session {
    connection: Option<PoolConnection<sqlx::MySql>>,
    /// The server's name for the connection, by which another can end it.
    id: u64,
    mariadb: bool,
    options: Arc<MySqlConnectOptions>,
}

impl Session {
    /// Begins a transaction on a connection of the pool.
    pub async fn begin(
        pool: &MySqlPool,
        options: &Arc<MySqlConnectOptions>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let mut session = Self {
            connection: Some(pool.acquire().await.map_err(failure)?),
            id: 0,
            mariadb: false,
            options: options.clone(),
        };
        let (id, version): (u64, String) = sqlx::query_as("select connection_id(), version()")
            .fetch_one(session.connection()?)
            .await
            .map_err(failure)?;
        session.id = id;
        session.mariadb = version.contains("MariaDB");
        let limit = match session.mariadb {
            true => format!("max_statement_time = {}", timeout.as_secs_f64()),
            false => format!("max_execution_time = {}", timeout.as_millis()),
        };
        // The server must not give up on a reader that is slow, as long as the read may take.
        let begin = format!(
            "set session {limit}, session net_write_timeout = {}; \
             set transaction isolation level repeatable read; \
             start transaction with consistent snapshot, read only",
            timeout.as_secs().max(60)
        );
        sqlx::raw_sql(AssertSqlSafe(begin))
            .execute(session.connection()?)
            .await
            .map_err(failure)?;
        Ok(session)
    }

    /// What the columns of a statement hold, asked before it runs.
    pub async fn describe(&mut self, statement: &Statement) -> Result<Vec<Column>, Failure> {
        let prepared = self
            .connection()?
            .prepare(AssertSqlSafe(statement.sql.clone()).into_sql_str())
            .await
            .map_err(failure)?;
        let mut columns: Vec<Column> = prepared
            .columns()
            .iter()
            .map(|column| Column {
                name: column.name().into(),
                kind: Kind::of(column.type_info()),
            })
            .collect();
        if self.mariadb && columns.iter().any(|column| column.kind == Kind::BinaryText) {
            self.find_json(statement, &mut columns).await?;
        }
        Ok(columns)
    }

    /// To MariaDB a column declared `JSON` is a long text with a constraint. Of which table it is, only the query by itself
    /// tells: of a subquery's columns the server says that they are the subquery's.
    async fn find_json(&mut self, statement: &Statement, columns: &mut [Column]) -> Result<(), Failure> {
        let prepared = self
            .connection()?
            .prepare(AssertSqlSafe(statement.query().to_owned()).into_sql_str())
            .await
            .map_err(failure)?;
        for (column, described) in columns.iter_mut().zip(prepared.columns()) {
            if column.kind == Kind::BinaryText && self.must_be_json(described).await? {
                column.kind = Kind::Json;
            }
        }
        Ok(())
    }

    async fn must_be_json(&mut self, column: &MySqlColumn) -> Result<bool, Failure> {
        let origin = column.origin();
        let Some(origin) = origin.table_column() else {
            return Ok(false);
        };
        let (schema, table) = origin.table.split_once('.').unwrap_or(("", &origin.table));
        let constraints: i64 = sqlx::query_scalar(
            "select count(*) from information_schema.check_constraints
             where constraint_schema = ? and table_name = ? and constraint_name = ? and check_clause like 'json\\_valid(%'",
        )
        .bind(schema.to_owned())
        .bind(table.to_owned())
        .bind(origin.name.to_string())
        .fetch_one(self.connection()?)
        .await
        .map_err(failure)?;
        Ok(constraints > 0)
    }

    /// The rows of a statement.
    pub fn rows(
        &mut self,
        sql: &str,
        values: &[Option<Arc<str>>],
    ) -> Result<BoxStream<'_, Result<MySqlRow, sqlx::Error>>, Failure> {
        let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
        for value in values {
            query = query.bind(value.as_deref().map(str::to_owned));
        }
        Ok(query.fetch(self.connection()?))
    }

    /// Ends the transaction; the connection is free for the next read.
    pub async fn finish(self) -> Result<(), Failure> {
        self.end("commit").await
    }

    /// Ends it after a failure. Where it is the server that said no, its connection is sound.
    pub async fn give_up(self, failure: Failure) -> Failure {
        if failure.state.is_some() {
            // If it fails, the connection is closed.
            let _ = self.end("rollback").await;
        }
        failure
    }

    async fn end(mut self, statement: &'static str) -> Result<(), Failure> {
        sqlx::raw_sql(statement)
            .execute(self.connection()?)
            .await
            .map_err(failure)?;
        self.connection.take();
        Ok(())
    }

    fn connection(&mut self) -> Result<&mut MySqlConnection, Failure> {
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
        // Out of the pool, so that nobody else's statement is ended.
        let connection = connection.detach();
        let (id, options) = (self.id, self.options.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            // A server that does not answer has nothing to end; closing the connection is all there is then.
            let _ = tokio::time::timeout(KILL_TIMEOUT, kill(&options, id)).await;
            let _ = connection.close_hard().await;
        });
    }
}

async fn kill(options: &MySqlConnectOptions, id: u64) -> Result<(), sqlx::Error> {
    if id == 0 {
        return Ok(());
    }
    let mut other = options.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(format!("kill {id}")))
        .execute(&mut other)
        .await?;
    other.close().await
}
