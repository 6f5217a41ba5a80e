//! Records of warm-up jobs: the time when each began. A process that joins a job, or continues a killed one, knows from it which
//! families are done.
//!
//! A record holds no list of families: each head says when its items were read.

use std::{sync::Arc, time::Duration};

use crate::{
    listing::Timestamp,
    store::{access::Access, error::StoreError, layout::numbers::millis, scripts, wire::reply},
};

/// A job that was joined or begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmUpRecord {
    /// By Redis's clock: families that were read since then are done.
    pub began: Timestamp,
    /// How long ago somebody was at work on it; `None` where it begins now.
    pub last_seen: Option<Duration>,
}

/// The records of warm-up jobs.
#[derive(Clone)]
pub struct WarmUpRecords(pub(crate) Arc<Access>);

impl WarmUpRecords {
    /// Joins a job, or begins it where nobody did, or where it is to begin anew. The record lives for so long, unless renewed.
    pub async fn begin(&self, job: u64, life: Duration, anew: bool) -> Result<WarmUpRecord, StoreError> {
        const OPERATION: &str = "begin warm-up";
        let key = self.0.keys.warm_up(job);
        let mut call = scripts::BEGIN_WARM_UP.call(std::slice::from_ref(&key));
        call.arg(millis(life)).arg(u8::from(anew));
        let begun = self.0.redis.run(OPERATION, &scripts::BEGIN_WARM_UP, &call, &key);
        let reply = begun.await?;
        let record = || {
            let parts = reply::array(reply)?;
            let began = Timestamp(reply::unsigned(parts.first()?)?);
            let idle = reply::integer(parts.get(1)?)?;
            let last_seen = u64::try_from(idle).ok().map(Duration::from_millis);
            Some(WarmUpRecord { began, last_seen })
        };
        record().ok_or_else(|| StoreError::odd_reply(OPERATION))
    }

    /// Lengthens a job's record, if it is still the one that began then.
    pub async fn renew(&self, job: u64, began: Timestamp, life: Duration) -> Result<(), StoreError> {
        let key = self.0.keys.warm_up(job);
        let mut call = scripts::EXTEND_LEASE.call(std::slice::from_ref(&key));
        call.arg(began.0).arg(millis(life));
        let renewed = self.0.redis.run("renew warm-up", &scripts::EXTEND_LEASE, &call, &key);
        renewed.await.map(drop)
    }

    /// Removes a finished job's record, if it is still the one that began then: the next job begins anew.
    pub async fn end(&self, job: u64, began: Timestamp) -> Result<(), StoreError> {
        let key = self.0.keys.warm_up(job);
        let mut call = scripts::RELEASE_LEASE.call(std::slice::from_ref(&key));
        call.arg(began.0);
        let ended = self.0.redis.run("end warm-up", &scripts::RELEASE_LEASE, &call, &key);
        ended.await.map(drop)
    }
}
