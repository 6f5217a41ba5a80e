//! Outboxes: rows that a shop's triggers write are recorded as changes, and deleted then.

use super::{recording::Changes, troubles::FeedError};
use crate::origin::{ChangeRow, OUTBOX_ROWS_MAX, Outbox, OutboxListener};

/// A table of rows that say which items have changed, and the place where that is recorded.
pub(crate) trait Emptying {
    type Error;

    /// The oldest rows.
    async fn read(&self) -> Result<Vec<ChangeRow>, Self::Error>;
    async fn record(&self, rows: &[ChangeRow]) -> Result<(), Self::Error>;
    async fn delete(&self, rows: &[ChangeRow]) -> Result<(), Self::Error>;
}

/// Records the changes of the oldest rows, and deletes these. Returns how many they are.
pub(crate) async fn empty<E: Emptying>(outbox: &E) -> Result<usize, E::Error> {
    let rows = outbox.read().await?;
    outbox.record(&rows).await?;
    outbox.delete(&rows).await?;
    Ok(rows.len())
}

/// The reading of one outbox.
pub(super) struct OutboxReading<'f> {
    outbox: &'f Outbox,
    listener: OutboxListener,
}

/// An outbox, and the records of changes.
struct Recorded<'a>(&'a Outbox, &'a Changes);

impl Emptying for Recorded<'_> {
    type Error = FeedError;

    async fn read(&self) -> Result<Vec<ChangeRow>, FeedError> {
        Ok(self.0.read().await?)
    }

    async fn record(&self, rows: &[ChangeRow]) -> Result<(), FeedError> {
        Ok(self.1.record_rows(rows.iter()).await?)
    }

    async fn delete(&self, rows: &[ChangeRow]) -> Result<(), FeedError> {
        Ok(self.0.delete(rows).await?)
    }
}

impl<'f> OutboxReading<'f> {
    pub(super) fn new(outbox: &'f Outbox) -> Self {
        Self {
            outbox,
            listener: OutboxListener::default(),
        }
    }

    /// Records the changes of the oldest rows, and deletes these. Returns whether there are probably more.
    pub(super) async fn work_off(&mut self, changes: &Changes) -> Result<bool, FeedError> {
        Ok(empty(&Recorded(self.outbox, changes)).await? >= OUTBOX_ROWS_MAX)
    }

    pub(super) async fn notified(&mut self) {
        self.outbox.notified(&mut self.listener).await;
    }
}
