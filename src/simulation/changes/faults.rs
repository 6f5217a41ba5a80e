//! What goes wrong; and what shops and clients do meanwhile.

use std::rc::Rc;

use super::{
    MILLISECOND, SECOND, Sim,
    executor::Life,
    node::Node,
    shop::{FAMILIES, ITEMS, id_of},
    truth::Place,
};
use crate::{
    listing::{Change, ChangeOf, ItemState, ListingName, Timestamp},
    store::simulated::{Client, Snapshot},
};

pub(super) const NODES: usize = 3;
/// As often as that a client tells of a change that it does not know to be recorded.
const TOLD_MAX: usize = 4;
/// Due times up to this come from failures and claims; those of full reads lie further ahead.
const SOON: u64 = 3 * 3600 * 1000;
/// The furthest that Redis's clock may be off.
const CLOCK_OFF_MAX: i64 = 2 * 3600 * SECOND as i64;

impl Sim {
    /// Some node that is alive.
    fn some_node(&self) -> Option<Rc<Node>> {
        let node = self.random(NODES as u64) as usize;
        self.nodes.borrow().get(node).filter(|node| node.is_alive()).cloned()
    }

    /// Items change, and somebody tells of it.
    pub(super) async fn change_items(self: Rc<Self>) {
        loop {
            self.sleep(self.between(20 * MILLISECOND, 900 * MILLISECOND)).await;
            if self.calm.get() {
                return;
            }
            let (item, now) = (self.random(ITEMS as u64) as usize, self.now());
            if self.random(5) == 0 {
                let mut change = Change::of_item(id_of(item));
                change.of = ChangeOf::Item(id_of(item), ItemState::Gone(None));
                self.tell(|| format!("item {item} is gone"));
                self.truth.borrow_mut().is_told_gone(item);
                self.clone().tell_of(change);
                continue;
            }
            let before = self.shop.borrow().versions[item];
            self.shop.borrow_mut().versions[item] += 1;
            self.tell(|| format!("item {item} has version {}", before + 1));
            if self.random(3) == 0 {
                self.shop.borrow_mut().write_row(item, now);
                continue;
            }
            let mut change = Change::of_item(id_of(item));
            if self.random(3) == 0 {
                // The names that it was and is in.
                let shop = self.shop.borrow();
                let is_in = |family: &usize| {
                    [before, before + 1]
                        .iter()
                        .any(|version| !shop.rows(*family, 0, item, *version).is_empty())
                };
                let names = (0..FAMILIES)
                    .filter(is_in)
                    .map(|family| self.families[family].name.clone());
                change.names = names.collect::<Vec<ListingName>>().into();
                if change.names.is_empty() {
                    continue;
                }
            }
            self.clone().tell_of(change);
        }
    }

    /// Somebody tells of a change until a node says that it is recorded.
    fn tell_of(self: Rc<Self>, change: Change) {
        let sim = self.clone();
        self.executor.spawn(None, async move {
            for _ in 0..TOLD_MAX {
                let node = sim.some_node();
                if let Some(node) = node
                    && node.record(std::slice::from_ref(&change)).await.is_some()
                {
                    sim.count("told");
                    return;
                }
                sim.sleep(sim.between(MILLISECOND, SECOND)).await;
            }
        });
    }

    /// Somebody refreshes or deletes a listing.
    pub(super) async fn write_listings(self: Rc<Self>) {
        loop {
            self.sleep(self.between(20 * MILLISECOND, 3 * SECOND / 2)).await;
            if self.calm.get() {
                return;
            }
            let Some(node) = self.some_node() else { continue };
            let family = self.random(FAMILIES as u64) as usize;
            let is_deleted = self.random(12) == 0;
            self.executor.spawn(Some(node.life), async move {
                match is_deleted {
                    true => node.delete(Place { family, sort: 0 }).await,
                    false => node.refresh(&node.sim.families[family], false).await,
                };
            });
        }
    }

    pub(super) async fn break_things(self: Rc<Self>) {
        loop {
            self.sleep(self.between(50 * MILLISECOND, 1500 * MILLISECOND)).await;
            if self.calm.get() {
                return;
            }
            self.fault().await;
        }
    }

