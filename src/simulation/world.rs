//! The world: one Redis, some nodes, and everything that is on its way, in the order of time.

use std::{
    collections::{BTreeMap, BinaryHeap, VecDeque},
    num::NonZeroU32,
    time::Duration,
};

use super::{
    network::{Event, Number, Scheduled, Sender, Tick},
    node::{Node, Operation},
    truth::{Place, Tally, Truth, Violation},
};
use crate::{
    listing::{HeadState, ListingKey, Policy, Timestamp},
    store::{
        Heard,
        simulated::{Client, Server, Snapshot, Turn},
    },
};

const NODES: usize = 3;
/// Listings with an origin, and one that is pushed.
pub const LISTINGS: usize = 6;
/// The last one has no origin.
pub const PUSHED: Place = LISTINGS - 1;
/// When the simulation begins, by Redis's clock, in microseconds.
const EPOCH: u64 = 1_800_000_000_000_000;
/// What is told of a failure: the last so many events.
const STORY_MAX: usize = 80;
pub const MILLISECOND: u64 = 1000;
pub const SECOND: u64 = 1_000_000;
/// A turn that reads is given up after this, as the service does.
pub const READ_TIMEOUT: u64 = 100 * MILLISECOND;
pub const WRITE_TIMEOUT: u64 = 2 * SECOND;
/// What a message takes at most where nothing is amiss: it may wait for a reading of the log, which may be slow.
pub const DELAY: u64 = 250 * MILLISECOND;
/// A message that was lost is missed by then: the logs are compared every second.
pub const REPAIR: u64 = SECOND + DELAY;

pub struct World {
    pub now: u64,
    queue: BinaryHeap<Scheduled>,
    scheduled: u64,
    operations: u64,
    pub random: fastrand::Rng,
    pub redis: Redis,
    pub nodes: Vec<Node>,
    pub listings: Vec<ListingKey>,
    pub places: BTreeMap<ListingKey, Place>,
    pub policy: Policy,
    /// How often each origin has changed.
    pub origins: Vec<u64>,
    pub walks: VecDeque<super::node::Walk>,
    pub truth: Truth,
    pub tally: Tally,
    /// Looks on: what it reads is no part of the simulation.
    pub observer: Client,
    story: Option<VecDeque<String>>,
}

pub struct Redis {
    pub server: Server,
    /// Of this process of Redis.
    pub run: u64,
    /// By how much its clock is ahead, in microseconds.
    pub clock_ahead: i64,
    pub clock_jumped: u64,
    pub paused_until: u64,
    pub snapshots: VecDeque<Snapshot>,
    /// When the last message to each node arrives: they come in their order, mostly.
    last_message: Vec<u64>,
}

impl World {
    pub fn new(seed: u64, with_story: bool) -> Self {
        let keys = (0..LISTINGS).map(|place| ListingKey::parse(&format!("listing:{place}/price")));
        let listings: Vec<ListingKey> = keys.map(Option::unwrap).collect();
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            scheduled: 0,
            operations: 0,
            random: fastrand::Rng::with_seed(seed),
            redis: Redis {
                server: Server::new(),
                run: 1,
                clock_ahead: 0,
                clock_jumped: 0,
                paused_until: 0,
                snapshots: VecDeque::new(),
                last_message: vec![0; NODES],
            },
            nodes: (0..NODES).map(|_| Node::new(0, seed)).collect(),
            places: listings.iter().cloned().zip(0..).collect(),
            listings,
            policy: Policy {
                chunk_len: NonZeroU32::new(4).unwrap(),
                fresh_for: Duration::from_secs(6),
                keep_for: Duration::from_secs(40),
                pin_for: Duration::from_secs(10),
                pinned_generations_max: 3,
                ..Policy::default()
            },
            origins: vec![1; LISTINGS],
            walks: VecDeque::new(),
            truth: Truth::new(LISTINGS),
            tally: Tally::default(),
            observer: Client::new(),
            story: with_story.then(VecDeque::new),
        };
        for node in 0..NODES {
            world.begin_node(node);
        }
        for place in 0..PUSHED {
            world.later(SECOND, Event::OriginChanges { place });
        }
        world.later(SECOND, Event::Fault);
        world.later(SECOND, Event::Look);
        world
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What happened last.
    pub fn story(&self) -> String {
        let lines: Vec<&str> = self.story.iter().flatten().map(String::as_str).collect();
        lines.join("\n")
    }

