//! The world: one Redis, some nodes, and everything that is on its way, in the order of time.

use std::{
    collections::{BTreeMap, BinaryHeap, VecDeque},
    num::NonZeroU32,
    time::Duration,
};

use super::{
    network::{Event, Number, Scheduled, Sender, Tick},
    node::{Node, Operation},
    redis::Redis,
    truth::{CHUNK_LEN, Place, Tally, Truth, Violation},
};
use crate::{
    listing::{ListingKey, Policy, Timestamp},
    store::{
        Heard,
        simulated::{Client, Turn},
    },
};

const NODES: usize = 3;
/// Listings with an origin, and one that is pushed.
pub(super) const LISTINGS: usize = 6;
/// The last one has no origin.
pub(super) const PUSHED: Place = LISTINGS - 1;
/// When the simulation begins, by Redis's clock, in microseconds.
const EPOCH: u64 = 1_800_000_000_000_000;
/// What is told of a failure: the last so many events.
const STORY_MAX: usize = 80;
pub(super) const MILLISECOND: u64 = 1000;
pub(super) const SECOND: u64 = 1_000_000;
/// A turn that reads is given up after this, as the service does.
pub(super) const READ_TIMEOUT: u64 = 100 * MILLISECOND;
pub(super) const WRITE_TIMEOUT: u64 = 2 * SECOND;
/// What a message takes at most where nothing is amiss: it may wait for a reading of the log, which may be slow.
pub(super) const DELAY: u64 = 250 * MILLISECOND;
/// A message that was lost is missed by then: the logs are compared every second.
pub(super) const REPAIR: u64 = SECOND + DELAY;

pub(super) struct World {
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

impl World {
    pub(super) fn new(seed: u64, with_story: bool) -> Self {
        let keys = (0..LISTINGS).map(|place| ListingKey::parse(&format!("listing:{place}/price")));
        let listings: Vec<ListingKey> = keys.map(Option::unwrap).collect();
        let mut world = Self {
            now: 0,
            queue: BinaryHeap::new(),
            scheduled: 0,
            operations: 0,
            random: fastrand::Rng::with_seed(seed),
            redis: Redis::new(NODES),
            nodes: (0..NODES).map(|_| Node::new(0, seed)).collect(),
            places: listings.iter().cloned().zip(0..).collect(),
            listings,
            policy: Policy {
                chunk_len: NonZeroU32::new(CHUNK_LEN).unwrap(),
                fresh_for: Duration::from_secs(6),
                keep_for: Duration::from_secs(40),
                pin_for: Duration::from_secs(10),
                pinned_bytes_max: 3000,
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

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What happened last.
    pub(super) fn story(&self) -> String {
        let lines: Vec<&str> = self.story.iter().flatten().map(String::as_str).collect();
        lines.join("\n")
    }

    /// The next event.
    pub(super) fn step(&mut self) -> Result<(), Violation> {
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

    pub(super) fn tell(&mut self, line: String) {
        if let Some(story) = &mut self.story {
            story.push_back(line);
            if story.len() > STORY_MAX {
                story.pop_front();
            }
        }
    }

    pub(super) fn later(&mut self, after: u64, event: Event) {
        self.at(self.now + after, event);
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.queue.push(Scheduled { at, number, event });
    }

    pub(super) fn tick_later(&mut self, node: Number, after: u64, tick: Tick) {
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
            Tick::FarOff,
            Tick::Heartbeat,
        ] {
            let after = self.random.u64(1..100 * MILLISECOND);
            self.tick_later(node, after, tick);
        }
        let after = self.random.u64(1..SECOND);
        self.tick_later(node, after, Tick::Compare);
    }

    /// Milliseconds of a node's own clock, which never jumps.
    pub(super) fn now_ms(&self) -> u64 {
        self.now / MILLISECOND
    }

    /// Redis's clock, in microseconds.
    pub(super) fn wall(&self) -> u64 {
        (EPOCH + self.now).saturating_add_signed(self.redis.clock_ahead)
    }

    pub(super) fn wall_ms(&self) -> Timestamp {
        Timestamp(self.wall() / MILLISECOND)
    }

    /// How long something is on its way: little, and seldom long.
    pub(super) fn delay(&mut self, slow_max: u64) -> u64 {
        // What may take long does so more often.
        let seldom = if slow_max > SECOND { 30 } else { 200 };
        match self.random.u32(..seldom) {
            0 => self.random.u64(MILLISECOND..slow_max),
            _ => self.random.u64(100..2 * MILLISECOND),
        }
    }

    /// Of an operation or a refresh.
    pub(super) fn next_number(&mut self) -> u64 {
        self.operations += 1;
        self.operations
    }

    /// Sends a turn; its answer comes as an event, one way or another.
    pub(super) fn send(&mut self, node: Number, turn: Turn, operation: Operation, timeout: u64) -> u64 {
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

    /// For so long a node may not have heard of everything.
    pub(super) fn disturb(&mut self, node: Number, lasting: u64) {
        let until = self.now + lasting;
        let node = &mut self.nodes[node];
        node.disturbed_until = until.max(node.disturbed_until);
    }

    /// What was heard becomes known to a node.
    pub(super) fn apply(&mut self, node: Number, heard: Vec<Heard>, own: bool) {
        let now = self.now;
        for heard in heard {
            match &heard {
                Heard::NewEpoch | Heard::Unreadable => self.tally.count("epochs"),
                Heard::Changes(_) => {}
                Heard::Announcement(_) => self.tally.count("announcements"),
            }
            self.nodes[node].apply(&heard, &self.places, own, now);
        }
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
            Tick::FarOff => {
                self.look_far_off(node);
                2 * SECOND
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
