//! The node that works changes off: as the engine does, with its ledger, its holdings and its search.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, VecDeque},
    rc::Rc,
};

use futures_util::future::{Either, select};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    MILLISECOND, SECOND,
    node::{Held, Node},
    redis::{READ_TIMEOUT, WRITE_TIMEOUT},
    shop::{FAMILIES, SORTS, number_of},
    truth::Place,
};
use crate::{
    engine::{
        finding::{find_work, further_work},
        holdings::Holdings,
        ledger::{Ledger, Subject, Work},
    },
    listing::{Change, Family, HeadState, ItemId, ListingKey, sidecar::IdHash},
    store::{ChangeRecords, simulated::Client},
};

const LOOK_PERIOD: u64 = SECOND;
const TAKE_PERIOD: u64 = SECOND;
const ENTRIES_AT_ONCE: usize = 64;
const BARRIER_TIMEOUT: u64 = SECOND;
/// Families that are worked on at once.
const AT_ONCE: usize = 3;
/// The definitions that tell which names an item belongs to.
const PATTERN: &str = "family:{number}";

struct Ended {
    subject: Subject,
    work: Work,
    /// `None`: it failed, and is tried again.
    outcome: Option<Done>,
}

enum Done {
    Worked,
    Found(Vec<(Family, BTreeSet<ItemId>)>),
}

/// The time for which a node has the role.
#[derive(Default)]
struct Tenure {
    ended: RefCell<VecDeque<Ended>>,
    told: Notify,
    running: Cell<usize>,
    over: CancellationToken,
}

impl Node {
    pub(super) async fn work_changes_off(self: Rc<Self>) {
        let mut wait = self.sim.between(1, TAKE_PERIOD);
        loop {
            self.sim.sleep(wait).await;
            wait = TAKE_PERIOD;
            let Some(lease) = self.role("changes").await else {
                continue;
            };
            self.sim.count("tenures");
            let tenure = Rc::new(Tenure::default());
            let _worked: Option<()> = self.work(&lease, &tenure).await;
            tenure.over.cancel();
            self.release(lease).await;
        }
    }

    /// Works until the lease is lost, or Redis fails.
    async fn work(self: &Rc<Self>, lease: &Held, tenure: &Rc<Tenure>) -> Option<()> {
        let sim = &self.sim;
        let history = self.moves.history();
        let turn = self.client.borrow().read_worked_off();
        let worked_off = Client::take_worked_off(&self.turn(turn, READ_TIMEOUT).await?);
        let mut ledger = Ledger::new(&worked_off, sim.instant());
        let mut look_at = sim.now();
        loop {
            if self.is_lost(lease) || self.moves.history() != history {
                return Some(());
            }
            if look_at <= sim.now() {
                let more = self.take_in(&mut ledger).await?;
                look_at = sim.now() + if more { 0 } else { LOOK_PERIOD };
            }
            while tenure.running.get() < AT_ONCE
                && let Some((subject, work)) = ledger.begin(sim.instant())
            {
                tenure.running.set(tenure.running.get() + 1);
                let (node, tenure) = (self.clone(), tenure.clone());
                sim.executor.spawn(Some(self.life), async move {
                    let worked = node.work_on(&subject, &work);
                    let Some(outcome) = tenure.over.run_until_cancelled(worked).await else {
                        return;
                    };
                    let ended = Ended { subject, work, outcome };
                    tenure.ended.borrow_mut().push_back(ended);
                    tenure.told.notify_one();
                });
            }
            let advanced = ledger.advanced();
            self.work_off(&advanced).await?;
            let next = ledger.next().filter(|_| tenure.running.get() < AT_ONCE);
            let next = next.map(|next| sim.time_of(next));
            let until = next.map_or(look_at, |next| next.min(look_at));
            {
                let (recorded, told) = (self.moves.recorded(), tenure.told.notified());
                let (recorded, told) = (std::pin::pin!(recorded), std::pin::pin!(told));
                let worked = select(told, sim.executor.sleep_until(until));
                if let Either::Left(_) = select(recorded, worked).await {
                    look_at = sim.now();
                }
            }
            loop {
                let ended = tenure.ended.borrow_mut().pop_front();
                let Some(ended) = ended else { break };
                tenure.running.set(tenure.running.get() - 1);
                self.end(&mut ledger, ended);
            }
        }
    }

