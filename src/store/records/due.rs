//! Due times: a sorted set a partition, with families by the millisecond of their next refresh.

pub(in crate::store) mod instants;

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Pipeline, Value};

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

/// Families made due in one turn.
const FAMILIES_A_TURN: usize = 100;

/// Families whose due times are read of each partition in one turn.
pub const LATER_A_PARTITION: usize = 32;

/// A family that was due, and that this node may refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The family.
    pub family: Family,
    /// When it is due again, unless somebody says otherwise; and as long as that is its due time, nobody has.
    pub due_again: Timestamp,
}

/// The due times of all families.
#[derive(Clone)]
pub struct DueTimes(pub(crate) Arc<Access>);

impl DueTimes {
    /// Takes families that are due, in every partition at most `per_partition`; each is due again after `claim_for` unless
    /// publish or failure says otherwise.
    pub async fn claim(&self, per_partition: usize, claim_for: Duration) -> Result<Vec<Claim>, StoreError> {
        const OPERATION: &str = "claim due";
        let mut calls = Pipeline::new();
        for partition in Partition::all() {
            calls.add_command(claiming(&self.0.keys.due(partition), per_partition, claim_for));
        }
        let replies = self.0.redis.scripts(OPERATION, &scripts::CLAIM_DUE, &calls).await?;
        let mut claims = Vec::new();
        for (partition, reply) in Partition::all().zip(replies) {
            let key = self.0.keys.due(partition);
            let reply = reply::answered(reply, OPERATION, &key)?;
            let (due_again, members) = claimed(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            for member in members {
                match parse_family(&member) {
                    Some(family) => claims.push(Claim { family, due_again }),
                    None => self.remove_member(&key, member).await?,
                }
            }
        }
        Ok(claims)
    }

    /// Sets the due times of families that have none, each at some time before `within` is over.
    pub async fn schedule_all(&self, families: &[Family], within: Duration) -> Result<(), StoreError> {
        for batch in families.chunks(FAMILIES_A_TURN) {
            let now = self.0.clock.now();
            let mut turn = Pipeline::new();
            for family in batch {
                let key = self.0.keys.due(Partition::of(&family.name));
                let at = now.after(within.mul_f64(fastrand::f64()));
                turn.cmd("ZADD").arg(key).arg("NX").arg(at.0).arg(family.to_string());
            }
            self.0.redis.change("schedule", "due", &turn).await?;
        }
        Ok(())
    }

    /// Makes families due now; those that are due already stay where they are.
    pub async fn bring_forward(&self, families: impl Iterator<Item = &Family>) -> Result<(), StoreError> {
        self.bring_forward_within(families, Duration::ZERO).await
    }

    /// Makes families due, each at some time within a duration; those that are due earlier stay where they are.
    pub async fn bring_forward_within(
        &self,
        families: impl Iterator<Item = &Family>,
        within: Duration,
    ) -> Result<(), StoreError> {
        let families: Vec<&Family> = families.collect();
        for families in families.chunks(FAMILIES_A_TURN) {
            let now = self.0.clock.now();
            let mut turn = Pipeline::new();
            for family in families {
                let key = self.0.keys.due(Partition::of(&family.name));
                let at = now.after(within.mul_f64(fastrand::f64()));
                turn.add_command(bringing_forward(&key, family, at));
            }
            self.0.redis.change("make due", "due", &turn).await?;
        }
        Ok(())
    }

    /// Families that are due later than a time, one of each partition: at most [`LATER_A_PARTITION`] of each, the next due first.
    pub async fn later(&self, than: &[Timestamp]) -> Result<Vec<Vec<(Family, Timestamp)>>, StoreError> {
        const OPERATION: &str = "read due times";
        let mut turn = Pipeline::new();
        for (partition, than) in Partition::all().zip(than) {
            turn.add_command(reading_later(&self.0.keys.due(partition), *than));
        }
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let due = replies.into_iter().map(|reply| {
            let reply = reply::answered(reply, OPERATION, "due")?;
            due_times(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))
        });
        due.collect()
    }

    /// Moves the due time of a family that has one.
    pub async fn postpone(&self, family: &Family, after: Duration) -> Result<(), StoreError> {
        let key = self.0.keys.due(Partition::of(&family.name));
        let mut turn = Pipeline::new();
        let at = self.0.clock.now().after(after);
        turn.cmd("ZADD").arg(&key).arg("XX").arg(at.0).arg(family.to_string());
        self.0.redis.change("postpone", &key, &turn).await
    }

    /// Takes a family out of the due set.
    pub async fn remove(&self, family: &Family) -> Result<(), StoreError> {
        let key = self.0.keys.due(Partition::of(&family.name));
        let member = Value::BulkString(family.to_string().into_bytes());
        self.remove_member(&key, member).await
    }

    /// When a family is due; `None` where it is not scheduled.
    pub async fn time_of(&self, family: &Family) -> Result<Option<Timestamp>, StoreError> {
        let key = self.0.keys.due(Partition::of(&family.name));
        let mut command = redis::cmd("ZSCORE");
        command.arg(&key).arg(family.to_string());
        let reply = self.0.redis.read_one("read due", &key, &command).await?;
        Ok(reply::score(&reply).map(Timestamp))
    }

    /// A member that no version wrote is removed too: it would be claimed for ever.
    async fn remove_member(&self, key: &str, member: Value) -> Result<(), StoreError> {
        let mut turn = Pipeline::new();
        turn.cmd("ZREM").arg(key).arg(reply::bytes(member).unwrap_or_default());
        self.0.redis.change("unschedule", key, &turn).await
    }
}

/// One call of the script.
pub(crate) fn claiming(due_key: &String, at_most: usize, claim_for: Duration) -> Cmd {
    let mut call = scripts::CLAIM_DUE.call(std::slice::from_ref(due_key));
    call.arg(at_most).arg(millis(claim_for));
    call
}

/// Makes a family due by a time, where it is not due earlier.
pub(crate) fn bringing_forward(due_key: &str, family: &Family, at: Timestamp) -> Cmd {
    let mut call = redis::cmd("ZADD");
    call.arg(due_key).arg("LT").arg(at.0).arg(family.to_string());
    call
}

/// Reads what is due later than a time.
pub(crate) fn reading_later(due_key: &str, than: Timestamp) -> Cmd {
    let mut call = redis::cmd("ZRANGE");
    call.arg(due_key).arg(format!("({}", than.0)).arg("+inf");
    call.arg("BYSCORE")
        .arg("LIMIT")
        .arg(0)
        .arg(LATER_A_PARTITION)
        .arg("WITHSCORES");
    call
}

/// Families with their due times; a member that no version wrote is left out.
pub(crate) fn due_times(reply: Value) -> Option<Vec<(Family, Timestamp)>> {
    let members = reply::pairs(reply)?.into_iter();
    let due = members.filter_map(|(family, due)| Some((parse_family(&family)?, Timestamp(reply::score(&due)?))));
    Some(due.collect())
}

/// When what was claimed is due again, and what was.
pub(crate) fn claimed(reply: Value) -> Option<(Timestamp, Vec<Value>)> {
    let [due_again, members] = <[Value; 2]>::try_from(reply::array(reply)?).ok()?;
    Some((Timestamp(reply::unsigned(&due_again)?), reply::array(members)?))
}

/// The family that a member of a sorted set is.
pub(crate) fn parse_family(member: &Value) -> Option<Family> {
    match member {
        Value::BulkString(text) => Family::parse(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}
