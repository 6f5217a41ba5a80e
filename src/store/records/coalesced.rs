//! Requests for refreshes that are not answered yet, a hash a family that coalesces them: `mark` is the greatest id drawn at the
//! last request, `read_at` the time of the draw of the last read.
//!
//! A request is stored before it is accepted, so the death of a node loses none. Only a read that was drawn after the request and has
//! succeeded answers it. The due time follows from both fields: a family is read at most once in `coalesce_for`, whichever nodes are
//! asked.

use std::{sync::Arc, time::Duration};

use redis::Pipeline;

use crate::{
    listing::{Family, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::{keys::Partition, numbers::millis},
        scripts,
        wire::reply,
        writing::draw::Grant,
    },
};

/// How long it is known what was asked for; with each request, and each read, anew.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// The outcome of a read, for its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// The new generations are current; the family is due again after this time, if at all.
    Current(Option<Duration>),
    /// It failed, which has a due time of its own.
    Failed,
}

/// Requests for refreshes of families that coalesce them.
#[derive(Clone)]
pub struct CoalescedRequests(pub(crate) Arc<Access>);

impl CoalescedRequests {
    /// Remembers that refreshes of families of one name were asked for. Each is due after what is returned, at the latest.
    pub async fn ask(&self, families: &[Family], coalesce_for: Duration) -> Result<Vec<Duration>, StoreError> {
        const OPERATION: &str = "ask for a refresh";
        let keys = &self.0.keys;
        let mut calls = Pipeline::new();
        for family in families {
            let partition = Partition::of(&family.name);
            let mut call = scripts::ASK.call(&[
                keys.asked(family),
                keys.due(partition),
                keys.last(partition),
                keys.lease(family),
            ]);
            call.arg(family.to_string())
                .arg(millis(coalesce_for))
                .arg(millis(REMEMBERED_FOR));
            calls.add_command(call);
        }
        let replies = self.0.redis.scripts(OPERATION, &scripts::ASK, &calls).await?;
        let waits = families.iter().zip(replies).map(|(family, reply)| {
            let reply = reply::answered(reply, OPERATION, &keys.asked(family))?;
            let wait = reply::unsigned(&reply).map(Duration::from_millis);
            wait.ok_or_else(|| StoreError::odd_reply(OPERATION))
        });
        waits.collect()
    }

    /// A read under a lease, which is still held, has ended.
    pub async fn settle(
        &self,
        family: &Family,
        grant: &Grant,
        coalesce_for: Duration,
        end: ReadEnd,
    ) -> Result<(), StoreError> {
        let key = self.0.keys.asked(family);
        let due = self.0.keys.due(Partition::of(&family.name));
        let (succeeded, next_due) = match end {
            ReadEnd::Current(next_due) => ("1", next_due),
            ReadEnd::Failed => ("", None),
        };
        let mut call = scripts::SETTLE.call(&[key.clone(), due]);
        call.arg(grant.generations.first().map_or(0, |first| first.id))
            .arg(grant.as_of.0)
            .arg(family.to_string())
            .arg(millis(coalesce_for))
            .arg(millis(REMEMBERED_FOR))
            .arg(succeeded)
            .arg(next_due.map_or_else(String::new, |after| millis(after).to_string()));
        let settled = self.0.redis.run("settle", &scripts::SETTLE, &call, &key);
        settled.await.map(drop)
    }

    /// When a refresh that was asked for and not answered yet may begin; `None` where there is none.
    pub async fn begins_at(&self, family: &Family, coalesce_for: Duration) -> Result<Option<Timestamp>, StoreError> {
        const OPERATION: &str = "read what was asked for";
        let key = self.0.keys.asked(family);
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg(&["mark", "read_at"]);
        let reply = self.0.redis.read_one(OPERATION, &key, &command).await?;
        let mut fields = reply::array(reply).unwrap_or_default().into_iter();
        let mut number = || fields.next().and_then(|field| reply::integer(&field));
        let (mark, read_at) = (number(), number());
        let read_at = read_at.and_then(|at| u64::try_from(at).ok()).unwrap_or_default();
        Ok(mark.map(|_| Timestamp(read_at).after(coalesce_for)))
    }
}
