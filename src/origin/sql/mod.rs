//! SQL databases as origins.
//!
//! Their common parts are [`statement`] (wrapping a query) and [`placeholders`] (its values); a database is
//! one file that runs statements and makes items of rows. Those that are servers, whose columns have types, share how they are
//! read ([`items`], [`texts`], [`session`]; a server's own part is a [`DatabaseServer`]), how values are written ([`typed`]) and which failures are tried again ([`failure`]).

mod changes;
mod failure;
mod formless;
mod items;
mod mysql;
mod next_changes;
mod placeholders;
mod postgres;
mod server;
mod session;
mod sqlite;
mod statement;
mod texts;
mod typed;

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, timeout};
use xxhash_rust::xxh3::xxh3_64;

pub use self::changes::{ChangeFeed, ChangeRow, Changelog, OUTBOX_ROWS_MAX, Outbox, OutboxListener};
pub(super) use self::formless::Formless;
use self::{
    items::ItemRead,
    mysql::Mysql,
    next_changes::next_changes_of,
    postgres::Postgres,
    server::DatabaseServer,
    sqlite::{Blobs, Sqlite},
    statement::Statement,
    texts::TextRows,
    typed::ItemColumns,
};
use super::{Items, Origin, OriginError, Read, ReadOrder, batches::batches, finishing::finished};
use crate::listing::{DataVersion, Definition, Field, ItemId, NextChange, definition::Defined, key::Choices};

/// A database.
pub struct SqlOrigin {
    /// Tells its database from others.
    identity: u64,
    database: Database,
    timeout: Duration,
    formless: Formless,
}

/// The kinds of databases.
#[derive(Clone)]
enum Database {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
    Mysql(Arc<Mysql>),
}

/// How long a read may take.
#[derive(Clone, Copy, Debug)]
pub struct SqlLimits {
    /// One read, as long as its reader keeps up; the server ends a statement that takes longer.
    pub timeout: Duration,
    /// A transaction of PostgreSQL, however slow its reader is: rows that it holds open cannot be vacuumed.
    pub max_transaction_time: Duration,
}

impl SqlLimits {
    /// The default of an origin.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            max_transaction_time: Duration::from_secs(600),
        }
    }
}

impl SqlOrigin {
    /// A database by its URL, with the usual limits.
    pub fn open(url: &str, timeout: Duration) -> Result<Self, OriginError> {
        Self::open_with(url, SqlLimits::new(timeout))
    }

    /// A database by its URL: `sqlite:FILE`, `postgres://…`, `mysql://…` or `mariadb://…`. Nothing is connected yet. Needs a
    /// runtime.
    pub fn open_with(url: &str, limits: SqlLimits) -> Result<Self, OriginError> {
        let SqlLimits {
            timeout,
            max_transaction_time,
        } = limits;
        let scheme = url.split(':').next().unwrap_or_default();
        let database = match scheme {
            "sqlite" => Database::Sqlite(Arc::new(Sqlite::open(url, timeout)?)),
            "postgres" | "postgresql" => {
                Database::Postgres(Arc::new(Postgres::open(url, timeout, max_transaction_time)?))
            }
            "mysql" | "mariadb" => Database::Mysql(Arc::new(Mysql::open(url, timeout)?)),
            // The rest of the URL may hold a password.
            _ => {
                return Err(OriginError::Misdeclared(format!(
                    "`{scheme}:` is no database that is supported: use `sqlite:FILE`, `postgres:` or `mysql:`"
                )));
            }
        };
        Ok(Self {
            identity: xxh3_64(url.as_bytes()),
            database,
            timeout,
            formless: Formless::default(),
        })
    }

    /// The same with a rule for values that JSON has no form for.
    pub(super) fn with_formless(mut self, formless: Formless) -> Self {
        self.formless = formless;
        self
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, OriginError>>) -> Result<T, OriginError> {
        timeout(self.timeout, work).await.unwrap_or(Err(OriginError::TimedOut))
    }

    /// Rows of as many texts as there are columns; rows with a null in them are left out.
    async fn texts(&self, statement: Statement, blobs: Blobs) -> Result<(usize, Vec<Vec<String>>), OriginError> {
        self.text_rows(statement, blobs).await.map(TextRows::without_nulls)
    }

