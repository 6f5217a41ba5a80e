//! What lies between nodes and Redis: turns arrive late, in part or never, and so do answers and messages.

use std::{cell::Cell, rc::Rc};

use futures_util::future::{Either, select};
use tokio::sync::oneshot;

use super::{MILLISECOND, SECOND, Sim, node::Node, truth::Place};
use crate::{
    listing::Timestamp,
    store::simulated::{Replies, Server, Turn},
};

/// When the simulation begins, by Redis's clock, in microseconds.
const EPOCH: u64 = 1_800_000_000_000_000;
pub(super) const READ_TIMEOUT: u64 = 500 * MILLISECOND;
pub(super) const WRITE_TIMEOUT: u64 = 2 * SECOND;

/// The one that all nodes are connected to.
pub(super) struct Redis {
    pub server: Server,
    /// Of this process of Redis.
    pub run: Cell<u64>,
    /// By how much its clock is ahead, in microseconds.
    pub clock_ahead: Cell<i64>,
    pub paused_until: Cell<u64>,
}

impl Redis {
    pub(super) fn new() -> Self {
        Self {
            server: Server::new(),
            run: Cell::new(1),
            clock_ahead: Cell::new(0),
            paused_until: Cell::new(0),
        }
    }
}

impl Sim {
    /// Redis's clock, in microseconds.
    pub(super) fn wall(&self) -> u64 {
        (EPOCH + self.now()).saturating_add_signed(self.redis.clock_ahead.get())
    }

    pub(super) fn wall_ms(&self) -> Timestamp {
        Timestamp(self.wall() / MILLISECOND)
    }

    /// How long something is on its way: little, and seldom long.
    fn delay(&self, slow_max: u64) -> u64 {
        match self.random(100) {
            0 if !self.calm.get() => self.between(MILLISECOND, slow_max),
            _ => self.between(100, 2 * MILLISECOND),
        }
    }

    /// Redis does a turn.
    pub(super) fn serve(self: &Rc<Self>, turn: &Turn) -> Replies {
        let (replies, published) = self.redis.server.run(self.wall(), turn);
        if !published.is_empty() {
            self.observe();
        }
        for payload in published {
            self.publish(&payload);
        }
        replies
    }

    /// Holds the heads that Redis has against the record.
    pub(super) fn observe(&self) {
        let turn = self.observer.read_heads(&self.listings);
        let (replies, _) = self.redis.server.run(self.wall(), &turn);
        let heads = self.observer.take_heads(&self.listings, replies);
        for (place, head) in Place::all().zip(heads) {
            let id = head.id();
            let seen = self.truth.borrow_mut().head_is(place, head);
            if seen == Ok(true) {
                self.tell(|| format!("{id} is the head of {place:?}"));
            }
            self.check(seen.map(drop));
        }
    }

    /// A message goes out to all who listen.
    fn publish(self: &Rc<Self>, payload: &[u8]) {
        for node in self.nodes.borrow().iter().filter(|node| node.hearing.up.get()) {
            if !self.calm.get() && self.random(100) == 0 {
                // With it the subscription is lost: none comes behind a message that does not come.
                self.count("lost_messages");
                node.lose_subscription();
                continue;
            }
            let at = self.now() + self.delay(100 * MILLISECOND);
            let at = at.max(node.hearing.last_message.get());
            node.hearing.last_message.set(at);
            let (node, payload, number) = (node.clone(), payload.to_vec(), node.hearing.number.get());
            let sleep = self.executor.sleep_until(at);
            self.executor.spawn(None, async move {
                sleep.await;
                if node.hearing.number.get() == number {
                    node.hearing.waiting.borrow_mut().push_back(payload);
                    node.hearing.mail.notify_one();
                }
            });
        }
    }
}

impl Node {
    /// Sends a turn. `None`: the connection broke, or it took too long; nobody knows whether it was done.
    pub(super) async fn turn(self: &Rc<Self>, turn: Turn, timeout: u64) -> Option<Replies> {
        self.turn_watched(turn, timeout, |_| ()).await
    }

    /// The same; somebody looks on when Redis has done all of it.
    pub(super) async fn turn_watched(
        self: &Rc<Self>,
        turn: Turn,
        timeout: u64,
        watch: impl FnOnce(&Replies) + 'static,
    ) -> Option<Replies> {
        let (sim, node) = (self.sim.clone(), self.clone());
        let (send, answered) = oneshot::channel();
        let connection = self.connection.get();
        let luck = if sim.calm.get() { 999 } else { sim.random(1000) };
        let on_its_way = async move {
            let sim = node.sim.clone();
            sim.sleep(sim.delay(timeout * 3 / 2)).await;
            while sim.redis.paused_until.get() > sim.now() {
                sim.executor.sleep_until(sim.redis.paused_until.get()).await;
            }
            // What was sent before a cut, or a death, may be on the other side already.
            let is_cut = !node.is_alive() || node.connection.get() != connection;
            if luck < 3 || is_cut && sim.random(2) == 0 {
                return;
            }
            if luck < 6 {
                let done = sim.random(turn.len() as u64) as usize;
                sim.serve(&turn.part(done));
                return;
            }
            let replies = sim.serve(&turn);
            watch(&replies);
            if luck < 10 || is_cut {
                return;
            }
            sim.sleep(sim.delay(timeout)).await;
            if node.connection.get() == connection {
                let _ = send.send(replies);
            }
        };
        sim.executor.spawn(None, on_its_way);
        match select(answered, sim.executor.sleep_until(sim.now() + timeout)).await {
            Either::Left((replies, _)) => replies.ok(),
            Either::Right(_) => None,
        }
    }
}
