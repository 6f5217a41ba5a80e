//! What happens at Redis: turns arrive, messages go out, and what is there is held against the record.

use std::collections::VecDeque;

use super::{
    network::{Event, Sender},
    node::Operation,
    truth::{Place, Violation},
    world::{LISTINGS, MILLISECOND, PUSHED, READ_TIMEOUT, REPAIR, SECOND, World},
};
use crate::{
    listing::HeadState,
    store::simulated::{Client, Replies, Server, Snapshot, Turn},
};

/// A listing whose head or due time is of before the clock was set back is refreshed within this: all nodes may stand still.
const REFRESHED_WITHIN: u64 = 90 * SECOND;

/// The one that all nodes are connected to.
pub(super) struct Redis {
    pub server: Server,
    /// Of this process of Redis.
    pub run: u64,
    /// By how much its clock is ahead, in microseconds.
    pub clock_ahead: i64,
    /// Since when each listing's head says that it was read in the future, or its due time lies too far ahead.
    amiss_since: Vec<Option<u64>>,
    pub paused_until: u64,
    pub snapshots: VecDeque<Snapshot>,
    /// When the last message to each node arrives: they come in their order, mostly.
    last_message: Vec<u64>,
}

impl Redis {
    /// An empty one.
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            server: Server::new(),
            run: 1,
            clock_ahead: 0,
            amiss_since: vec![None; LISTINGS],
            paused_until: 0,
            snapshots: VecDeque::new(),
            last_message: vec![0; nodes],
        }
    }
}

impl World {
    /// A turn reaches Redis.
    pub(super) fn arrive(
        &mut self,
        from: Sender,
        turn: &Turn,
        connection: u64,
        unanswered: bool,
    ) -> Result<(), Violation> {
        let node = &mut self.nodes[from.node];
        // What was sent before a cut, or a death, may be on the other side already.
        let cut = node.life != from.life || node.connection != connection;
        if cut && self.random.bool() {
            return Ok(());
        }
        let operation = (!cut).then(|| node.operations.get(&from.operation)).flatten();
        let mut moves = None;
        match operation {
            Some(Operation::Subscribe { subscription }) if node.subscription.number == *subscription => {
                node.subscription.up = true;
            }
            Some(Operation::Publish { refresh, .. }) => {
                let refresh = &node.refreshes[refresh];
                moves = Some((refresh.place, refresh.lease.clone()));
            }
            Some(Operation::Delete { place, .. }) => moves = Some((*place, None)),
            _ => {}
        }
        let drawing = match operation {
            Some(Operation::Draw {
                place, owner: Some(_), ..
            }) => Some(*place),
            _ => None,
        };
        let held = match (drawing, &moves) {
            (Some(place), _) => self.lease_of(place),
            (None, Some((place, Some(_)))) => self.lease_of(*place),
            _ => None,
        };
        if let Some((place, _)) = moves {
            self.observe(place)?;
        }
        let wall = self.wall();
        let (replies, published) = self.redis.server.run(wall, turn);
        match moves {
            Some((place, lease)) => {
                let moved = self.observe(place)?;
                // Invariant 6: what is read from the origin is published by who holds the lease.
                if let Some(lease) = lease.filter(|_| moved)
                    && held.as_ref() != Some(&lease.value)
                {
                    return Err(format!(
                        "{} published under {}, but the lease is {held:?}",
                        from.node, lease.value
                    ));
                }
            }
            // A cut may have hidden what the turn was: look everywhere.
            None if cut || !published.is_empty() => {
                for place in 0..LISTINGS {
                    self.observe(place)?;
                }
            }
            None => {}
        }
        if let (Some(place), Some(before)) = (drawing, held) {
            let after = self.lease_of(place);
            if after.as_ref() != Some(&before) {
                return Err(format!("{after:?} was granted for {place} while {before} was held"));
            }
        }
        for payload in published {
            self.publish(&payload);
        }
        if !unanswered && !cut {
            let delay = self.delay(READ_TIMEOUT);
            self.later(
                delay,
                Event::Answer {
                    to: from,
                    replies: Some(replies),
                },
            );
        }
        Ok(())
    }

