//! The columns of a whole stream in memory: a hash of each item's id, and its sort key.

use std::num::NonZeroU32;

use super::{
    columns::{IdHash, decode_ids},
    front_coding::{DecodedKeys, Unreadable, decode_keys},
    segments::Segments,
};

/// Hashes and keys by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamColumns {
    ids: Vec<IdHash>,
    /// A segment after the other; `None` where the stream has no keys.
    keys: Option<Vec<DecodedKeys>>,
    items_each: u64,
}

impl StreamColumns {
    /// Decodes the segments of a stream with so many items.
    ///
    /// # Errors
    /// A segment is not as it was written.
    pub fn decode(
        chunk_len: NonZeroU32,
        total: u64,
        ids: &[Vec<u8>],
        keys: Option<&[Vec<u8>]>,
    ) -> Result<Self, Unreadable> {
        let segments = Segments::new(chunk_len);
        let lengths = || {
            segments.firsts(total).map(|first| {
                let positions = segments.positions(first, total);
                positions.end - positions.start
            })
        };
        let mut hashes = Vec::new();
        for (segment, items) in ids.iter().zip(lengths()) {
            hashes.extend(decode_ids(segment, items)?);
        }
        let keys = keys.map(|keys| {
            let decoded = keys.iter().zip(lengths());
            decoded.map(|(segment, items)| decode_keys(segment, items)).collect()
        });
        let columns = Self {
            ids: hashes,
            keys: keys.transpose()?,
            items_each: segments.items_each(),
        };
        let keyed = columns
            .keys
            .as_ref()
            .map(|keys| keys.iter().map(DecodedKeys::len).sum::<usize>());
        match columns.total() == total && keyed.is_none_or(|keyed| keyed as u64 == total) {
            true => Ok(columns),
            false => Err(Unreadable("segments are missing")),
        }
    }

    /// Items of the stream.
    pub fn total(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Whether all items have keys.
    pub fn has_keys(&self) -> bool {
        self.keys.is_some()
    }

    /// The hashes by position.
    pub fn ids(&self) -> &[IdHash] {
        &self.ids
    }

    /// The hash and the key of the item at a position.
    pub fn get(&self, position: u64) -> Option<(IdHash, Option<&[u8]>)> {
        let id = *self.ids.get(usize::try_from(position).ok()?)?;
        let key = match &self.keys {
            None => None,
            Some(keys) => {
                let segment = keys.get(usize::try_from(position / self.items_each).ok()?)?;
                Some(segment.get(usize::try_from(position % self.items_each).ok()?)?)
            }
        };
        Some((id, key))
    }

    /// The first position whose key is not smaller: an item with this key belongs before it.
    pub fn place_of(&self, key: &[u8]) -> u64 {
        let Some(keys) = &self.keys else { return self.total() };
        let is_before = |segment: &DecodedKeys| {
            let last = segment.len().checked_sub(1).and_then(|last| segment.get(last));
            last.is_some_and(|last| last < key)
        };
        let at = keys.partition_point(is_before);
        let within = keys.get(at).map_or(0, |segment| segment.places_of(key).start);
        (at as u64 * self.items_each + within as u64).min(self.total())
    }
}

#[cfg(test)]
impl StreamColumns {
    /// Of items with these keys, and any ids.
    pub(crate) fn of(chunk_len: NonZeroU32, keys: &[impl AsRef<[u8]>]) -> Self {
        use crate::listing::item::ItemId;
        let ids: Vec<ItemId> = (0..).map(ItemId::from_integer).take(keys.len()).collect();
        Self::of_items(chunk_len, ids.iter().zip(keys.iter().map(AsRef::as_ref)))
    }

    /// Of items with these ids and keys.
    pub(crate) fn of_items<'i>(
        chunk_len: NonZeroU32,
        items: impl ExactSizeIterator<Item = (&'i crate::listing::item::ItemId, &'i [u8])>,
    ) -> Self {
        use super::{columns::ColumnEncoder, segments::Column};
        let (total, mut encoder) = (items.len() as u64, ColumnEncoder::new(Segments::new(chunk_len)));
        for (id, key) in items {
            encoder.push(id, Some(key));
        }
        let end = encoder.finish();
        let of = |column: Column| -> Vec<Vec<u8>> {
            let segments = end.segments.iter().filter(|segment| segment.column == column);
            segments.map(|segment| segment.bytes.clone()).collect()
        };
        let (ids, keys_of) = (of(Column::Ids), of(Column::Keys));
        Self::decode(chunk_len, total, &ids, Some(&keys_of)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_in_any_segment() {
        let keys: Vec<[u8; 2]> = (0..700_u16).map(|number| (2 * number).to_be_bytes()).collect();
        let columns = StreamColumns::of(NonZeroU32::new(12).unwrap(), &keys);
        assert_eq!(columns.total(), 700);
        for number in 0..1400_u16 {
            let place = u64::from(number.div_ceil(2));
            assert_eq!(columns.place_of(&number.to_be_bytes()), place, "{number}");
            assert_eq!(
                columns.get(place).and_then(|(_, key)| key),
                keys.get(place as usize).map(|key| &key[..])
            );
        }
        assert_eq!(columns.place_of(&[255, 255]), 700);
    }

    #[test]
    fn a_segment_too_few_is_unreadable() {
        let chunk_len = NonZeroU32::new(12).unwrap();
        assert!(StreamColumns::decode(chunk_len, 3, &[], None).is_err());
        assert!(StreamColumns::decode(chunk_len, 0, &[], Some(&[])).is_ok());
        assert!(StreamColumns::decode(chunk_len, 1, &[vec![0; 4]], Some(&[])).is_err());
    }
}
