//! Followed changes: those that a full read must take up before it is published. It waits for nothing, and knows no Redis.

use std::collections::BTreeSet;

use crate::{
    listing::{ChangeOf, Family, ItemId, ItemState},
    store::ChangesSince,
};

/// How far a read has followed changes.
#[derive(Debug)]
pub(crate) struct Followed {
    /// The last change that was looked at.
    pub last: u64,
    /// Whether there are changes that only a later full read can follow.
    pub is_behind: bool,
    drawn: u64,
    /// Whether there are changes that were recorded after the draw.
    has_later: bool,
    /// Items whose rows were read again.
    pub changed: BTreeSet<ItemId>,
    /// Items that no listing may show.
    pub gone: BTreeSet<ItemId>,
    /// Items that are gone from some listings, this family's among them.
    gone_here: BTreeSet<ItemId>,
}

impl Followed {
    /// Of a read that was drawn with this id, and may show the state of another one before it.
    pub(crate) fn new(drawn: u64, shows: u64) -> Self {
        Self {
            last: shows,
            is_behind: false,
            drawn,
            has_later: false,
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            gone_here: BTreeSet::new(),
        }
    }

    /// Takes changes that were recorded since. Returns the items whose rows are to be read.
    pub(crate) fn take(&mut self, since: ChangesSince, family: &Family) -> BTreeSet<ItemId> {
        let ChangesSince { last, changes, gone } = since;
        self.last = last;
        let mut newly = BTreeSet::new();
        for (recorded, change) in changes.iter().filter(|(_, change)| change.may_concern(family)) {
            // Those from before the draw are followed where a database lags, and by the worker once more.
            let is_later = *recorded > self.drawn;
            self.has_later |= is_later;
            match &change.of {
                // Those that are gone everywhere are known from their own record.
                ChangeOf::Item(id, ItemState::Gone(_)) if !change.is_plain() => {
                    self.gone_here.insert(id.clone());
                }
                ChangeOf::Item(_, ItemState::Gone(_) | ItemState::Recalled(_)) => {}
                ChangeOf::Item(id, ItemState::Changed | ItemState::Returned) => {
                    // It was told later: the item is there again.
                    self.gone_here.remove(id);
                    newly.insert(id.clone());
                }
                ChangeOf::Listings(_) => self.is_behind |= is_later,
            }
        }
        self.gone = gone.into_iter().chain(self.gone_here.iter().cloned()).collect();
        newly
    }

    /// The items to exchange.
    pub(crate) fn ids(&self) -> BTreeSet<ItemId> {
        self.changed.union(&self.gone).cloned().collect()
    }

    /// The changes cannot be followed: a later full read follows those from after the draw.
    pub(crate) fn fall_behind(&mut self) {
        self.is_behind |= self.has_later;
    }
}
