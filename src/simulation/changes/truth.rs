//! What really happened, kept apart from what any node believes, and the invariants C1 to C5 held against it.

use std::collections::BTreeMap;

use super::shop::{FAMILIES, ITEMS, Number, SORTS, Shop, number_of};
use crate::{
    engine::patching::rows::KeyedRow,
    listing::{Generation, HeadState, ItemId, sidecar::StreamColumns},
    simulation::truth::Violation,
};

/// Items a chunk.
pub(super) const CHUNK_LEN: std::num::NonZeroU32 = std::num::NonZeroU32::new(3).unwrap();

/// A stream: its family and its sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub family: usize,
    pub sort: usize,
}

impl Place {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..FAMILIES).flat_map(|family| (0..SORTS).map(move |sort| Self { family, sort }))
    }

    pub(super) fn index(self) -> usize {
        self.family * SORTS + self.sort
    }
}

/// A generation as it was written.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub place: Place,
    /// The version of each item whose rows are in it; `None` where the item was left out because it is gone.
    pub versions: [Option<u64>; ITEMS],
    pub rows: Vec<KeyedRow>,
    /// The generation that it must replace, where only some items were exchanged in that.
    pub over: Option<Generation>,
}

impl Content {
    pub(super) fn columns(&self) -> StreamColumns {
        StreamColumns::of_items(CHUNK_LEN, self.rows.iter().map(|(key, item)| (&item.id, &key[..])))
    }

    pub(super) fn has(&self, id: &ItemId) -> bool {
        self.rows.iter().any(|(_, item)| item.id == *id)
    }
}

/// The record.
pub(super) struct Truth {
    contents: BTreeMap<Generation, Content>,
    /// As Redis has them, by the place's index.
    pub heads: Vec<HeadState>,
    /// The least version of each item that each family must show once all is worked off.
    required: [[u64; ITEMS]; FAMILIES],
    /// Items that are gone, as all partitions have recorded.
    gone: [bool; ITEMS],
    /// When a change of each item was last recorded in all partitions.
    recorded_at: [Option<u64>; ITEMS],
    /// Redis's memory went back: changes from before do not count any more.
    pub history_began: u64,
}

/// After this a new history has been noticed by all who can hear of it.
const NOTICED: u64 = 3_000_000;

impl Truth {
    pub(super) fn new() -> Self {
        Self {
            contents: BTreeMap::new(),
            heads: vec![HeadState::Absent; FAMILIES * SORTS],
            required: Default::default(),
            gone: Default::default(),
            recorded_at: Default::default(),
            history_began: 0,
        }
    }

    pub(super) fn begin_history(&mut self, now: u64) {
        self.history_began = now;
        self.required = Default::default();
        self.gone = Default::default();
    }

    /// C4 and C5: each item has all its rows of one version, the one that it must have, and none twice; all rows are in order.
    pub(super) fn write(&mut self, generation: Generation, content: Content, shop: &Shop) -> Result<(), Violation> {
        let Place { family, sort } = content.place;
        let versions = content.versions.iter().enumerate();
        let mut expected: Vec<KeyedRow> = versions
            .flat_map(|(item, version)| version.map_or_else(Vec::new, |version| shop.rows(family, sort, item, version)))
            .collect();
        expected.sort_by(|(left, _), (right, _)| left.cmp(right));
        if content.rows != expected {
            return Err(format!(
                "C4, C5: {generation} of {:?} has {:?}, and should have {expected:?}",
                content.place, content.rows
            ));
        }
        match self.contents.insert(generation, content) {
            None => Ok(()),
            Some(_) => Err(format!("{generation} was drawn twice")),
        }
    }

    pub(super) fn content(&self, generation: Generation) -> &Content {
        &self.contents[&generation]
    }

    /// The content of a stream's current generation.
    pub(super) fn current(&self, place: Place) -> Option<&Content> {
        let head = self.heads[place.index()].live()?;
        self.contents.get(&head.generation)
    }