    async fn work_off(self: &Rc<Self>, advanced: &[(u8, u64)]) -> Option<()> {
        if !advanced.is_empty() {
            let turn = self.client.borrow().work_off(advanced);
            self.turn(turn, WRITE_TIMEOUT).await?;
        }
        Some(())
    }

    /// Reads changes, and finds the work on them. Returns whether there may be more.
    async fn take_in(self: &Rc<Self>, ledger: &mut Ledger) -> Option<bool> {
        let turn = self.client.borrow().read_changes(&ledger.read(), ENTRIES_AT_ONCE);
        let replies = self.turn(turn, READ_TIMEOUT).await?;
        let entries = self.client.borrow().take_changes(replies);
        if entries.is_empty() {
            return Some(false);
        }
        let since = self.survey_up_to_date().await?;
        for entry in &entries {
            self.sim.count("entries");
            let is_of = |family: &&Family| ChangeRecords::partition_of(&family.name) == entry.partition;
            if let Some(family) = self.sim.families.iter().find(is_of) {
                self.sim
                    .tell(|| format!("{}: takes {} for {family}", self.life.node, entry.id));
            }
            ledger.open((entry.partition, entry.id), entry.token, entry.changes.len());
        }
        {
            let holdings = self.holdings.borrow();
            find_work(ledger, holdings.as_ref()?, std::iter::once(PATTERN), &entries);
        }
        // C1.
        for entry in &entries {
            for id in entry
                .changes
                .iter()
                .filter(|change| change.names.is_empty())
                .filter_map(Change::item)
            {
                for family in self.sim.truth.borrow().holders(id, &since) {
                    let family = &self.sim.families[family];
                    if ChangeRecords::partition_of(&family.name) == entry.partition && !ledger.awaits(family, id) {
                        self.sim.fail(format!("C1: {family} holds {id:?}, and is not found"));
                    }
                }
            }
        }
        for entry in &entries {
            ledger.settle((entry.partition, entry.id));
        }
        let advanced = ledger.advanced();
        self.work_off(&advanced).await?;
        Some(true)
    }

    /// The holdings with all moves that were announced before this call; and the heads as they were then.
    async fn survey_up_to_date(self: &Rc<Self>) -> Option<Vec<HeadState>> {
        let nonce = 1 + self.sim.random(u64::MAX - 1);
        let heard = self.moves.expect(nonce);
        let since = Rc::new(RefCell::new(self.sim.truth.borrow().heads.clone()));
        let (told, sim) = (since.clone(), self.sim.clone());
        let turn = self.client.borrow().wake(nonce);
        let watch = move |_: &_| drop(told.replace(sim.truth.borrow().heads.clone()));
        let woken = self.turn_watched(turn, WRITE_TIMEOUT, watch).await;
        let in_time = self.sim.executor.sleep_until(self.sim.now() + BARRIER_TIMEOUT);
        let is_heard = woken.is_some() && matches!(select(heard, in_time).await, Either::Left((Ok(()), _)));
        self.moves.give_up(nonce);
        woken?;
        if !is_heard {
            self.sim.count("surveys");
            self.holdings.replace(None);
        }
        let known = self.holdings.take();
        let holdings = match known {
            None => {
                self.moves.begin();
                self.read_holdings(Holdings::default(), None).await?
            }
            Some(known) => {
                let moved = self.moves.take();
                match moved.any {
                    true => self.read_holdings(Holdings::default(), None).await?,
                    false => {
                        let mut heads: Vec<_> = moved.heads.into_iter().collect();
                        heads.retain(|(listing, head)| known.is_behind(listing, head));
                        heads.sort_by(|(left, _), (right, _)| left.cmp(right));
                        self.read_holdings(known, Some(heads)).await?
                    }
                }
            }
        };
        self.holdings.replace(Some(holdings));
        Some(since.take())
    }

