//! Drawing generations: the right to write, taken before the origin is read. So a larger id means a later reading.
//!
//! An id is the greatest of three: the last id + 1, Redis's TIME in µs, and the greatest id that this node has seen + 1. So ids survive an
//! emptied Redis, and the nonce (32 random bits) keeps generations apart after a failover that rewinds. Ids stay below 2^53, as doubles in Lua.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Cmd, Pipeline, Value};

use super::leases::{Keeper, LEASE, Lease, LeaseState, owner_token, state_of};
use crate::{
    listing::{Family, Generation, ListingName, Timestamp},
    store::{
        access::Access,
        error::StoreError,
        layout::{
            keys::{Keys, Partition},
            numbers::{hex, millis, nonce},
        },
        scripts,
        wire::reply,
    },
};

/// The right to write: generations, and the lease where one was asked for.
#[derive(Debug)]
pub struct Grant {
    /// One a stream to be written; ids ascend.
    pub generations: Vec<Generation>,
    /// Redis's time of the draw.
    pub as_of: Timestamp,
    /// The family's, where one was asked for.
    pub lease: Option<Lease>,
    /// If a refresh was requested: a draw above this id satisfies it.
    pub asked: Option<u64>,
}

/// The outcome of asking for a lease.
#[derive(Debug)]
pub enum Drawn {
    /// The family is ours to refresh.
    Granted(Grant),
    /// Another reader is at work. A head with an id above `last_id` was drawn after this call.
    Leased {
        /// The greatest id drawn up to now.
        last_id: u64,
        /// Until the lease lapses, unless it is extended.
        left: Duration,
    },
    /// The last refresh failed not long ago.
    BackingOff {
        /// Until it may be tried again.
        left: Duration,
        /// The error.
        error: String,
    },
    /// Nobody has asked for it since it was read last.
    Unasked,
    /// The last read is younger than `coalesce_for`. A requested or claimed refresh is due after that time.
    TooSoon {
        /// Until then.
        left: Duration,
    },
}

/// For whom a family is drawn whose refreshes are coalesced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawnFor {
    /// The cause of a refresh.
    Asked,
    /// It is due. With the due time that a claim of it has set, if there is one.
    Due(Option<Timestamp>),
}

/// Draws generations, with and without leases.
#[derive(Clone)]
pub struct Draws {
    access: Arc<Access>,
    leases: Arc<Keeper>,
}

impl Draws {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        let leases = Keeper::new(access.server.clone(), access.liveness.clone());
        Self { access, leases }
    }

    /// Draws generations without a lease: for pushes.
    pub async fn without_lease(&self, name: &ListingName, count: usize) -> Result<Grant, StoreError> {
        let partition = Partition::of(name);
        let nonces = nonces(count);
        let mut call = scripts::DRAW.call(&[self.access.keys.last(partition)]);
        call.arg(nonces.len()).arg(self.access.seen.greatest(partition));
        match self.run_draw(partition, &call, &nonces).await? {
            Drawn::Granted(grant) => Ok(grant),
            _ => Err(StoreError::odd_reply("draw")),
        }
    }

    /// Draws generations for a refresh, if the family's lease is free (and, unless `insist`, no back-off is running).
    pub async fn with_lease(&self, family: &Family, count: usize, insist: bool) -> Result<Drawn, StoreError> {
        self.draw_leased(family, count, insist, None).await
    }

    /// The same for a family whose refreshes are coalesced: not before `coalesce_for` after its last read. A back-off holds
    /// up all requests from before it began.
    pub async fn coalesced(
        &self,
        family: &Family,
        count: usize,
        drawn_for: DrawnFor,
        coalesce_for: Duration,
    ) -> Result<Drawn, StoreError> {
        self.draw_leased(family, count, false, Some((drawn_for, coalesce_for)))
            .await
    }

    /// The same at any time: for callers that do not wait until `coalesce_for` has passed.
    pub async fn uncoalesced(&self, family: &Family, count: usize, insist: bool) -> Result<Drawn, StoreError> {
        let coalescing = Some((DrawnFor::Due(None), Duration::ZERO));
        self.draw_leased(family, count, insist, coalescing).await
    }

    /// The lease of a role: work that one node does for all. `None` while another node holds it. Where its holder dies, another one takes it
    /// once the lease has lapsed.
    pub async fn role(&self, role: &str) -> Result<Option<Lease>, StoreError> {
        const OPERATION: &str = "take a role";
        let (key, value) = (self.access.keys.role(role), owner_token());
        // The lease counts from before the call: here it must never seem to last longer than there.
        let asked = Instant::now();
        let replies = self.access.redis.write(OPERATION, &taking_role(&key, &value)).await?;
        let reply = reply::answered(replies.into_iter().next_back().unwrap_or_default(), OPERATION, &key)?;
        Ok((reply != Value::Nil).then(|| self.leases.keep(key, value, asked)))
    }

    /// Which refresh of a family is under way, if any.
    pub async fn lease_state(&self, family: &Family) -> Result<Option<LeaseState>, StoreError> {
        state_of(&self.access, family).await
    }

    async fn draw_leased(
        &self,
        family: &Family,
        count: usize,
        insist: bool,
        coalescing: Option<(DrawnFor, Duration)>,
    ) -> Result<Drawn, StoreError> {
        let partition = Partition::of(&family.name);
        let nonces = nonces(count);
        let owner = owner_token();
        let lease_key = self.access.keys.lease(family);
        let drawing = Drawing {
            family,
            seen: self.access.seen.greatest(partition),
            owner: &owner,
            nonces: &nonces,
            insist,
            coalescing,
        };
        let call = drawing.call(&self.access.keys);
        // The lease counts from before the call: here it must never seem to last longer than there.
        let asked = Instant::now();
        let mut drawn = self.run_draw(partition, &call, &nonces).await?;
        if let Drawn::Granted(grant) = &mut drawn
            && let Some(first) = grant.generations.first()
        {
            let value = format!("{owner} {first}");
            grant.lease = Some(self.leases.keep(lease_key, value, asked));
        }
        Ok(drawn)
    }

    async fn run_draw(&self, partition: Partition, call: &Cmd, nonces: &[u32]) -> Result<Drawn, StoreError> {
        const OPERATION: &str = "draw";
        let reply = self.access.redis.run(OPERATION, &scripts::DRAW, call, "last").await?;
        let drawn = decode(reply, nonces).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        if let Drawn::Granted(grant) = &drawn
            && let Some(last) = grant.generations.last()
        {
            self.access.seen.raise(partition, last.id);
        }
        Ok(drawn)
    }
}

