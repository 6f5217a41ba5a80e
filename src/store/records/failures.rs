//! Failures: why a family's last refresh did not publish, and when to try again.

use std::{sync::Arc, time::Duration};

use redis::Value;

use crate::{
    listing::{Family, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::{keys::Partition, numbers::millis},
        scripts,
        wire::reply,
    },
};

/// A longer text is cut.
const ERROR_BYTES_MAX: usize = 500;
/// The fields of a failure, as [`decode`] takes them.
const FIELDS: [&str; 6] = ["error", "count", "at", "retry_at", "empty_since", "definition"];
/// How long a failure is remembered after its back-off has ended.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// The last failure of a family's refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The error.
    pub error: String,
    /// Failures in a row.
    pub count: u32,
    /// When.
    pub at: Timestamp,
    /// Not before then, unless somebody insists.
    pub retry_at: Timestamp,
    /// When a read first said that there are no items, where every read since has said the same.
    pub empty_since: Option<Timestamp>,
    /// The hash of the definition that was read by; `None` where an older release recorded it.
    pub definition: Option<u64>,
}

/// The record of a failed refresh.
#[derive(Clone, Copy, Debug)]
pub struct Failing<'a> {
    /// The hash of the definition that was read by: what another one's reads came to is forgotten.
    pub definition: u64,
    /// The error.
    pub error: &'a str,
    /// Not before so long, unless somebody insists.
    pub retry_after: Duration,
    /// Whether the family is set due then.
    pub schedule: bool,
    /// Its record of an empty origin.
    pub emptiness: Emptiness,
}

/// The record of an empty origin, by a read that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptiness {
    /// Nothing: the origin was not read to its end.
    Untold,
    /// There are items.
    NotEmpty,
    /// There are none, as was read then.
    Empty(Timestamp),
}

/// The last failures of all families.
#[derive(Clone)]
pub struct FailureRecords(pub(crate) Arc<Access>);

impl FailureRecords {
    /// Remembers a failed refresh.
    pub async fn record(&self, family: &Family, failing: Failing<'_>) -> Result<(), StoreError> {
        let Failing { error, retry_after, .. } = failing;
        let keys = &self.0.keys;
        let failure_key = keys.failure(family);
        let due_key = keys.due(Partition::of(&family.name));
        let mut call = scripts::RECORD_FAILURE.call(&[failure_key.clone(), due_key]);
        call.arg(&error[..error.floor_char_boundary(ERROR_BYTES_MAX)])
            .arg(millis(retry_after))
            .arg(millis(retry_after.saturating_add(REMEMBERED_FOR)))
            .arg(match failing.schedule {
                true => family.to_string(),
                false => String::new(),
            })
            .arg(match failing.emptiness {
                Emptiness::Untold => String::new(),
                Emptiness::NotEmpty => "no".to_owned(),
                Emptiness::Empty(read_at) => read_at.0.to_string(),
            })
            .arg(format!("{:016x}", failing.definition));
        let script = &scripts::RECORD_FAILURE;
        let recorded = self.0.redis.run("record failure", script, &call, &failure_key);
        recorded.await.map(drop)
    }

    /// The last failure, unless a publish or a deletion came after it.
    pub async fn last(&self, family: &Family) -> Result<Option<Failure>, StoreError> {
        const OPERATION: &str = "read failure";
        let key = self.0.keys.failure(family);
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(&FIELDS);
        let reply = self.0.redis.read_one(OPERATION, &key, &command).await?;
        let fields = reply::array(reply).unwrap_or_default();
        let fields = <[Value; FIELDS.len()]>::try_from(fields).map_err(|_| StoreError::odd_reply(OPERATION))?;
        if fields.iter().all(|field| *field == Value::Nil) {
            return Ok(None);
        }
        let failure = decode(fields).ok_or_else(|| StoreError::corrupt(&key, "a failure with unreadable fields"))?;
        Ok(Some(failure))
    }
}

fn decode([error, count, at, retry_at, empty_since, definition]: [Value; FIELDS.len()]) -> Option<Failure> {
    let time = |value: &Value| reply::unsigned(value).map(Timestamp);
    Some(Failure {
        error: reply::text(error)?,
        count: u32::try_from(reply::integer(&count)?).ok()?,
        at: time(&at)?,
        retry_at: time(&retry_at)?,
        empty_since: time(&empty_since),
        definition: reply::text(definition).and_then(|text| u64::from_str_radix(&text, 16).ok()),
    })
}
