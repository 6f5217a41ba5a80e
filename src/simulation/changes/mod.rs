//! A seeded simulation of changes: many nodes round one Redis record changes of a shop's items, work them off, read listings in full and
//! delete them, while messages get lost, nodes stand still and die, Redis loses its memory or goes back, and its clock jumps.
//!
//! What decides is the code itself: the [ledger](crate::engine::ledger), the [holdings](crate::engine::holdings) and the
//! [search](crate::engine::finding) of the node that works changes off, the [swap](crate::engine::patching::swap) of rows and its order, the
//! changes that a read has [followed](crate::engine::patching::followed), the order of the steps with an [outbox](crate::engine::outboxes), the
//! calls and scripts of the store. What is simulated is what lies between.
//!
//! A seed is a history of some rounds. In each round much goes wrong; then nothing does, and no listing is read in full that need not be: what is
//! not worked off by then was lost. [`truth`] holds C1 to C5:
//! - C1 The families that are found for a change are all whose current generation holds the item.
//! - C2 When all is calm, each family shows what was recorded, or something later.
//! - C3 A row of an outbox is deleted only after its change was recorded.
//! - C4 Where some items were exchanged they are as the origin had them when it was asked, and all others are as in the generation before.
//! - C5 A generation has all rows of each item, none twice, in their order.
//!
//! C1 and C2 hold for changes of this history of Redis, once it was noticed.

mod exchanges;
mod executor;
mod faults;
mod node;
mod patches;
mod recording;
mod redis;
mod refreshes;
mod shop;
mod truth;
mod worker;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::{Duration, Instant},
};

use self::{
    executor::{Executor, Pace},
    faults::NODES,
    node::Node,
    redis::Redis,
    shop::{FAMILIES, SORTS, Shop, id_of, number_of},
    truth::{CHUNK_LEN, Place, Truth},
};
use super::truth::Violation;
use crate::{
    listing::{Change, ChangeOf, Family, ItemState, ListingKey, Policy},
    store::simulated::Client,
};

const MILLISECOND: u64 = 1000;
const SECOND: u64 = 1_000_000;
/// Seeds a run.
const SEEDS: u64 = 6;
/// Rounds a seed.
const ROUNDS: u64 = 5;
/// In a round: so long much goes wrong, and then nothing.
const STORM: u64 = 15 * SECOND;
const CALM: u64 = 40 * SECOND;
/// What is told of a failure: the last so many events.
const STORY_MAX: usize = 150;

/// Everything that is counted.
const KINDS: [&str; 24] = [
    "clock_jumps",
    "deleted",
    "entries",
    "epochs",
    "evictions",
    "failures",
    "followed",
    "found_by_names",
    "histories",
    "kills",
    "lost_messages",
    "needs_refresh",
    "overtaken",
    "patched",
    "pauses",
    "read_in_full",
    "rebased",
    "removed",
    "rounds",
    "rows_deleted",
    "surveys",
    "tenures",
    "told",
    "unchanged",
];

/// One history.
pub(super) struct Sim {
    executor: Rc<Executor>,
    random: RefCell<fastrand::Rng>,
    redis: Redis,
    nodes: RefCell<Vec<Rc<Node>>>,
    shop: RefCell<Shop>,
    truth: RefCell<Truth>,
    families: Vec<Family>,
    /// By the places' indices.
    listings: Vec<ListingKey>,
    policy: Policy,
    /// Looks on: what it reads is no part of the simulation.
    observer: Client,
    /// Whether nothing goes wrong now.
    calm: Cell<bool>,
    begun: Instant,
    failed: RefCell<Option<Violation>>,
    story: Option<RefCell<VecDeque<String>>>,
    tally: RefCell<BTreeMap<&'static str, u64>>,
}

impl Sim {
    fn new(seed: u64, with_story: bool) -> Rc<Self> {
        // The ledger's own luck.
        fastrand::seed(seed);
        let families: Vec<Family> = (0..FAMILIES)
            .map(|number| Family::parse(&format!("family:{number}")).unwrap())
            .collect();
        let listing =
            |place: Place| ListingKey::parse(&format!("family:{}/{}", place.family, ["price", "name"][place.sort]));
        let sim = Rc::new(Self {
            executor: Rc::default(),
            random: RefCell::new(fastrand::Rng::with_seed(seed)),
            redis: Redis::new(),
            nodes: RefCell::default(),
            shop: RefCell::new(Shop::new(seed)),
            truth: RefCell::new(Truth::new()),
            families,
            listings: Place::all().map(|place| listing(place).unwrap()).collect(),
            policy: Policy {
                chunk_len: CHUNK_LEN,
                keep_for: Duration::from_secs(5 * 3600),
                pin_for: Duration::from_secs(10),
                ..Policy::default()
            },
            observer: Client::new(),
            calm: Cell::new(false),
            begun: Instant::now(),
            failed: RefCell::default(),
            story: with_story.then(RefCell::default),
            tally: RefCell::default(),
        });
        sim.executor.paces.replace(vec![Pace::default(); NODES]);
        for node in 0..NODES {
            sim.start(node);
        }
        sim
    }

    fn now(&self) -> u64 {
        self.executor.now()
    }

    /// The time as the engine has it.
    fn instant(&self) -> Instant {
        self.begun + Duration::from_micros(self.now())
    }

    fn time_of(&self, instant: Instant) -> u64 {
        instant.duration_since(self.begun).as_micros() as u64 + 1
    }