    fn lease_of(&self, place: Place) -> Option<String> {
        let turn = self.observer.read_lease(&self.listings[place].family);
        Client::text(self.redis.server.run(self.wall(), &turn).0)
    }

    /// Looks at the head that Redis has. Returns whether it is another than when it was last looked at.
    pub(super) fn observe(&mut self, place: Place) -> Result<bool, Violation> {
        let head = self.head_in_redis(place);
        self.truth.head_is(place, head, self.now)
    }

    pub(super) fn head_in_redis(&self, place: Place) -> HeadState {
        let key = &self.listings[place];
        let (replies, _) = self.redis.server.run(self.wall(), &self.observer.read_head(key));
        self.observer.take_head(key, replies).unwrap()
    }

    /// An answer that cannot be taken yet comes again.
    pub(super) fn answer_again(&mut self, to: Sender, operation: Operation, replies: Replies) {
        self.nodes[to.node].operations.insert(to.operation, operation);
        self.later(
            MILLISECOND,
            Event::Answer {
                to,
                replies: Some(replies),
            },
        );
    }

    /// A message goes out to all who listen.
    fn publish(&mut self, payload: &[u8]) {
        for node in 0..self.nodes.len() {
            if !self.nodes[node].subscription.up {
                continue;
            }
            let luck = self.random.u32(..1000);
            if luck < 10 {
                self.tally.count("lost_messages");
                self.disturb(node, REPAIR);
                continue;
            }
            let mut at = self.now + self.delay(20 * MILLISECOND);
            if luck < 20 {
                // Late, and perhaps after the next one.
                at += self.random.u64(MILLISECOND..2 * SECOND);
                self.disturb(node, REPAIR);
            } else if luck < 980 {
                at = at.max(self.redis.last_message[node]);
                self.redis.last_message[node] = at;
            }
            let times = if luck >= 990 { 2 } else { 1 };
            for time in 0..times {
                let message = Event::Message {
                    node,
                    life: self.nodes[node].life,
                    subscription: self.nodes[node].subscription.number,
                    payload: payload.to_vec(),
                };
                let again = if time == 0 { 0 } else { self.random.u64(..SECOND) };
                self.at(at + again, message);
            }
        }
    }

    /// What holds at all times.
    pub(super) fn look(&mut self) -> Result<(), Violation> {
        if let Some(stream) = self.redis.server.stream_without_expiry(":gen:") {
            return Err(format!("{stream} would stay for ever"));
        }
        let wall = self.wall();
        for place in 0..PUSHED {
            self.observe(place)?;
            let Some(head) = self.head_in_redis(place).live().cloned() else {
                self.redis.amiss_since[place] = None;
                continue;
            };
            // Nothing that is there is forgotten: a claim whose node died is due again.
            let due = self.observer.due(&self.listings[place].family);
            let Some(due) = Client::score(&self.redis.server.run(wall, &due).0) else {
                return Err(format!("{place} is there and will never be due"));
            };
            // Where the clock was set back a refresh comes all the same.
            let (now, latest) = (self.wall_ms(), self.wall_ms().after(self.policy.due_within()));
            let amiss = if head.as_of.is_ahead_of(now) {
                Some(format!("read at {:?}, and it is {now:?}", head.as_of))
            } else {
                (due > latest.0).then(|| format!("due only at {due}, after {latest:?}"))
            };
            match amiss {
                None => self.redis.amiss_since[place] = None,
                Some(amiss) => {
                    let since = *self.redis.amiss_since[place].get_or_insert(self.now);
                    if self.now - since > REFRESHED_WITHIN {
                        return Err(format!("{place} is {amiss}, for {} s", (self.now - since) / SECOND));
                    }
                }
            }
        }
        Ok(())
    }
}
