//! Instants: when something of a family begins or ends next, in a sorted set a partition; and what changes then, a value a family.
//!
//! They are claimed as due families are. A claim moves the instant ahead, and only a read or a patch writes the next one: a node that is
//! killed in between loses nothing. The loss of a value costs a full read.

use std::{sync::Arc, time::Duration};

use redis::{Pipeline, Value};

use super::{claimed, claiming, parse_family};
use crate::{
    listing::{Family, Head, HeadState, ListingKey, NextChanges, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            announcements::{Announcement, LOG_ENTRIES_MAX, VERSION, live_body},
            head_codec::write_next_change,
            keys::Partition,
            numbers::{hex, millis},
        },
        scripts,
        wire::reply,
    },
};

/// The instants of all families.
#[derive(Clone)]
pub struct Instants(pub(crate) Arc<Access>);

impl Instants {
    /// The first instant of all.
    pub async fn first(&self) -> Result<Option<Timestamp>, StoreError> {
        const OPERATION: &str = "read instants";
        let mut turn = Pipeline::new();
        for partition in Partition::all() {
            let key = self.0.keys.instants(partition);
            turn.cmd("ZRANGE").arg(key).arg(0).arg(0).arg("WITHSCORES");
        }
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let mut first = None;
        for reply in replies {
            let reply = reply::answered(reply, OPERATION, "instants")?;
            let pairs = reply::pairs(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            let scores = pairs.iter().filter_map(|(_, score)| reply::score(score)).map(Timestamp);
            first = scores.chain(first).min();
        }
        Ok(first)
    }

    /// Takes families whose instants have come, in every partition at most `per_partition`; each comes again after `claim_for` unless
    /// somebody writes the next one.
    pub async fn claim(&self, per_partition: usize, claim_for: Duration) -> Result<Vec<Family>, StoreError> {
        const OPERATION: &str = "claim instants";
        let mut calls = Pipeline::new();
        for partition in Partition::all() {
            calls.add_command(claiming(&self.0.keys.instants(partition), per_partition, claim_for));
        }
        let replies = self.0.redis.scripts(OPERATION, &scripts::CLAIM_DUE, &calls).await?;
        let mut families = Vec::new();
        for (partition, reply) in Partition::all().zip(replies) {
            let key = self.0.keys.instants(partition);
            let reply = reply::answered(reply, OPERATION, &key)?;
            let (_, members) = claimed(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            for member in members {
                match parse_family(&member) {
                    Some(family) => families.push(family),
                    // No version wrote it, and it would be claimed for ever.
                    None => self.remove_member(&key, member).await?,
                }
            }
        }
        Ok(families)
    }

    /// The instants of a family, and what changes then; `None` where that is not known.
    pub async fn of(&self, family: &Family) -> Result<Option<NextChanges>, StoreError> {
        let key = self.0.keys.next_changes(family);
        let mut command = redis::cmd("GET");
        command.arg(&key);
        let reply = self.0.redis.read_one("read next changes", &key, &command).await?;
        Ok(reply::bytes(reply).and_then(|json| NextChanges::parse(&json)))
    }

    /// Makes an instant of a family known, before a head tells of it. An earlier one stays until the head is written.
    pub async fn expect(&self, family: &Family, next: Option<Timestamp>) -> Result<(), StoreError> {
        let Some(next) = next else { return Ok(()) };
        let key = self.0.keys.instants(Partition::of(&family.name));
        let mut turn = Pipeline::new();
        turn.cmd("ZADD").arg(&key).arg("LT").arg(next.0).arg(family.to_string());
        self.0.redis.change("expect", &key, &turn).await
    }

    /// Writes the next changes of a family, in the place of those before, for so long.
    pub async fn write(&self, family: &Family, next: &NextChanges, life: Duration) -> Result<(), StoreError> {
        let Some(first) = next.first() else {
            return self.forget(family).await;
        };
        let (key, value) = (
            self.0.keys.instants(Partition::of(&family.name)),
            self.0.keys.next_changes(family),
        );
        let mut turn = Pipeline::new();
        turn.cmd("SET")
            .arg(value)
            .arg(next.to_json())
            .arg("PX")
            .arg(millis(life).max(1));
        turn.cmd("ZADD").arg(&key).arg(first.0).arg(family.to_string());
        self.0.redis.change("write next changes", &key, &turn).await
    }

    /// Moves the instant of a family that has one.
    pub async fn postpone(&self, family: &Family, after: Duration) -> Result<(), StoreError> {
        let key = self.0.keys.instants(Partition::of(&family.name));
        let at = self.0.clock.now().after(after);
        let mut turn = Pipeline::new();
        turn.cmd("ZADD").arg(&key).arg("XX").arg(at.0).arg(family.to_string());
        self.0.redis.change("postpone", &key, &turn).await
    }

    /// Forgets the instants of a family.
    pub async fn forget(&self, family: &Family) -> Result<(), StoreError> {
        let key = self.0.keys.instants(Partition::of(&family.name));
        let mut turn = Pipeline::new();
        turn.cmd("ZREM").arg(&key).arg(family.to_string());
        turn.cmd("UNLINK").arg(self.0.keys.next_changes(family));
        self.0.redis.change("forget instants", &key, &turn).await
    }

    /// Writes the next change of a listing into a head that stays as it is otherwise. Returns the announcement; `None` where another
    /// generation is current by now.
    pub async fn tell(
        &self,
        listing: &ListingKey,
        head: &Head,
        next: Option<Timestamp>,
    ) -> Result<Option<Announcement>, StoreError> {
        let (place, partition) = (self.0.keys.head(listing), Partition::of(listing.name()));
        let head = Head {
            next_change: next,
            ..head.clone()
        };
        let keys = [String::from(place.clone()), self.0.keys.log(partition)];
        let mut call = scripts::TELL_NEXT_CHANGE.call(&keys);
        call.arg(head.generation.id)
            .arg(hex(head.generation.nonce))
            .arg(write_next_change(place.listing(), head.generation, next))
            .arg(LOG_ENTRIES_MAX)
            .arg(self.0.keys.channel())
            .arg(partition.0)
            .arg(VERSION)
            .arg(live_body(listing, &head));
        let script = &scripts::TELL_NEXT_CHANGE;
        let reply = self.0.redis.run("tell next change", script, &call, &keys[0]).await?;
        Ok((reply::unsigned(&reply) == Some(1)).then(|| Announcement {
            listing: listing.clone(),
            head: HeadState::Live(head),
            written: None,
        }))
    }

    async fn remove_member(&self, key: &str, member: Value) -> Result<(), StoreError> {
        let mut turn = Pipeline::new();
        turn.cmd("ZREM").arg(key).arg(reply::bytes(member).unwrap_or_default());
        self.0.redis.change("forget instants", key, &turn).await
    }
}
