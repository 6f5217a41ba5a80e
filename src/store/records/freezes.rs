//! Freezes: globs of names that are not refreshed until a time, for all nodes.

use std::time::Duration;

use redis::{Pipeline, Value};

use crate::{
    listing::Timestamp,
    store::{Store, error::StoreError, wire::reply},
};

/// So many globs may be frozen at a time.
pub const FREEZES_MAX: usize = 100;

/// A glob of names, and until when it is frozen.
pub type Freeze = (String, Timestamp);

impl Store {
    /// Freezes a glob of names from now on; a freeze of the same glob is replaced. Returns until when.
    pub async fn freeze(&self, glob: &str, period: Duration) -> Result<Timestamp, StoreError> {
        const OPERATION: &str = "freeze";
        let key = self.inner.keys.frozen();
        let until = self.now().after(period);
        let longest = self.frozen().await?.into_iter().map(|(_, until)| until).max();
        let mut turn = Pipeline::new();
        turn.cmd("MULTI");
        turn.cmd("HSET").arg(&key).arg(glob).arg(until.0);
        turn.cmd("PEXPIREAT")
            .arg(&key)
            .arg(longest.unwrap_or(until).max(until).0);
        turn.cmd("EXEC");
        let replies = self.inner.connections.write(OPERATION, &turn).await?;
        reply::done(replies, OPERATION, &key)?;
        Ok(until)
    }

    /// Ends the freeze of a glob. Says whether there was one.
    pub async fn thaw(&self, glob: &str) -> Result<bool, StoreError> {
        const OPERATION: &str = "thaw";
        let key = self.inner.keys.frozen();
        let mut turn = Pipeline::new();
        turn.cmd("HDEL").arg(&key).arg(glob);
        let replies = self.inner.connections.write(OPERATION, &turn).await?;
        let reply = reply::answered(replies.into_iter().next().unwrap_or_default(), OPERATION, &key)?;
        Ok(reply::integer(&reply) == Some(1))
    }

    /// The globs that are frozen now. What cannot be read is left out.
    pub async fn frozen(&self) -> Result<Vec<Freeze>, StoreError> {
        const OPERATION: &str = "read freezes";
        let key = self.inner.keys.frozen();
        let mut turn = Pipeline::new();
        turn.cmd("HGETALL").arg(&key);
        let replies = self.inner.connections.read(OPERATION, &turn).await?;
        let reply = reply::answered(replies.into_iter().next().unwrap_or_default(), OPERATION, &key)?;
        let fields: Vec<Value> = match reply {
            Value::Map(pairs) => pairs.into_iter().flat_map(|(glob, until)| [glob, until]).collect(),
            other => reply::array(other).unwrap_or_default(),
        };
        let now = self.now();
        let freeze = |pair: &[Value]| {
            let [glob, until] = pair else { return None };
            let until = Timestamp(u64::try_from(reply::integer(until)?).ok()?);
            Some((reply::text(glob.clone())?, until))
        };
        let freezes = fields.chunks(2).filter_map(freeze).filter(|(_, until)| *until > now);
        Ok(freezes.take(FREEZES_MAX).collect())
    }
}
