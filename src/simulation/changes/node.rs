//! A node: what one process knows, how it listens, and the leases that it holds.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use futures_util::future::select;
use tokio::sync::Notify;

use super::{
    MILLISECOND, SECOND, Sim,
    executor::Life,
    redis::{READ_TIMEOUT, WRITE_TIMEOUT},
};
use crate::{
    engine::{holdings::Holdings, moves::Moves},
    listing::Family,
    store::{
        Drawn, Grant, Heard,
        simulated::{Client, SimulatedLease, Step},
    },
};

/// How long a lease lasts without a heartbeat, in microseconds.
const LEASE: u64 = 1200 * MILLISECOND;
const HEARTBEAT: u64 = 400 * MILLISECOND;
/// A server that takes longer is given up.
const ANSWER_TIMEOUT: u64 = 700 * MILLISECOND;

/// How a node listens.
#[derive(Default)]
pub(super) struct Hearing {
    /// Counts subscriptions; messages of an earlier one are not heard.
    pub number: Cell<u64>,
    pub up: Cell<bool>,
    pub waiting: RefCell<VecDeque<Vec<u8>>>,
    pub mail: Notify,
    pub last_message: Cell<u64>,
    /// Whether this process has heard anything yet.
    has_begun: Cell<bool>,
}

/// One life of a process.
pub(super) struct Node {
    pub sim: Rc<Sim>,
    pub life: Life,
    pub client: RefCell<Client>,
    /// Commands go over this connection: whatever was sent over an earlier one is not answered.
    pub connection: Cell<u64>,
    pub hearing: Hearing,
    pub moves: Moves,
    /// Which family holds which items, where that is known.
    pub holdings: RefCell<Option<Holdings>>,
}

/// A lease as its holder knows it.
pub(super) struct Held {
    pub lease: SimulatedLease,
    until: Cell<u64>,
    /// Redis said that it is not ours any more.
    taken: Cell<bool>,
}

