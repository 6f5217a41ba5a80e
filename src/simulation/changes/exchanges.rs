//! Exchanges of rows in a stream, and generations that are written and published: as the engine and the store do it.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use super::{
    MILLISECOND,
    node::Node,
    redis::{READ_TIMEOUT, WRITE_TIMEOUT},
    shop::{Number, number_of},
    truth::{CHUNK_LEN, Content, Place},
};
use crate::{
    engine::patching::{rows::KeyedRow, swap::Swap},
    listing::{Generation, Head, HeadState, Item, ItemId, Timestamp, exchange::Source},
    store::simulated::{Answer, Client, How, SimulatedGeneration},
};

const UNANSWERED_MAX: usize = 2;
const UNANSWERED_PAUSE: u64 = 100 * MILLISECOND;

/// The versions of items whose rows were read; `None` where an item is gone.
pub(super) type Versions = BTreeMap<Number, Option<u64>>;

/// A generation that others are made from.
#[derive(Clone, Copy)]
pub(super) struct Old {
    pub place: Place,
    pub generation: Generation,
    pub total: u64,
    pub as_of: Timestamp,
}

impl Old {
    pub(super) fn of(place: Place, head: &Head) -> Self {
        Self {
            place,
            generation: head.generation,
            total: head.total,
            as_of: head.as_of,
        }
    }

    pub(super) fn finished(place: Place, finished: &SimulatedGeneration) -> Self {
        Self {
            place,
            generation: finished.generation,
            total: finished.total,
            as_of: finished.as_of,
        }
    }
}

pub(super) enum Exchanged {
    Unchanged,
    /// What it would be made from is lost.
    Impossible,
    Written(SimulatedGeneration),
}

/// The end of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    Moved,
    Refused,
    Fenced,
    Overtaken,
}

impl Node {
    /// Exchanges all rows of some items. It is made `over` that generation, and published over no other; with `renew` it is a new one in any
    /// case.
    pub(super) async fn exchange(
        self: &Rc<Self>,
        old: Old,
        ids: &BTreeSet<ItemId>,
        versions: &Versions,
        generation: Generation,
        (over, renew): (bool, bool),
    ) -> Option<Exchanged> {
        let listing = &self.sim.listings[old.place.index()];
        let turn = self.client.borrow().look_for(listing, old.generation);
        if !Client::are_there(&self.turn(turn, READ_TIMEOUT).await?, old.total) {
            return Some(Exchanged::Impossible);
        }
        let before = self.sim.truth.borrow().content(old.generation).clone();
        let (columns, rows) = (before.columns(), self.rows_of(old.place, versions));
        let item = |position: u64| before.rows.get(position as usize).map(|(_, item)| item);
        let swap = Swap { ids, rows: &rows };
        let leaving = swap.leaving(swap.candidates(&columns), item);
        if !renew && swap.is_unchanged(&columns, &leaving, item) {
            return Some(Exchanged::Unchanged);
        }
        let exchange = swap.exchange(&columns, CHUNK_LEN, &leaving);
        let chunk_len = CHUNK_LEN.get() as usize;
        let mut new = Vec::new();
        for chunk in 0..exchange.chunks() {
            let items = exchange.items(chunk).map(|source| match source {
                Source::Old(position) => before.rows[position as usize].clone(),
                Source::New(number) => rows[number].clone(),
            });
            let items: Vec<KeyedRow> = items.collect();
            if exchange.keeps(chunk) && before.rows.chunks(chunk_len).nth(chunk as usize) != Some(&items[..]) {
                self.sim
                    .fail(format!("C4: chunk {chunk} of {listing} is kept, and has other items"));
            }
            new.extend(items);
        }
        let mut content = Content {
            rows: new,
            over: over.then_some(old.generation),
            ..before
        };
        for id in ids {
            let item = number_of(id);
            content.versions[item] = versions.get(&item).copied().flatten();
        }
        self.write(old.place, generation, old.as_of, content)
            .await
            .map(Exchanged::Written)
    }

    /// Writes a generation aside.
    pub(super) async fn write(
        self: &Rc<Self>,
        place: Place,
        generation: Generation,
        as_of: Timestamp,
        content: Content,
    ) -> Option<SimulatedGeneration> {
        let sim = &self.sim;
        let items: Vec<Item> = content.rows.iter().map(|(_, item)| item.clone()).collect();
        let written = SimulatedGeneration {
            key: sim.listings[place.index()].clone(),
            generation,
            as_of,
            total: items.len() as u64,
            delta: None,
        };
        sim.tell(|| {
            let versions = content
                .versions
                .map(|version| version.map_or_else(|| "-".into(), |version| version.to_string()));
            let (node, over) = (self.life.node, content.over);
            format!(
                "{node}: {generation} of {place:?} over {over:?}: {}",
                versions.join(" ")
            )
        });
        let recorded = sim.truth.borrow_mut().write(generation, content, &sim.shop.borrow());
        sim.check(recorded);
        let turn = self.client.borrow().write_whole(&written, &items, &sim.policy);
        self.turn(turn, WRITE_TIMEOUT).await?;
        Some(written)
    }

    /// Publishes in the place of the current head, where that `is_wanted`. `None`: nobody knows.
    pub(super) async fn publish_over(
        self: &Rc<Self>,
        written: &SimulatedGeneration,
        how: &How<'_>,
        is_wanted: impl Fn(&HeadState) -> bool,
    ) -> Option<Published> {
        let (mut unanswered, key) = (0, &written.key);
        for _ in 0..32 {
            let turn = self.client.borrow().read_before(key);
            let replies = self.turn(turn, WRITE_TIMEOUT).await?;
            let before = self.client.borrow().take_before(key, replies).ok()?;
            if unanswered == 0 && !is_wanted(before.state()) {
                return Some(Published::Refused);
            }
            let (head, turn) = self.client.borrow().publish(written, &before, how);
            let is_read = how.lease.is_some() && !how.is_patch;
            if is_read && unanswered == 0 && Client::is_overtaken(&before, &head, written.as_of) {
                return Some(Published::Overtaken);
            }
            let Some(replies) = self.turn(turn, WRITE_TIMEOUT).await else {
                if unanswered >= UNANSWERED_MAX {
                    return None;
                }
                unanswered += 1;
                self.sim.sleep(UNANSWERED_PAUSE).await;
                continue;
            };
            let answer = self.client.borrow().take_published(key, replies)?;
            return Some(match answer {
                Answer::Retry => continue,
                Answer::Moved => {
                    self.moves.note(key, &HeadState::Live(head));
                    Published::Moved
                }
                Answer::Fenced => Published::Fenced,
                Answer::Changed => Published::Overtaken,
                Answer::Older(_) | Answer::Incomplete => Published::Refused,
            });
        }
        None
    }
}