    /// Reads the items of these listings, or of all.
    async fn read_holdings(
        self: &Rc<Self>,
        mut holdings: Holdings,
        of: Option<Vec<(ListingKey, HeadState)>>,
    ) -> Option<Holdings> {
        let of = match of {
            Some(of) => of,
            None => {
                let turn = self.client.borrow().read_heads(&self.sim.listings);
                let replies = self.turn(turn, READ_TIMEOUT).await?;
                let heads = self.client.borrow().take_heads(&self.sim.listings, replies);
                // The names index has those that are there.
                let listings = self.sim.listings.iter().cloned().zip(heads);
                listings.filter(|(_, head)| head.live().is_some()).collect()
            }
        };
        for (listing, head) in of {
            let place = self.sim.place_of(&listing);
            if place.sort > 0 {
                let telling = &self.sim.listings[place.family * SORTS];
                if head.live().is_some() && !holdings.knows(telling) {
                    holdings.set_unknown(telling);
                }
                continue;
            }
            let Some(head) = head.live() else {
                let others = &self.sim.listings[place.family * SORTS..][..SORTS];
                let turn = self.client.borrow().read_heads(others);
                let replies = self.turn(turn, READ_TIMEOUT).await?;
                let heads = self.client.borrow().take_heads(others, replies);
                match heads.iter().any(|head| head.live().is_some()) {
                    true => holdings.set_unknown(&listing),
                    false => holdings.remove(&listing),
                }
                continue;
            };
            let turn = self.client.borrow().look_for(&listing, head.generation);
            let is_there = Client::are_there(&self.turn(turn, READ_TIMEOUT).await?, head.total);
            let ids = is_there.then(|| {
                let truth = self.sim.truth.borrow();
                let rows = truth.content(head.generation).rows.iter();
                rows.map(|(_, item)| IdHash::of(item.id.as_str())).collect()
            });
            holdings.set(&listing, head.generation, ids);
        }
        Some(holdings)
    }

    async fn work_on(self: &Rc<Self>, subject: &Subject, work: &Work) -> Option<Done> {
        match subject.now() {
            Subject::Family(family) => {
                self.bring_up_to_date(family, work).await?;
                Some(Done::Worked)
            }
            Subject::Names(_) => self.find_names(&work.changed).await.map(Done::Found),
            Subject::Kept | Subject::Late(..) => unreachable!(),
        }
    }

    /// Families that are kept of the names that items belong to.
    async fn find_names(self: &Rc<Self>, ids: &BTreeSet<ItemId>) -> Option<Vec<(Family, BTreeSet<ItemId>)>> {
        self.sim.ask_origin().await?;
        let belong: Vec<BTreeSet<ItemId>> = {
            let shop = self.sim.shop.borrow();
            let is_of = |family: usize, id: &&ItemId| {
                let item = number_of(id);
                !shop.rows(family, 0, item, shop.versions[item]).is_empty()
            };
            let families = 0..FAMILIES;
            families
                .map(|family| ids.iter().filter(|id| is_of(family, id)).cloned().collect())
                .collect()
        };
        self.sim.sleep(self.sim.between(1, 30 * MILLISECOND)).await;
        let turn = self.client.borrow().read_heads(&self.sim.listings);
        let replies = self.turn(turn, READ_TIMEOUT).await?;
        let heads = self.client.borrow().take_heads(&self.sim.listings, replies);
        let is_kept = |family: usize| {
            Place::all()
                .zip(&heads)
                .any(|(place, head)| place.family == family && head.live().is_some())
        };
        let found = belong
            .into_iter()
            .enumerate()
            .filter(|(family, ids)| !ids.is_empty() && is_kept(*family));
        Some(
            found
                .map(|(family, ids)| (self.sim.families[family].clone(), ids))
                .collect(),
        )
    }

    fn end(&self, ledger: &mut Ledger, ended: Ended) {
        let Ended { subject, work, outcome } = ended;
        self.sim.tell(|| {
            format!(
                "{}: {subject:?} ends, {:?}, {}",
                self.life.node,
                work.changed,
                outcome.is_some()
            )
        });
        match outcome {
            None => {
                self.sim.count("failures");
                ledger.fail(subject, work, self.sim.instant());
                return;
            }
            Some(Done::Worked) => {}
            Some(Done::Found(families)) => {
                for (family, further) in further_work(subject.now(), &work, families) {
                    self.sim.count("found_by_names");
                    ledger.add(family, further);
                }
            }
        }
        ledger.finish(&subject, &work);
    }
}
