//! Sorts that a definition declares.

use crate::listing::{
    field::Field,
    key::{SortName, StoredSort},
    order::Order,
    window::Direction,
};

/// A declared sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Its name in URLs and keys.
    pub name: SortName,
    /// Columns of the item, most significant first. The id is always added last; nulls come last.
    pub by: Vec<SortColumn>,
    /// The meaning of `desc`.
    pub desc: Descending,
}

/// One column of a sort.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortColumn {
    /// The column or member.
    pub column: Field,
    /// Greatest first. Nulls come last even so.
    pub descending: bool,
}

/// The descending order of a sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Descending {
    /// The ascending stream backwards.
    Mirrored,
    /// A stream of its own, by these columns.
    Own(Vec<SortColumn>),
    /// There is none: asking for it is an error.
    Refused,
}

impl Sort {
    /// Which stream serves an order of this sort, and which way it is read; `None` where the order is refused.
    pub fn stream(&self, order: Order) -> Option<(StoredSort, Direction)> {
        let own_desc = match (order, &self.desc) {
            (Order::Asc, _) => (false, Direction::Forward),
            (Order::Desc, Descending::Mirrored) => (false, Direction::Reverse),
            (Order::Desc, Descending::Own(_)) => (true, Direction::Forward),
            (Order::Desc, Descending::Refused) => return None,
        };
        let stored = StoredSort {
            sort: self.name.clone(),
            own_desc: own_desc.0,
        };
        Some((stored, own_desc.1))
    }
}