    /// Only SQLite gives bytes in the place of texts: servers convert them.
    async fn text_rows(&self, statement: Statement, blobs: Blobs) -> Result<TextRows, OriginError> {
        match &self.database {
            Database::Sqlite(sqlite) => self.in_time(sqlite.texts(statement, blobs)).await,
            Database::Postgres(postgres) => self.in_time(texts::texts(&**postgres, &statement)).await,
            Database::Mysql(mysql) => self.in_time(texts::texts(&**mysql, &statement)).await,
        }
    }

    fn dialect(&self) -> &'static statement::Dialect {
        match &self.database {
            Database::Sqlite(_) => &statement::Dialect::SQLITE,
            Database::Postgres(postgres) => postgres.dialect(),
            Database::Mysql(mysql) => mysql.dialect(),
        }
    }
}

#[async_trait]
impl Origin for SqlOrigin {
    async fn version(&self, defined: &Defined, choices: &Choices) -> Result<Option<DataVersion>, OriginError> {
        let Some(statement) = Statement::of_version(self.dialect(), defined, choices)? else {
            return Ok(None);
        };
        let (_, rows) = self.texts(statement, Blobs::Refused).await?;
        if rows.len() > 1 {
            let reason = "`version_query` must yield one row".to_owned();
            return Err(OriginError::Misdeclared(reason));
        }
        // No row, or a null: nothing is known. The same version of another database is another version.
        Ok(rows.into_iter().next().map(|values| {
            // Lengths keep neighbouring values apart.
            let values: String = values.iter().map(|value| format!(":{}:{value}", value.len())).collect();
            DataVersion::of(&format!("{:016x}{values}", self.identity))
        }))
    }

    async fn read(&self, read: Read) -> Result<Items, OriginError> {
        let mut statement = Statement::of_family(self.dialect(), &read)?;
        if let Database::Sqlite(_) = self.database {
            // Any column may hold texts.
            statement.order(self.dialect(), &read, |_| Ok(false))?;
        }
        let columns = ItemColumns {
            id: read.defined.definition.id.as_str().into(),
            keys: match &read.order {
                ReadOrder::Any { columns } => columns.iter().map(|column| column.as_str().into()).collect(),
                ReadOrder::By(by) => by.iter().map(|sort| sort.column.as_str().into()).collect(),
            },
            formless: self.formless.clone(),
        };
        let database = self.database.clone();
        let (mut sender, items) = batches(Instant::now() + self.timeout);
        let items = finished(items, &read)?;
        tokio::spawn(async move {
            let outcome = match &database {
                Database::Sqlite(sqlite) => sqlite.items(statement, &columns, &mut sender).await,
                Database::Postgres(postgres) => {
                    let server = &**postgres;
                    let read = ItemRead {
                        server,
                        statement: &statement,
                        read: &read,
                        wanted: &columns,
                        to: &mut sender,
                    };
                    read.run().await
                }
                Database::Mysql(mysql) => {
                    let server = &**mysql;
                    let read = ItemRead {
                        server,
                        statement: &statement,
                        read: &read,
                        wanted: &columns,
                        to: &mut sender,
                    };
                    read.run().await
                }
            };
            sender.end(outcome).await;
        });
        Ok(items)
    }

    fn reads_rows(&self, _definition: &Definition) -> bool {
        true
    }

    async fn names_of(
        &self,
        query: &str,
        id: &Field,
        fields: &[Field],
        ids: &[ItemId],
    ) -> Result<Vec<Vec<String>>, OriginError> {
        let statement = Statement::of_names_of(self.dialect(), query, id.as_str(), fields, ids)?;
        self.texts(statement, Blobs::LeftOut).await.map(|(_, rows)| rows)
    }

    async fn next_changes(&self, defined: &Defined, choices: &Choices) -> Result<Vec<NextChange>, OriginError> {
        let Some(statement) = Statement::of_next_change(self.dialect(), defined, choices)? else {
            return Ok(Vec::new());
        };
        let rows = self.text_rows(statement, Blobs::Refused).await?;
        next_changes_of(rows, defined.definition.id.as_str())
    }

    async fn names(&self, query: &str, fields: &[Field]) -> Result<Vec<Vec<String>>, OriginError> {
        let statement = Statement::of_names(self.dialect(), query)?;
        let (columns, rows) = self.texts(statement, Blobs::LeftOut).await?;
        if columns != fields.len() {
            return Err(OriginError::Misdeclared(format!(
                "`names` yields {columns} columns, and the pattern has {} parameters ({})",
                fields.len(),
                fields.iter().map(Field::as_str).collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
