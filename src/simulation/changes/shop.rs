//! The shop: its items, as they are at each version, and the table in which it writes which of them have changed.

use std::collections::BTreeMap;

use crate::{
    engine::patching::rows::KeyedRow,
    listing::{Item, ItemId},
    origin::ChangeRow,
};

pub(super) const ITEMS: usize = 10;
pub(super) const FAMILIES: usize = 4;
/// Streams of each family.
pub(super) const SORTS: usize = 2;

/// An item, by its number.
pub(super) type Number = usize;

pub(super) fn id_of(item: Number) -> ItemId {
    ItemId::from_integer(item as i64)
}

pub(super) fn number_of(id: &ItemId) -> Number {
    id.as_str().parse().unwrap()
}

/// What the shop's database holds now.
pub(super) struct Shop {
    seed: u64,
    /// How often each item has changed.
    pub versions: [u64; ITEMS],
    /// Rows that are not deleted, each with the time since which it is there.
    pub outbox: BTreeMap<i64, (ChangeRow, u64)>,
    rows_written: i64,
}

impl Shop {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            versions: [1; ITEMS],
            outbox: BTreeMap::new(),
            rows_written: 0,
        }
    }

    /// Writes that an item has changed, in the transaction that changes it.
    pub(super) fn write_row(&mut self, item: Number, now: u64) {
        self.rows_written += 1;
        let row = ChangeRow {
            number: self.rows_written,
            id: id_of(item).as_str().to_owned(),
        };
        self.outbox.insert(row.number, (row, now));
    }

    /// An item's rows in a stream: none, one or two, as its version has them. Some versions differ in nothing.
    pub(super) fn rows(&self, family: usize, sort: usize, item: Number, version: u64) -> Vec<KeyedRow> {
        let mix = |parts: [u64; 3]| {
            let mixed = parts.iter().fold(self.seed, |mixed, part| {
                (mixed ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
            });
            fastrand::Rng::with_seed(mixed)
        };
        let mut shared = mix([family as u64, item as u64, version]);
        let (many, text) = (shared.u32(..20), shared.u32(..3));
        let many = match many {
            0..8 => 0,
            8..18 => 1,
            _ => 2,
        };
        let mut places = mix([family as u64 + 100 * (sort as u64 + 1), item as u64, version]);
        let mut rows: Vec<KeyedRow> = (0..many)
            .map(|_| {
                // The id comes last in a key.
                let key = vec![places.u8(..6), item as u8];
                let json = format!("\"{family}.{sort}.{item}.{text}.{}\"", key[0]);
                (
                    key,
                    Item {
                        id: id_of(item),
                        json: json.into_bytes().into(),
                    },
                )
            })
            .collect();
        rows.sort_by(|(left, _), (right, _)| left.cmp(right));
        rows
    }
}
