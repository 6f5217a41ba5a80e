//! What goes wrong.

use super::{
    network::{Event, Number, Sender},
    truth::Violation,
    world::{LISTINGS, MILLISECOND, REPAIR, SECOND, World},
};
use crate::store::simulated::Snapshot;

/// After this a new history has been noticed by all who can hear of it.
const NOTICED: u64 = 2 * SECOND;
/// States to go back to.
const SNAPSHOTS_MAX: usize = 4;

impl World {
    pub(super) fn fault(&mut self) -> Result<(), Violation> {
        let node = self.random.usize(..self.nodes.len());
        match self.random.u32(..100) {
            0..20 => {
                self.tally.count("cuts");
                self.tell_fault("a subscription is cut", node);
                if self.nodes[node].alive && self.nodes[node].subscription.up {
                    self.lose_subscription(node);
                }
            }
            20..30 => {
                self.tally.count("cuts");
                self.tell_fault("connections are cut", node);
                self.cut_commands(node);
            }
            30..45 => {
                self.tally.count("pauses");
                let most = if self.random.u32(..20) == 0 { 70 } else { 3 };
                let lasting = self.random.u64(SECOND / 20..most * SECOND);
                self.tell_fault("stands still", node);
                self.nodes[node].paused_until = self.now + lasting;
                self.disturb(node, lasting + REPAIR);
            }
            45..53 => {
                self.tally.count("kills");
                self.tell_fault("is killed", node);
                let dead = &mut self.nodes[node];
                if dead.alive {
                    dead.alive = false;
                    dead.life += 1;
                    dead.subscription.up = false;
                    dead.operations.clear();
                    let after = self.random.u64(SECOND / 10..3 * SECOND);
                    self.later(after, Event::Start { node });
                }
            }
            53..63 => {
                self.tally.count("pauses");
                let lasting = self.random.u64(SECOND / 20..3 * SECOND);
                self.tell("redis stands still".into());
                self.redis.paused_until = self.now + lasting;
                for node in 0..self.nodes.len() {
                    self.disturb(node, lasting + REPAIR);
                }
            }
            63..66 => {
                self.tell("redis is flushed".into());
                self.begin_history(Snapshot::default());
            }
            66..68 => {
                self.tell("redis is restarted, empty".into());
                self.begin_history(Snapshot::default());
                self.new_process();
            }
            68..72 => {
                if let Some(at) =
                    (!self.redis.snapshots.is_empty()).then(|| self.random.usize(..self.redis.snapshots.len()))
                {
                    self.tell("a replica is promoted that lagged".into());
                    let snapshot = self.redis.snapshots[at].clone();
                    self.begin_history(snapshot);
                    self.new_process();
                }
            }
            72..78 => {
                self.tally.count("clock_jumps");
                let most = match self.random.u32(..10) {
                    0..3 => 3600 * SECOND,
                    3 => 40 * SECOND,
                    _ => SECOND,
                } as i64;
                self.redis.clock_ahead += self.random.i64(-most..most);
                self.tell("redis's clock jumps".into());
            }
            78..88 => {
                self.tally.count("evictions");
                let place = self.random.usize(..LISTINGS);
                let turn = match self.head_in_redis(place).live() {
                    Some(head) if self.random.bool() => {
                        let part = self.random.usize(..5);
                        self.observer.unlink_part(&self.listings[place], head, part)
                    }
                    _ => self.observer.unlink_head(&self.listings[place]),
                };
                self.tell(format!("something of {place} is evicted"));
                self.redis.server.run(self.wall(), &turn);
                self.observe(place)?;
            }
            _ => {
                let snapshot = self.redis.server.snapshot();
                self.redis.snapshots.push_back(snapshot);
                if self.redis.snapshots.len() > SNAPSHOTS_MAX {
                    self.redis.snapshots.pop_front();
                }
            }
        }
        Ok(())
    }

    fn tell_fault(&mut self, what: &str, node: Number) {
        self.tell(format!("{node}: {what}"));
    }

    /// Redis's memory is another.
    fn begin_history(&mut self, snapshot: Snapshot) {
        self.tally.count("histories");
        self.redis.server.restore(snapshot);
        let heads = (0..LISTINGS).map(|place| self.head_in_redis(place)).collect();
        self.truth.begin_history(heads, self.now);
        for node in 0..self.nodes.len() {
            self.disturb(node, NOTICED);
        }
    }

    /// Another process answers from here on, and nobody is connected to it.
    fn new_process(&mut self) {
        self.redis.run += 1;
        for node in 0..self.nodes.len() {
            if self.nodes[node].alive {
                self.cut_commands(node);
                if self.nodes[node].subscription.up {
                    self.lose_subscription(node);
                }
            }
        }
    }

    /// Whoever waits for an answer hears that there will be none.
    fn cut_commands(&mut self, node: Number) {
        let life = self.nodes[node].life;
        self.nodes[node].connection += 1;
        let waiting: Vec<u64> = self.nodes[node].operations.keys().copied().collect();
        for operation in waiting {
            let to = Sender { node, life, operation };
            let after = self.random.u64(..MILLISECOND);
            self.later(after, Event::Answer { to, replies: None });
        }
    }
}
