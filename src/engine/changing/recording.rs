//! Recording: changes are kept in Redis before their teller hears that they are taken.

use std::{sync::Arc, time::Duration};

use indexmap::IndexSet;
use tokio::time::{Instant, sleep};

use super::{surveys::Surveys, troubles::FeedTroubles};
use crate::{
    engine::{error::EngineError, refreshing::means::Means},
    listing::{Change, ChangeToken, ChangesOutcome, ItemId},
    origin::ChangeRow,
    store::Recording,
    telemetry::{BySource, ChangeSource},
};

/// Between two looks whether changes are worked off.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Takes changes, and tells what became of them.
pub struct Changes {
    pub(crate) means: Arc<Means>,
    pub(crate) surveys: Arc<Surveys>,
    pub(crate) troubles: Arc<FeedTroubles>,
}

impl Changes {
    /// The most changes that may be told at once.
    pub const MAX: usize = 10_000;

    /// Records changes, and names them. To record them twice does no harm.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] where too many are kept; Redis's own.
    pub async fn record(&self, changes: &[Change], source: ChangeSource) -> Result<ChangeToken, EngineError> {
        let token = self.means.store.changes.outcomes().new_token();
        self.record_as(changes, source, Some(token)).await?;
        Ok(token)
    }

    /// The same where nobody will ask for the outcome.
    ///
    /// # Errors
    /// As [`Changes::record`].
    pub async fn record_silently(&self, changes: &[Change], source: ChangeSource) -> Result<(), EngineError> {
        self.record_as(changes, source, None).await
    }

    /// Records that the items of a database's rows have changed, each once. A row whose id no item can have says nothing.
    pub(super) async fn record_rows<'r>(&self, rows: impl Iterator<Item = &'r ChangeRow>) -> Result<(), EngineError> {
        let ids = rows.filter_map(|row| {
            let id = ItemId::parse(&row.id);
            if id.is_none() {
                tracing::warn!(
                    row = row.number,
                    "a row with a change is left out: its id is empty, or longer than 256 bytes"
                );
            }
            id
        });
        let ids: IndexSet<ItemId> = ids.collect();
        let changes: Vec<Change> = ids.into_iter().map(Change::of_item).collect();
        for changes in changes.chunks(Self::MAX) {
            self.record_silently(changes, ChangeSource::Database).await?;
        }
        Ok(())
    }

    async fn record_as(
        &self,
        changes: &[Change],
        source: ChangeSource,
        token: Option<ChangeToken>,
    ) -> Result<(), EngineError> {
        match self.means.store.changes.record(changes, token).await? {
            Recording::Recorded => {
                let counter = self.means.metrics.changes.get_or_create(&BySource { source }).clone();
                counter.inc_by(changes.len() as u64);
                Ok(())
            }
            Recording::Full => Err(EngineError::Overloaded {
                retry_after: Duration::from_secs(5),
            }),
        }
    }

    /// The origins whose outboxes or changelogs cannot be read, and for how long.
    pub fn outbox_troubles(&self) -> Vec<(Box<str>, Duration)> {
        self.troubles.all()
    }

    /// The outcome of changes; `None` for an unknown or forgotten token.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn outcome(&self, token: ChangeToken) -> Result<Option<ChangesOutcome>, EngineError> {
        Ok(self.means.store.changes.outcomes().of(token).await?)
    }

    /// The same once they are worked off, or when the time is over.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn outcome_within(
        &self,
        token: ChangeToken,
        within: Duration,
    ) -> Result<Option<ChangesOutcome>, EngineError> {
        let deadline = Instant::now() + within;
        loop {
            let outcome = self.outcome(token).await?;
            let is_done = outcome.as_ref().is_none_or(|outcome| outcome.left == 0);
            if is_done || Instant::now() >= deadline {
                return Ok(outcome);
            }
            sleep(LOOK_PERIOD).await;
        }
    }
}
