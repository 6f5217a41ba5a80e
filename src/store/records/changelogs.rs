//! Positions in changelogs of databases: the version up to which all changes are recorded, a key an origin.

use std::sync::Arc;

use redis::Pipeline;

use crate::store::{access::Access, error::StoreError, wire::reply};

/// The positions.
#[derive(Clone)]
pub struct ChangelogPositions(pub(crate) Arc<Access>);

impl ChangelogPositions {
    /// The position in the changelog of an origin; `None` where it was never read.
    pub async fn of(&self, origin: &str) -> Result<Option<i64>, StoreError> {
        const OPERATION: &str = "read the position in a changelog";
        let key = self.0.keys.changelog(origin);
        let mut turn = Pipeline::new();
        turn.cmd("GET").arg(&key);
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let reply = reply::answered(replies.into_iter().next().unwrap_or_default(), OPERATION, &key)?;
        Ok(reply::text(reply).and_then(|position| position.parse().ok()))
    }

    /// Remembers that all changes up to a version are recorded.
    pub async fn set(&self, origin: &str, position: i64) -> Result<(), StoreError> {
        let key = self.0.keys.changelog(origin);
        let mut turn = Pipeline::new();
        turn.cmd("SET").arg(&key).arg(position);
        self.0
            .redis
            .change("keep the position in a changelog", &key, &turn)
            .await
    }
}
