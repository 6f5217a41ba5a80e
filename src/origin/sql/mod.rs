//! SQL databases as origins.
//!
//! What is common to them stands in [`statement`] (wrapping a query) and [`placeholders`] (its values); a database is
//! one file that runs statements and makes items of rows. SQLite is the only one so far.

mod placeholders;
mod sqlite;
mod statement;

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use self::{sqlite::Sqlite, statement::Statement};
use super::{Items, Origin, OriginError, Read, ReadOrder, batches::batches};
use crate::listing::{
    definition::{Defined, Filter},
    key::Choices,
};

/// A database.
pub struct SqlOrigin {
    database: Database,
    timeout: Duration,
}

/// The kinds of databases.
#[derive(Clone)]
enum Database {
    Sqlite(Arc<Sqlite>),
}

/// The columns that an item needs besides its JSON.
#[derive(Clone, Debug)]
struct ItemColumns {
    id: Box<str>,
    keys: Vec<Box<str>>,
}

impl SqlOrigin {
    /// A database by its URL, `sqlite:FILE`. Nothing is connected yet; a time-out is for a whole read. Needs a runtime.
    pub fn open(url: &str, timeout: Duration) -> Result<Self, OriginError> {
        let scheme = url.split(':').next().unwrap_or_default();
        let database = match scheme {
            "sqlite" => Database::Sqlite(Arc::new(Sqlite::open(url, timeout)?)),
            // The rest of the URL may hold a password.
            _ => {
                return Err(OriginError::Misdeclared(format!(
                    "`{scheme}:` is no database that is supported: use `sqlite:FILE`"
                )));
            }
        };
        Ok(Self { database, timeout })
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, OriginError>>) -> Result<T, OriginError> {
        timeout(self.timeout, work).await.unwrap_or(Err(OriginError::TimedOut))
    }

    /// Rows of as many texts as there are columns; rows with a null in them are left out.
    async fn texts(&self, statement: Statement) -> Result<(usize, Vec<Vec<String>>), OriginError> {
        match &self.database {
            Database::Sqlite(sqlite) => self.in_time(sqlite.texts(statement)).await,
        }
    }

    fn dialect(&self) -> &'static statement::Dialect {
        match &self.database {
            Database::Sqlite(_) => &sqlite::DIALECT,
        }
    }
}

#[async_trait]
impl Origin for SqlOrigin {
    async fn version(&self, defined: &Defined, choices: &Choices) -> Result<Option<String>, OriginError> {
        let Some(statement) = Statement::of_version(self.dialect(), defined, choices)? else {
            return Ok(None);
        };
        let (columns, rows) = self.texts(statement).await?;
        let several = || {
            let reason = "`version_query` must yield one row of one column".to_owned();
            OriginError::Misdeclared(reason)
        };
        if columns != 1 || rows.len() > 1 {
            return Err(several());
        }
        // No row, or null: nothing is known.
        Ok(rows.into_iter().flatten().next())
    }

    async fn read(&self, read: Read) -> Result<Items, OriginError> {
        let statement = Statement::of_family(self.dialect(), &read)?;
        let columns = ItemColumns {
            id: read.defined.definition.id.clone(),
            keys: match read.order {
                ReadOrder::Any { columns } => columns,
                ReadOrder::By(_) => Vec::new(),
            },
        };
        let database = self.database.clone();
        let (mut sender, items) = batches(Instant::now() + self.timeout);
        tokio::spawn(async move {
            let outcome = match &database {
                Database::Sqlite(sqlite) => sqlite.items(statement, &columns, &mut sender).await,
            };
            sender.end(outcome).await;
        });
        Ok(items)
    }

    async fn names(&self, query: &str, parameters: &[Arc<str>]) -> Result<Vec<Vec<String>>, OriginError> {
        let statement = Statement::of_names(self.dialect(), query)?;
        let (columns, rows) = self.texts(statement).await?;
        if columns != parameters.len() {
            return Err(OriginError::Misdeclared(format!(
                "`names` yields {columns} columns, and the pattern has {} parameters ({})",
                parameters.len(),
                parameters.join(", ")
            )));
        }
        Ok(rows)
    }

    async fn filter_values(&self, defined: &Defined, filter: &Filter) -> Result<Vec<String>, OriginError> {
        let statement = Statement::of_filter(self.dialect(), defined, &filter.values_query)?;
        let (columns, rows) = self.texts(statement).await?;
        if columns != 1 {
            return Err(OriginError::Misdeclared(format!(
                "the query of the filter `{}` must yield one column, not {columns}",
                filter.parameter
            )));
        }
        Ok(rows.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests;
