//! A transaction of one read at a server: begun with its limits, ended at the server whatever happens here.

use std::{sync::Arc, time::Duration};

use futures_util::{future::BoxFuture, stream::BoxStream};
use sqlx::{ConnectOptions, Connection, Database, Pool, database::HasStatementCache, pool::PoolConnection};

use super::failure::SqlFailure;
use crate::origin::OriginError;

/// The longest that ending a statement at the server may take; then its time-out ends it.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How to connect to a server.
pub(super) type ConnectTo<D> = <<D as Database>::Connection as Connection>::Options;

/// A driver, as far as a session needs it.
pub(super) trait Driver: Database + HasStatementCache {
    /// Ends a transaction.
    const COMMIT: &'static str;
    /// Ends a transaction that has failed.
    const ROLLBACK: &'static str;

    /// The statement by which another connection ends what the one of this number does.
    fn stop(number: u64) -> String;

    /// The meaning of an error.
    fn failure(error: sqlx::Error) -> SqlFailure;

    /// Runs statements that take no values.
    fn run(connection: &mut Self::Connection, statements: String) -> BoxFuture<'_, Result<(), sqlx::Error>>;

    /// The rows of one statement, its values bound as texts. They come as the server finds them: while nobody takes
    /// them, it waits.
    fn rows<'c>(
        connection: &'c mut Self::Connection,
        statement: String,
        values: &[Option<Arc<str>>],
    ) -> BoxStream<'c, Result<Self::Row, sqlx::Error>>;
}

/// A connection in a transaction. Dropping it ends what it does at the server, and closes it.
pub(super) struct SqlSession<D: Driver> {
    connection: Option<PoolConnection<D>>,
    /// The server's name for the connection; 0 while it is not known.
    number: u64,
    options: Arc<ConnectTo<D>>,
}

impl<D: Driver> SqlSession<D> {
    /// A connection of the pool, on which a transaction is yet to begin.
    pub(super) async fn acquire(pool: &Pool<D>, options: &Arc<ConnectTo<D>>) -> Result<Self, SqlFailure> {
        Ok(Self {
            connection: Some(pool.acquire().await.map_err(D::failure)?),
            number: 0,
            options: options.clone(),
        })
    }

    /// By what number the server knows the connection.
    pub(super) fn is_numbered(&mut self, number: u64) {
        self.number = number;
    }

    pub(super) fn connection(&mut self) -> Result<&mut D::Connection, SqlFailure> {
        match &mut self.connection {
            Some(connection) => Ok(&mut *connection),
            None => Err(OriginError::Unavailable("the read has ended".into()).into()),
        }
    }

    /// Lets go of the statements that the connection keeps.
    pub(super) async fn forget_statements(&mut self) -> Result<(), SqlFailure> {
        self.connection()?.clear_cached_statements().await.map_err(D::failure)
    }

    /// Runs statements that take no values.
    pub(super) async fn run(&mut self, statements: impl Into<String>) -> Result<(), SqlFailure> {
        let statements = statements.into();
        D::run(self.connection()?, statements).await.map_err(D::failure)
    }

    /// The rows of a statement.
    pub(super) fn rows(
        &mut self,
        statement: String,
        values: &[Option<Arc<str>>],
    ) -> Result<BoxStream<'_, Result<D::Row, sqlx::Error>>, SqlFailure> {
        Ok(D::rows(self.connection()?, statement, values))
    }

    /// Ends the transaction; the connection is free for the next read.
    pub(super) async fn finish(self) -> Result<(), SqlFailure> {
        self.end(D::COMMIT).await
    }

    /// Ends it after a failure. Where it is the server that said no, its connection is sound; unless it keeps statements that
    /// are not.
    pub(super) async fn give_up(self, failure: SqlFailure) -> SqlFailure {
        if failure.state.is_some() && !failure.outdated {
            // If it fails, the connection is closed.
            let _ = self.end(D::ROLLBACK).await;
        }
        failure
    }

    async fn end(mut self, statements: &'static str) -> Result<(), SqlFailure> {
        self.run(statements).await?;
        self.connection.take();
        Ok(())
    }
}

impl<D: Driver> Drop for SqlSession<D> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        // Out of the pool, so that nobody else's statement is ended.
        let connection = connection.detach();
        let (number, options) = (self.number, self.options.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            // A server that does not answer has nothing to end; closing the connection is all there is then.
            let _ = tokio::time::timeout(STOP_TIMEOUT, stop::<D>(&options, number)).await;
            let _ = connection.close_hard().await;
        });
    }
}

/// The transaction may be between two statements: then it ends with its connection.
async fn stop<D: Driver>(options: &ConnectTo<D>, number: u64) -> Result<(), sqlx::Error> {
    if number == 0 {
        return Ok(());
    }
    let mut other = options.connect().await?;
    D::run(&mut other, D::stop(number)).await?;
    other.close().await
}
