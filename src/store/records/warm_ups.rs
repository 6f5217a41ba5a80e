//! Records of warm-up jobs: when each began, so that whoever joins one, or takes it up where another was killed, knows what
//! is done already.
//!
//! A record holds no list of what is done: the heads tell, for each says when its items were read.

use std::time::Duration;

use redis::Pipeline;

use crate::{
    listing::Timestamp,
    store::{Store, error::StoreError, layout::numbers::millis, scripts, wire::reply},
};

/// A job that was joined or begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUpRecord {
    /// By Redis's clock: what was read since is done.
    pub began: Timestamp,
    /// How long ago somebody was at work on it; `None` where it begins now.
    pub last_seen: Option<Duration>,
}

impl Store {
    /// Joins a job, or begins it where nobody did, or where it is to begin anew. The record lives for so long, unless renewed.
    pub async fn begin_warm_up(&self, job: u64, life: Duration, anew: bool) -> Result<WarmUpRecord, StoreError> {
        const OPERATION: &str = "begin warm-up";
        let key = self.inner.keys.warm_up(job);
        let mut call = scripts::BEGIN_WARM_UP.call(std::slice::from_ref(&key));
        call.arg(millis(life)).arg(u8::from(anew));
        let reply = self
            .inner
            .connections
            .script(OPERATION, &scripts::BEGIN_WARM_UP, &call)
            .await?;
        let reply = reply::answered(reply, OPERATION, &key)?;
        let record = || {
            let parts = reply::array(reply)?;
            let began = Timestamp(u64::try_from(reply::integer(parts.first()?)?).ok()?);
            let idle = reply::integer(parts.get(1)?)?;
            let last_seen = u64::try_from(idle).ok().map(Duration::from_millis);
            Some(WarmUpRecord { began, last_seen })
        };
        record().ok_or_else(|| StoreError::odd_reply(OPERATION))
    }

    /// Lengthens a job's record, if it is still the one that began then.
    pub async fn renew_warm_up(&self, job: u64, began: Timestamp, life: Duration) -> Result<(), StoreError> {
        let mut calls = Pipeline::new();
        let mut call = scripts::EXTEND_LEASE.call(&[self.inner.keys.warm_up(job)]);
        call.arg(began.0).arg(millis(life));
        calls.add_command(call);
        self.on_record("renew warm-up", job, &scripts::EXTEND_LEASE, &calls)
            .await
    }

    /// Removes a finished job's record, if it is still the one that began then: the next job begins anew.
    pub async fn end_warm_up(&self, job: u64, began: Timestamp) -> Result<(), StoreError> {
        let mut calls = Pipeline::new();
        let mut call = scripts::RELEASE_LEASE.call(&[self.inner.keys.warm_up(job)]);
        call.arg(began.0);
        calls.add_command(call);
        self.on_record("end warm-up", job, &scripts::RELEASE_LEASE, &calls)
            .await
    }

    async fn on_record(
        &self,
        operation: &'static str,
        job: u64,
        script: &scripts::Script,
        calls: &Pipeline,
    ) -> Result<(), StoreError> {
        let replies = self.inner.connections.scripts(operation, script, calls).await?;
        reply::done(replies, operation, &self.inner.keys.warm_up(job))
    }
}