    /// Redis has this head now. C4: a generation in which items were exchanged replaces the one that it was made from, and no other.
    pub(super) fn head_is(&mut self, place: Place, head: HeadState) -> Result<bool, Violation> {
        let before = std::mem::replace(&mut self.heads[place.index()], head);
        let head = &self.heads[place.index()];
        if before == *head {
            return Ok(false);
        }
        let Some(live) = head.live() else { return Ok(true) };
        let content = self.contents.get(&live.generation);
        let content = content.ok_or_else(|| format!("nobody wrote {}", live.generation))?;
        let replaced = before.live().map(|before| before.generation);
        if content.over.is_some() && content.over != replaced {
            return Err(format!(
                "C4: {} of {place:?} was made from {:?}, and replaces {replaced:?}",
                live.generation, content.over
            ));
        }
        Ok(true)
    }

    /// All partitions have recorded that an item has changed, for these families.
    pub(super) fn recorded(&mut self, item: Number, families: &[usize], version: u64, now: u64) {
        self.recorded_at[item] = Some(now);
        self.gone[item] = false;
        if now >= self.history_began + NOTICED || self.history_began == 0 {
            for family in families {
                let required = &mut self.required[*family][item];
                *required = version.max(*required);
            }
        }
    }

    /// It is told that an item is gone: its version does not matter until another change is recorded.
    pub(super) fn is_told_gone(&mut self, item: Number) {
        for required in &mut self.required {
            required[item] = 0;
        }
    }

    /// All partitions have recorded that an item is gone.
    pub(super) fn recorded_gone(&mut self, item: Number, now: u64) {
        self.is_told_gone(item);
        self.gone[item] = now >= self.history_began + NOTICED || self.history_began == 0;
    }

    /// C3: a row that is deleted was recorded after it was written.
    pub(super) fn row_deleted(&self, id: &ItemId, written_at: u64) -> Result<(), Violation> {
        match self.recorded_at[number_of(id)] {
            Some(at) if at >= written_at => Ok(()),
            at => Err(format!(
                "C3: a row of {id:?} that was written at {written_at} is deleted, and its change was last recorded at {at:?}"
            )),
        }
    }

    /// C1: the families whose current generation holds an item, of those that have had it since a time.
    pub(super) fn holders(&self, id: &ItemId, since: &[HeadState]) -> Vec<usize> {
        let first = |family: &usize| Place {
            family: *family,
            sort: 0,
        };
        let holds = |family: &usize| {
            let place = first(family);
            let is_same = since[place.index()].id() == self.heads[place.index()].id();
            is_same && self.current(place).is_some_and(|content| content.has(id))
        };
        (0..FAMILIES).filter(holds).collect()
    }

    /// C2: when nothing is under way any more, each family that is kept shows each item as it was when its last change was recorded, or
    /// later, and none that is gone.
    pub(super) fn check_settled(&self, shop: &Shop, gone: impl Fn(usize, Number) -> bool) -> Result<(), Violation> {
        for place in Place::all() {
            let Some(content) = self.current(place) else { continue };
            let Place { family, sort } = place;
            for item in 0..ITEMS {
                let of = |version: u64| shop.rows(family, sort, item, version);
                let (required, now) = (self.required[family][item], shop.versions[item]);
                let shown = content.versions[item].map_or_else(Vec::new, of);
                if gone(family, item) {
                    if self.gone[item] && !shown.is_empty() {
                        return Err(format!("C2: {place:?} shows item {item}, which is gone"));
                    }
                    continue;
                }
                let is_later = content.versions[item].is_some_and(|version| version >= required);
                if required > 0 && !is_later && !(required..=now).any(|version| of(version) == shown) {
                    return Err(format!(
                        "C2: {place:?} shows item {item} of version {:?}, and its change to {required} was recorded",
                        content.versions[item]
                    ));
                }
            }
        }
        Ok(())
    }
}
