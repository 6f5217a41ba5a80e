//! Freezes: globs of names that no node refreshes until a time.

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, Value};

use crate::{
    listing::Timestamp,
    store::{access::Access, error::StoreError, wire::reply},
};

/// So many globs may be frozen at a time.
pub const FREEZES_MAX: usize = 100;

/// A glob of names, and until when it is frozen.
pub type Freeze = (String, Timestamp);

/// The freezes.
#[derive(Clone)]
pub struct FreezeRecords(pub(crate) Arc<Access>);

impl FreezeRecords {
    /// Freezes a glob of names from now on; a freeze of the same glob is replaced. Returns until when.
    pub async fn freeze(&self, glob: &str, period: Duration) -> Result<Timestamp, StoreError> {
        const OPERATION: &str = "freeze";
        let key = self.0.keys.frozen();
        let until = self.0.clock.now().after(period);
        let longest = self.all().await?.into_iter().map(|(_, until)| until).max();
        let mut turn = Pipeline::new();
        turn.cmd("MULTI");
        turn.cmd("HSET").arg(&key).arg(glob).arg(until.0);
        turn.cmd("PEXPIREAT")
            .arg(&key)
            .arg(longest.unwrap_or(until).max(until).0);
        turn.cmd("EXEC");
        self.0.redis.change(OPERATION, &key, &turn).await?;
        Ok(until)
    }

    /// Ends the freeze of a glob. Says whether there was one.
    pub async fn thaw(&self, glob: &str) -> Result<bool, StoreError> {
        const OPERATION: &str = "thaw";
        let key = self.0.keys.frozen();
        let mut command = redis::cmd("HDEL");
        command.arg(&key).arg(glob);
        let replies = self.0.redis.write(OPERATION, &command).await?;
        let reply = reply::answered(replies.into_iter().next().unwrap_or_default(), OPERATION, &key)?;
        Ok(reply::integer(&reply) == Some(1))
    }

    /// The globs that are frozen now. Unreadable ones are left out.
    pub async fn all(&self) -> Result<Vec<Freeze>, StoreError> {
        const OPERATION: &str = "read freezes";
        let key = self.0.keys.frozen();
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let reply = self.0.redis.read_one(OPERATION, &key, &command).await?;
        let fields: Vec<Value> = match reply {
            Value::Map(pairs) => pairs.into_iter().flat_map(|(glob, until)| [glob, until]).collect(),
            other => reply::array(other).unwrap_or_default(),
        };
        let now = self.0.clock.now();
        let freeze = |pair: &[Value]| {
            let [glob, until] = pair else { return None };
            let until = Timestamp(reply::unsigned(until)?);
            Some((reply::text(glob.clone())?, until))
        };
        let freezes = fields.chunks(2).filter_map(freeze).filter(|(_, until)| *until > now);
        Ok(freezes.take(FREEZES_MAX).collect())
    }
}