impl Node {
    pub(super) fn new(sim: Rc<Sim>, life: Life) -> Self {
        Self {
            sim,
            life,
            client: RefCell::new(Client::new()),
            connection: Cell::new(0),
            hearing: Hearing::default(),
            moves: Moves::default(),
            holdings: RefCell::new(None),
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.sim.executor.paces.borrow()[self.life.node].life == self.life.number
    }

    /// Does everything that a node does by itself.
    pub(super) fn begin(self: &Rc<Self>) {
        let spawn = |future| self.sim.executor.spawn(Some(self.life), future);
        let [node, worker, reader] = [self.clone(), self.clone(), self.clone()];
        spawn(Box::pin(async move { node.listen().await }) as std::pin::Pin<Box<dyn Future<Output = ()>>>);
        spawn(Box::pin(async move { worker.work_changes_off().await }));
        spawn(Box::pin(async move { reader.read_outbox().await }));
        let node = self.clone();
        spawn(Box::pin(async move { node.refresh_what_is_due().await }));
    }

    async fn listen(self: Rc<Self>) {
        loop {
            self.hearing.number.set(self.hearing.number.get() + 1);
            self.hearing.waiting.borrow_mut().clear();
            let _lost: Option<()> = self.subscribe().await;
            self.hearing.up.set(false);
            self.sim.sleep(self.sim.between(10 * MILLISECOND, SECOND / 2)).await;
        }
    }

    /// Follows until the subscription is lost.
    async fn subscribe(self: &Rc<Self>) -> Option<()> {
        let (node, number) = (self.clone(), self.hearing.number.get());
        let run = Rc::new(Cell::new(0));
        let server = run.clone();
        let subscribed = move |_: &_| {
            node.hearing.up.set(node.hearing.number.get() == number);
            server.set(node.sim.redis.run.get());
        };
        self.turn_watched(Client::ping(), ANSWER_TIMEOUT, subscribed).await?;
        let step = self.client.borrow_mut().logs.resume(&run.get().to_string());
        self.go_on(step).await?;
        let mut compare_at = self.sim.now() + SECOND;
        while self.hearing.up.get() {
            let message = self.hearing.waiting.borrow_mut().pop_front();
            if let Some(message) = message {
                let mut heard = Vec::new();
                let step = self.client.borrow_mut().logs.hear(&message, &mut heard);
                self.hear(&heard);
                self.go_on(step).await?;
            } else if self.sim.now() >= compare_at {
                let (from, turn) = self.client.borrow().logs.compare();
                let (replies, mut heard) = (self.turn(turn, ANSWER_TIMEOUT).await?, Vec::new());
                let step = self.client.borrow_mut().logs.take_reading(&from, replies, &mut heard);
                self.hear(&heard);
                self.go_on(step).await?;
                compare_at = self.sim.now() + SECOND;
            } else {
                let mail = std::pin::pin!(self.hearing.mail.notified());
                select(mail, self.sim.executor.sleep_until(compare_at)).await;
            }
        }
        None
    }

    async fn go_on(self: &Rc<Self>, mut step: Step) -> Option<()> {
        loop {
            let mut heard = Vec::new();
            step = match step {
                Step::Listen => return Some(()),
                Step::Read(from, turn) => {
                    let replies = self.turn(turn, ANSWER_TIMEOUT).await?;
                    self.client.borrow_mut().logs.take_reading(&from, replies, &mut heard)
                }
                Step::BeginEpoch(turn) => {
                    let replies = self.turn(turn, ANSWER_TIMEOUT).await?;
                    heard.push(self.client.borrow_mut().logs.take_newest(replies));
                    Step::Listen
                }
            };
            self.hear(&heard);
        }
    }

    /// What was heard becomes known.
    fn hear(&self, heard: &[Heard]) {
        for heard in heard {
            match heard {
                Heard::Announcement(announcement) => self.moves.note(&announcement.listing, &announcement.head),
                Heard::Changes(nonce) => self.moves.hear(*nonce),
                // The first says that this node listens.
                Heard::NewEpoch if !self.hearing.has_begun.get() => {}
                Heard::NewEpoch => {
                    self.sim.count("epochs");
                    self.moves.begin_history();
                }
                Heard::Unreadable => self.moves.lose(),
            }
            self.hearing.has_begun.set(true);
        }
    }

    /// Takes over a lease that was asked for at a time, and extends it as long as somebody holds it.
    pub(super) fn keep(self: &Rc<Self>, lease: SimulatedLease, asked: u64) -> Rc<Held> {
        let held = Rc::new(Held {
            lease,
            until: Cell::new(asked + LEASE),
            taken: Cell::new(false),
        });
        let (node, kept) = (self.clone(), Rc::downgrade(&held));
        self.sim.executor.spawn(Some(self.life), async move {
            loop {
                node.sim.sleep(HEARTBEAT).await;
                let Some(held) = kept.upgrade() else { return };
                let (asked, turn) = (node.sim.now(), node.client.borrow().extend(&held.lease));
                drop(held);
                let replies = node.turn(turn, HEARTBEAT).await;
                let Some(held) = kept.upgrade() else { return };
                match replies.as_ref().and_then(Client::number) {
                    Some(1) => held.until.set(asked + LEASE),
                    Some(_) => held.taken.set(true),
                    None => {}
                }
            }
        });
        held
    }

    pub(super) fn is_lost(&self, held: &Held) -> bool {
        held.taken.get() || self.sim.now() >= held.until.get()
    }

    pub(super) async fn release(self: &Rc<Self>, held: Rc<Held>) {
        let turn = self.client.borrow().release(&held.lease);
        drop(held);
        self.turn(turn, READ_TIMEOUT).await;
    }

    pub(super) async fn role(self: &Rc<Self>, role: &str) -> Option<Rc<Held>> {
        let value = format!("{}.{:x}", self.life.node, self.sim.random(u64::MAX));
        let asked = self.sim.now();
        let (lease, turn) = self.client.borrow().take_role(role, &value);
        let replies = self.turn(turn, WRITE_TIMEOUT).await?;
        Client::took_role(&replies).then(|| self.keep(lease, asked))
    }

    /// Draws a generation for each stream under the family's lease.
    pub(super) async fn draw(
        self: &Rc<Self>,
        family: &Family,
        insist: bool,
    ) -> Option<Result<(Grant, Rc<Held>), Drawn>> {
        let owner = format!("{}.{:x}", self.life.node, self.sim.random(u64::MAX));
        let nonces = [0, 1].map(|_| self.sim.random(1 << 32) as u32);
        let asked = self.sim.now();
        let turn = self.client.borrow().draw(family, &owner, &nonces, insist);
        let replies = self.turn(turn, WRITE_TIMEOUT).await?;
        match self.client.borrow().take_draw(family, &nonces, replies)? {
            Drawn::Granted(grant) => {
                let lease = self.client.borrow().lease_of(family, &owner, grant.generations[0]);
                Some(Ok((grant, self.keep(lease, asked))))
            }
            refused => Some(Err(refused)),
        }
    }
}