    /// The next event.
    pub fn step(&mut self) -> Result<(), Violation> {
        let Scheduled { at, event, .. } = self.queue.pop().expect("time goes on");
        self.now = at;
        // Who stands still does nothing until he goes on; then all of it, in its order.
        let still_until = match &event {
            Event::Arrive { .. } => self.redis.paused_until,
            Event::Answer {
                to: Sender { node, .. },
                ..
            }
            | Event::Message { node, .. }
            | Event::Tick { node, .. } => self.nodes[*node].paused_until,
            _ => 0,
        };
        if still_until > self.now {
            self.at(still_until, event);
            return Ok(());
        }
        let late = match &event {
            Event::Answer { to, .. } => !self.nodes[to.node].operations.contains_key(&to.operation),
            _ => false,
        };
        if self.story.is_some() && !late {
            let line = format!("{:>12} {event:?}", self.now);
            self.tell(line);
        }
        match event {
            Event::Arrive {
                from,
                turn,
                connection,
                unanswered,
            } => self.arrive(from, &turn, connection, unanswered),
            Event::Answer { to, replies } => {
                let node = &mut self.nodes[to.node];
                if node.life != to.life {
                    return Ok(());
                }
                match node.operations.remove(&to.operation) {
                    Some(operation) => self.answered(to, operation, replies),
                    None => Ok(()),
                }
            }
            Event::Message {
                node,
                life,
                subscription,
                payload,
            } => {
                if self.nodes[node].life == life && self.nodes[node].subscription.number == subscription {
                    self.message(node, payload)?;
                }
                Ok(())
            }
            Event::Tick { node, life, tick } => {
                if self.nodes[node].life == life && self.nodes[node].alive {
                    self.tick(node, tick)?;
                }
                Ok(())
            }
            Event::Start { node } => {
                self.begin_node(node);
                Ok(())
            }
            Event::OriginChanges { place } => {
                self.origins[place] += 1;
                let next = self.random.u64(SECOND / 2..6 * SECOND);
                self.later(next, Event::OriginChanges { place });
                Ok(())
            }
            Event::Fault => {
                self.fault()?;
                let next = self.random.u64(50 * MILLISECOND..2 * SECOND);
                self.later(next, Event::Fault);
                Ok(())
            }
            Event::Look => {
                self.look()?;
                self.later(SECOND, Event::Look);
                Ok(())
            }
        }
    }

    pub fn tell(&mut self, line: String) {
        if let Some(story) = &mut self.story {
            story.push_back(line);
            if story.len() > STORY_MAX {
                story.pop_front();
            }
        }
    }

    pub fn later(&mut self, after: u64, event: Event) {
        self.at(self.now + after, event);
    }