/// Takes a role, if nobody has it: by the last reply, which is nil where somebody has.
pub(crate) fn taking_role(key: &str, value: &str) -> Pipeline {
    let life = LEASE.as_millis() as u64;
    let mut turn = Pipeline::new();
    // Where the clock was set back, the lease of a holder that is dead would last until it has caught up.
    turn.cmd("PEXPIRE").arg(key).arg(life).arg("LT");
    turn.cmd("SET").arg(key).arg(value).arg("NX").arg("PX").arg(life);
    turn
}

/// One call of the script, for a refresh.
pub(crate) struct Drawing<'a> {
    pub family: &'a Family,
    /// The greatest id seen in the partition.
    pub seen: u64,
    pub owner: &'a str,
    /// One a generation.
    pub nonces: &'a [u32],
    pub insist: bool,
    pub coalescing: Option<(DrawnFor, Duration)>,
}

impl Drawing<'_> {
    pub(crate) fn call(&self, keys: &Keys) -> Cmd {
        let (family, partition) = (self.family, Partition::of(&self.family.name));
        let mut key_names = vec![keys.last(partition), keys.lease(family), keys.failure(family)];
        if self.coalescing.is_some() {
            key_names.extend([keys.asked(family), keys.due(partition)]);
        }
        let mut call = scripts::DRAW.call(&key_names);
        call.arg(self.nonces.len())
            .arg(self.seen)
            .arg(self.owner)
            .arg(hex(self.nonces[0]))
            .arg(LEASE.as_millis() as u64)
            .arg(u8::from(self.insist));
        if let Some((drawn_for, coalesce_for)) = self.coalescing {
            call.arg(family.to_string())
                .arg(millis(coalesce_for))
                .arg(u8::from(drawn_for == DrawnFor::Asked))
                .arg(match drawn_for {
                    DrawnFor::Due(Some(claim)) => claim.0.to_string(),
                    DrawnFor::Due(None) | DrawnFor::Asked => String::new(),
                });
        }
        call
    }
}

/// Takes the script's reply apart; `nonces` as they were sent.
pub(crate) fn decode(reply: Value, nonces: &[u32]) -> Option<Drawn> {
    let mut parts = reply::array(reply)?.into_iter();
    let outcome = reply::text(parts.next()?)?;
    let [second, third, fourth] = std::array::from_fn(|_| parts.next().unwrap_or(Value::Nil));
    let millis = |value: &Value| reply::unsigned(value).map(Duration::from_millis);
    match outcome.as_str() {
        "granted" => {
            let first = reply::unsigned(&second)?;
            let generations = (first..)
                .zip(nonces)
                .map(|(id, nonce)| (id <= Generation::ID_MAX).then_some(Generation { id, nonce: *nonce }));
            Some(Drawn::Granted(Grant {
                generations: generations.collect::<Option<_>>()?,
                as_of: Timestamp(reply::unsigned(&third)?),
                lease: None,
                asked: reply::unsigned(&fourth),
            }))
        }
        "leased" => Some(Drawn::Leased {
            last_id: reply::unsigned(&second)?,
            left: millis(&third)?,
        }),
        "backing_off" => Some(Drawn::BackingOff {
            left: millis(&second)?,
            error: reply::text(third)?,
        }),
        "unasked" => Some(Drawn::Unasked),
        "too_soon" => Some(Drawn::TooSoon { left: millis(&second)? }),
        _ => None,
    }
}

/// One a generation, at least one.
fn nonces(count: usize) -> Vec<u32> {
    (0..count.max(1)).map(|_| nonce()).collect()
}