    async fn fault(self: &Rc<Self>) {
        let node = self.random(NODES as u64) as usize;
        match self.random(100) {
            0..12 => {
                self.tell(|| format!("the subscription of {node} is cut"));
                self.node(node).lose_subscription();
            }
            12..24 => {
                self.tell(|| format!("connections of {node} are cut"));
                self.node(node).cut();
            }
            24..40 => {
                self.count("pauses");
                let lasting = self.between(SECOND / 20, 4 * SECOND);
                self.tell(|| format!("{node} stands still for {lasting}"));
                self.executor.paces.borrow_mut()[node].paused_until = self.now() + lasting;
            }
            40..58 => {
                self.count("kills");
                self.tell(|| format!("{node} is killed"));
                self.kill(node);
                self.sleep(self.between(SECOND / 10, 2 * SECOND)).await;
                self.start(node);
            }
            58..66 => {
                let lasting = self.between(SECOND / 20, 2 * SECOND);
                self.tell(|| format!("redis stands still for {lasting}"));
                self.redis.paused_until.set(self.now() + lasting);
            }
            66..69 => {
                self.tell(|| "redis is flushed".into());
                self.begin_history(Snapshot::default());
                self.jump_perhaps();
            }
            69..71 => {
                self.tell(|| "redis is restarted, empty".into());
                self.begin_history(Snapshot::default());
                self.new_process();
                self.jump_perhaps();
            }
            71..78 => {
                let snapshot = self.redis.server.snapshot();
                self.sleep(self.between(MILLISECOND, 3 * SECOND / 2)).await;
                self.tell(|| "a replica is promoted that lagged".into());
                self.begin_history(snapshot);
                self.new_process();
                self.jump_perhaps();
            }
            78..85 => self.jump(),
            85..95 => {
                self.count("evictions");
                let place = Place::all().nth(self.random(8) as usize).unwrap();
                let listing = &self.listings[place.index()];
                let head = self.truth.borrow().heads[place.index()].clone();
                let turn = match head.live() {
                    Some(head) if self.random(2) == 0 => {
                        self.observer.unlink_part(listing, head, self.random(5) as usize)
                    }
                    _ => self.observer.unlink_head(listing),
                };
                self.tell(|| format!("something of {place:?} is evicted"));
                self.serve(&turn);
                self.observe();
            }
            _ => {}
        }
    }

    pub(super) fn kill(&self, node: usize) {
        let dead = self.node(node);
        self.executor.paces.borrow_mut()[node].life += 1;
        dead.hearing.up.set(false);
        dead.hearing.number.set(u64::MAX);
    }

    pub(super) fn start(self: &Rc<Self>, node: usize) {
        let number = {
            let mut paces = self.executor.paces.borrow_mut();
            paces[node].life += 1;
            paces[node].life
        };
        let begun = Rc::new(Node::new(self.clone(), Life { node, number }));
        let mut nodes = self.nodes.borrow_mut();
        match nodes.get_mut(node) {
            Some(before) => *before = begun.clone(),
            None => nodes.push(begun.clone()),
        }
        drop(nodes);
        begun.begin();
    }

    /// Redis's memory is another.
    fn begin_history(&self, snapshot: Snapshot) {
        self.count("histories");
        self.redis.server.restore(snapshot);
        let heads = {
            let turn = self.observer.read_heads(&self.listings);
            let (replies, _) = self.redis.server.run(self.wall(), &turn);
            self.observer.take_heads(&self.listings, replies)
        };
        let mut truth = self.truth.borrow_mut();
        truth.heads = heads;
        truth.begin_history(self.now());
    }

    /// Another process answers from here on, and nobody is connected to it.
    fn new_process(&self) {
        self.redis.run.set(self.redis.run.get() + 1);
        for node in self.nodes.borrow().iter() {
            node.cut();
            node.lose_subscription();
        }
    }

    fn jump_perhaps(&self) {
        if self.random(2) == 0 {
            self.jump();
        }
    }

    fn jump(&self) {
        self.count("clock_jumps");
        let most = match self.random(3) {
            0 => 3600 * SECOND,
            _ => 2 * SECOND,
        };
        let jump = self.between(0, 2 * most) as i64 - most as i64;
        let ahead = (self.redis.clock_ahead.get() + jump).clamp(-CLOCK_OFF_MAX, CLOCK_OFF_MAX);
        self.tell(|| format!("redis's clock is {ahead} ahead"));
        self.redis.clock_ahead.set(ahead);
    }

    /// Nothing goes wrong from here on, and nothing changes. What was due soon by an earlier clock is due now: the other simulation shows
    /// that it is found.
    pub(super) fn calm_down(&self) {
        self.calm.set(true);
        let now = self.wall_ms();
        for family in &self.families {
            let (due, _) = self.redis.server.run(self.wall(), &self.observer.due(family));
            if Client::score(&due).is_some_and(|due| due < now.0 + SOON) {
                let turn = self
                    .observer
                    .bring_forward(std::slice::from_ref(family), Timestamp(now.0));
                self.redis.server.run(self.wall(), &turn);
            }
        }
    }
}

impl Node {
    pub(super) fn lose_subscription(&self) {
        self.hearing.up.set(false);
        self.hearing.mail.notify_one();
    }

    /// Whoever waits for an answer hears that there will be none.
    fn cut(&self) {
        self.connection.set(self.connection.get() + 1);
    }
}