    fn at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.queue.push(Scheduled { at, number, event });
    }

    pub fn tick_later(&mut self, node: Number, after: u64, tick: Tick) {
        let life = self.nodes[node].life;
        self.later(after, Event::Tick { node, life, tick });
    }

    fn begin_node(&mut self, node: Number) {
        let life = self.nodes[node].life + 1;
        self.nodes[node] = Node::new(life, self.random.u64(..));
        for tick in [
            Tick::Subscribe,
            Tick::Read,
            Tick::Walk,
            Tick::Write,
            Tick::Schedule,
            Tick::Heartbeat,
        ] {
            let after = self.random.u64(1..100 * MILLISECOND);
            self.tick_later(node, after, tick);
        }
        let after = self.random.u64(1..SECOND);
        self.tick_later(node, after, Tick::Compare);
    }

    /// Milliseconds of a node's own clock, which never jumps.
    pub fn now_ms(&self) -> u64 {
        self.now / MILLISECOND
    }

    /// Redis's clock, in microseconds.
    pub fn wall(&self) -> u64 {
        (EPOCH + self.now).saturating_add_signed(self.redis.clock_ahead)
    }

    pub fn wall_ms(&self) -> Timestamp {
        Timestamp(self.wall() / MILLISECOND)
    }

    /// How long something is on its way: little, and seldom long.
    fn delay(&mut self, slow_max: u64) -> u64 {
        // What may take long does so more often.
        let seldom = if slow_max > SECOND { 30 } else { 200 };
        match self.random.u32(..seldom) {
            0 => self.random.u64(MILLISECOND..slow_max),
            _ => self.random.u64(100..2 * MILLISECOND),
        }
    }

    /// Of an operation or a refresh.
    pub fn next_number(&mut self) -> u64 {
        self.operations += 1;
        self.operations
    }

    /// Sends a turn; its answer comes as an event, one way or another.
    pub fn send(&mut self, node: Number, turn: Turn, operation: Operation, timeout: u64) -> u64 {
        let number = self.next_number();
        let from = Sender {
            node,
            life: self.nodes[node].life,
            operation: number,
        };
        let connection = self.nodes[node].connection;
        let unanswered = matches!(operation, Operation::Forgotten);
        if !unanswered {
            self.nodes[node].operations.insert(number, operation);
            self.later(
                timeout,
                Event::Answer {
                    to: from,
                    replies: None,
                },
            );
        }
        let delay = self.delay(timeout * 3 / 2);
        self.later(
            delay,
            Event::Arrive {
                from,
                turn,
                connection,
                unanswered,
            },
        );
        number
    }

    /// A turn reaches Redis.
    fn arrive(&mut self, from: Sender, turn: &Turn, connection: u64, unanswered: bool) -> Result<(), Violation> {
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
    pub fn observe(&mut self, place: Place) -> Result<bool, Violation> {
        let head = self.head_in_redis(place);
        self.truth.head_is(place, head, self.now)
    }

    pub fn head_in_redis(&self, place: Place) -> HeadState {
        let key = &self.listings[place];
        let (replies, _) = self.redis.server.run(self.wall(), &self.observer.read_head(key));
        self.observer.take_head(key, replies).unwrap()
    }

    /// An answer that cannot be taken yet comes again.
    pub fn answer_again(&mut self, to: Sender, operation: Operation, replies: crate::store::simulated::Replies) {
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
                self.tally.lost_messages += 1;
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

    /// For so long a node may not have heard of everything.
    pub fn disturb(&mut self, node: Number, lasting: u64) {
        let until = self.now + lasting;
        let node = &mut self.nodes[node];
        node.disturbed_until = until.max(node.disturbed_until);
    }

    /// What was heard becomes known to a node.
    pub fn apply(&mut self, node: Number, heard: Vec<Heard>, own: bool) {
        let now = self.now;
        for heard in heard {
            match &heard {
                Heard::NewEpoch => self.tally.epochs += 1,
                Heard::Announcement(_) => self.tally.announcements += 1,
            }
            self.nodes[node].apply(&heard, &self.places, own, now);
        }
    }

    /// What holds at all times.
    fn look(&mut self) -> Result<(), Violation> {
        if let Some(stream) = self.redis.server.stream_without_expiry(":gen:") {
            return Err(format!("{stream} would stay for ever"));
        }
        let wall = self.wall();
        for place in 0..PUSHED {
            self.observe(place)?;
            if self.head_in_redis(place).live().is_none() {
                continue;
            }
            // Nothing that is there is forgotten: a claim whose node died is due again.
            let due = self.observer.due(&self.listings[place].family);
            let due = Client::score(&self.redis.server.run(wall, &due).0);
            let latest = self.wall_ms().0 + 31_000;
            let calm = self.redis.clock_jumped + 90 * SECOND < self.now;
            match due {
                None => return Err(format!("{place} is there and will never be due")),
                Some(due) if due > latest && calm => {
                    return Err(format!("{place} is due only at {due}, after {latest}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn tick(&mut self, node: Number, tick: Tick) -> Result<(), Violation> {
        let again = match tick {
            Tick::Read => {
                self.read(node)?;
                self.random.u64(MILLISECOND..40 * MILLISECOND)
            }
            Tick::Walk => {
                self.walk(node);
                self.random.u64(10 * MILLISECOND..100 * MILLISECOND)
            }
            Tick::Write => {
                self.write(node);
                self.random.u64(SECOND / 2..3 * SECOND)
            }
            Tick::Schedule => {
                self.look_for_due(node);
                SECOND / 2
            }
            Tick::Heartbeat => {
                self.heartbeat(node);
                400 * MILLISECOND
            }
            Tick::Compare => {
                self.compare(node);
                SECOND
            }
            Tick::Subscribe => {
                self.subscribe(node);
                return Ok(());
            }
            Tick::Refresh(refresh) => {
                self.go_on_refreshing(node, refresh)?;
                return Ok(());
            }
        };
        self.tick_later(node, again, tick);
        Ok(())
    }
}