    async fn sleep(&self, after: u64) {
        self.executor.sleep_until(self.now() + after).await;
    }

    fn random(&self, below: u64) -> u64 {
        self.random.borrow_mut().u64(..below)
    }

    fn between(&self, from: u64, to: u64) -> u64 {
        self.random.borrow_mut().u64(from..to)
    }

    fn node(&self, number: usize) -> Rc<Node> {
        self.nodes.borrow()[number].clone()
    }

    fn family_of(&self, family: &Family) -> usize {
        self.families.iter().position(|other| other == family).unwrap()
    }

    fn place_of(&self, listing: &ListingKey) -> Place {
        let at = self.listings.iter().position(|other| other == listing).unwrap();
        Place {
            family: at / SORTS,
            sort: at % SORTS,
        }
    }

    /// The origin is asked: it takes some time, and may fail.
    async fn ask_origin(&self) -> Option<()> {
        self.sleep(self.between(1, 10 * MILLISECOND)).await;
        (self.calm.get() || self.random(12) > 0).then_some(())
    }

    /// All partitions have recorded changes.
    fn recorded(&self, changes: &[Change]) {
        let (shop, mut truth) = (self.shop.borrow(), self.truth.borrow_mut());
        for change in changes {
            let item = number_of(change.item().unwrap());
            self.tell(|| format!("all partitions have item {item}, {:?}", change.names));
            if matches!(change.of, ChangeOf::Item(_, ItemState::Gone(_))) {
                truth.recorded_gone(item, self.now());
                continue;
            }
            let is_named = |family: &usize| change.may_concern(&self.families[*family]);
            let families: Vec<usize> = (0..FAMILIES).filter(is_named).collect();
            truth.recorded(item, &families, shop.versions[item], self.now());
        }
    }

    fn check(&self, checked: Result<(), Violation>) {
        if let Err(violation) = checked {
            self.fail(violation);
        }
    }

    fn fail(&self, violation: Violation) {
        self.failed.borrow_mut().get_or_insert(violation);
    }

    fn count(&self, kind: &'static str) {
        debug_assert!(KINDS.contains(&kind), "{kind}");
        *self.tally.borrow_mut().entry(kind).or_default() += 1;
        if kind != "entries" {
            self.tell(|| kind.into());
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            let mut story = story.borrow_mut();
            story.push_back(format!("{:>12} {}", self.now(), what()));
            if story.len() > STORY_MAX {
                story.pop_front();
            }
        }
    }

    fn run_until(&self, time: u64) -> Result<(), Violation> {
        while self.now() < time && self.executor.step() {
            if let Some(violation) = self.failed.take() {
                return Err(violation);
            }
        }
        Ok(())
    }

    fn play_round(self: &Rc<Self>) -> Result<(), Violation> {
        self.calm.set(false);
        let began = self.now();
        self.executor.spawn(None, self.clone().change_items());
        self.executor.spawn(None, self.clone().write_listings());
        self.executor.spawn(None, self.clone().break_things());
        self.run_until(began + STORM)?;
        self.calm_down();
        self.run_until(began + STORM + CALM)?;
        self.count("rounds");
        let is_gone = |family: usize, item: usize| {
            let turn = self.observer.read_gone(&self.families[family].name, &id_of(item));
            let until = Client::score(&self.redis.server.run(self.wall(), &turn).0);
            until.is_some_and(|until| until >= self.wall_ms().0)
        };
        self.truth.borrow().check_settled(&self.shop.borrow(), is_gone)
    }
}

/// Plays one seed. `Err`: what went wrong, and what happened just before.
fn play(seed: u64, rounds: u64, with_story: bool) -> Result<BTreeMap<&'static str, u64>, String> {
    let sim = Sim::new(seed, with_story);
    let played = (0..rounds).try_for_each(|_| sim.play_round());
    sim.executor.end();
    sim.nodes.borrow_mut().clear();
    let story = sim
        .story
        .iter()
        .flat_map(|story| story.borrow().iter().cloned().collect::<Vec<_>>());
    match played {
        Ok(()) => Ok(sim.tally.take()),
        Err(violation) if with_story => Err(format!(
            "seed {seed}, step {}: {violation}\n{}",
            sim.now(),
            story.collect::<Vec<_>>().join("\n")
        )),
        Err(_) => play(seed, rounds, true),
    }
}

#[test]
fn changes_are_found_worked_off_and_hidden_by_nothing() {
    let seeds = match super::from_environment("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + super::from_environment("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let (began, is_whole) = (Instant::now(), seeds.end - seeds.start >= SEEDS);
    let mut tally: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in seeds {
        match play(seed, ROUNDS, false) {
            Ok(more) => more
                .into_iter()
                .for_each(|(kind, times)| *tally.entry(kind).or_default() += times),
            Err(violation) => panic!("{violation}\nSIMULATION_SEED={seed} plays it again"),
        }
    }
    eprintln!("{:?}: {tally:?}", began.elapsed());
    // A simulation in which little happens finds little.
    let seldom: Vec<_> = KINDS
        .iter()
        .filter(|kind| tally.get(*kind).is_none_or(|times| *times < 2))
        .collect();
    assert!(
        !is_whole || seldom.is_empty(),
        "these happened less than twice: {seldom:?} of {tally:?}"
    );
}

#[test]
fn a_seed_of_changes_is_played_the_same_way_twice() {
    let tallies = [(); 2].map(|()| play(3, 1, false).unwrap());
    assert_eq!(tallies[0], tallies[1]);
}
