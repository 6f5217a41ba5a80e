//! Outboxes: rows that a shop's triggers write are recorded as changes, and deleted then.

use super::{recording::Changes, troubles::FeedError};
use crate::origin::{OUTBOX_ROWS_MAX, Outbox, OutboxListener};

/// The reading of one outbox.
pub(super) struct OutboxReading<'f> {
    outbox: &'f Outbox,
    listener: OutboxListener,
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
        let rows = self.outbox.read().await?;
        changes.record_rows(rows.iter()).await?;
        self.outbox.delete(&rows).await?;
        Ok(rows.len() >= OUTBOX_ROWS_MAX)
    }

    pub(super) async fn notified(&mut self) {
        self.outbox.notified(&mut self.listener).await;
    }
}
