//! Outboxes: a table into which a shop's triggers write the ids of changed items.
//!
//! Rows are read, and deleted once their changes are in Redis. No other row is locked and no position is kept: a row of a transaction that commits
//! late stays until it is seen, and a row that is read twice does no harm.

use std::time::Duration;

use super::pool::{ChangePool, ChangeRow, OutboxListener};
use crate::{config::OutboxConfig, origin::OriginError};

/// Rows that are read at once.
pub const OUTBOX_ROWS_MAX: usize = 1000;

/// An outbox.
pub struct Outbox {
    pool: ChangePool,
    config: OutboxConfig,
}

impl Outbox {
    /// An outbox in the database of a URL, which may be written to. Nothing is connected yet. Needs a runtime.
    pub fn open(url: &str, config: &OutboxConfig, timeout: Duration) -> Result<Self, OriginError> {
        Ok(Self {
            pool: ChangePool::open(url, timeout, false)?,
            config: config.clone(),
        })
    }

    /// How often it is looked into.
    pub fn every(&self) -> Duration {
        self.config.every
    }

    /// The oldest rows, at most [`OUTBOX_ROWS_MAX`].
    pub async fn read(&self) -> Result<Vec<ChangeRow>, OriginError> {
        let (table, key, id) = (
            self.quoted(&self.config.table),
            self.quoted(&self.config.key),
            self.quoted(&self.config.id),
        );
        let (as_number, as_text) = match self.pool.dialect().identifier_quote {
            '`' => ("signed", "char"),
            _ => ("bigint", "text"),
        };
        let sql = format!(
            "select cast({key} as {as_number}), cast({id} as {as_text}) from {table} order by {key} limit {OUTBOX_ROWS_MAX}"
        );
        let rows = self.pool.rows(sql, OUTBOX_ROWS_MAX).await?;
        ChangeRow::all(rows).ok_or_else(|| {
            let OutboxConfig { table, key, id, .. } = &self.config;
            OriginError::Misdeclared(format!(
                "the outbox `{table}` has rows in which `{key}` or `{id}` is null"
            ))
        })
    }

    /// Deletes rows whose changes are kept.
    pub async fn delete(&self, rows: &[ChangeRow]) -> Result<(), OriginError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (table, key) = (self.quoted(&self.config.table), self.quoted(&self.config.key));
        // Numbers: nothing of what a client has written stands in the statements.
        let keys: Vec<String> = rows.iter().map(|row| row.number.to_string()).collect();
        self.pool.delete(&table, &key, &keys).await
    }

    /// Returns when there may be rows, before it is time to look: where PostgreSQL notifies a channel. Else it never returns.
    pub async fn notified(&self, listener: &mut OutboxListener) {
        match &self.config.listen {
            Some(channel) => self.pool.notified(channel, listener).await,
            None => std::future::pending().await,
        }
    }

    fn quoted(&self, name: &str) -> String {
        let quote = self.pool.dialect().identifier_quote;
        let parts = name.split('.').map(|part| format!("{quote}{part}{quote}"));
        parts.collect::<Vec<_>>().join(".")
    }
}
