//! The plain form of a chunk: how many items, their lengths, their ids, their JSON.

use bytes::Bytes;

use crate::listing::{Chunk, Item, ItemId};

/// The most items of a packed chunk: the most that `chunk_len` allows.
pub(crate) const ITEMS_MAX: usize = 1000;

/// The fewest bytes of an item: two lengths, and an id of one byte.
const ITEM_BYTES_MIN: usize = 3;

/// Bytes that [`write`] makes of these items; `None` where a length is beyond 32 bits.
pub(super) fn size(items: &[Item]) -> Option<usize> {
    let mut size = number_bytes(u32::try_from(items.len()).ok()?);
    for Item { id, json } in items {
        let (id, json) = (id.as_str().len(), json.len());
        let lengths = number_bytes(u32::try_from(id).ok()?) + number_bytes(u32::try_from(json).ok()?);
        size = size.checked_add(id)?.checked_add(json)?.checked_add(lengths)?;
    }
    Some(size)
}

/// Writes items, whose [`size`] is bounded already.
pub(super) fn write(items: &[Item], to: &mut Vec<u8>) {
    put_number(to, items.len());
    for Item { id, json } in items {
        put_number(to, id.as_str().len());
        put_number(to, json.len());
    }
    items
        .iter()
        .for_each(|item| to.extend_from_slice(item.id.as_str().as_bytes()));
    items.iter().for_each(|item| to.extend_from_slice(&item.json));
}

/// A plain form that was looked through: lengths add up, and ids are ids. The JSON is not looked at.
#[derive(Debug)]
pub(super) struct Body<'a> {
    lengths: Lengths<'a>,
    ids: &'a str,
    json: &'a [u8],
}

impl<'a> Body<'a> {
    /// Looks through it. `Err` with the reason where [`write`] did not make it. Allocates nothing.
    pub(super) fn parse(plain: &'a [u8]) -> Result<Self, &'static str> {
        const OTHER_LENGTHS: &str = "a packed chunk whose lengths do not add up";
        let mut rest = plain;
        let items = take_number(&mut rest).ok_or(CUT_OFF)?;
        if items == 0 {
            return Err("a packed chunk without items");
        }
        if items > ITEMS_MAX || items > rest.len() / ITEM_BYTES_MIN {
            return Err("a packed chunk that says it has too many items");
        }
        let lengths = Lengths { rest, items };
        let (mut ids, mut json) = (0_usize, 0_usize);
        for _ in 0..items {
            let id = take_number(&mut rest).ok_or(CUT_OFF)?;
            if !(1..=ItemId::BYTES_MAX).contains(&id) {
                return Err(NO_ID);
            }
            ids += id;
            let length = take_number(&mut rest).ok_or(CUT_OFF)?;
            json = json.checked_add(length).ok_or(OTHER_LENGTHS)?;
        }
        if ids.checked_add(json) != Some(rest.len()) {
            return Err(OTHER_LENGTHS);
        }
        let (ids, json) = rest.split_at(ids);
        let ids = std::str::from_utf8(ids).map_err(|_| NO_ID)?;
        let body = Self { lengths, ids, json };
        // One id may not end inside a character that the next one goes on with.
        let mut end = 0;
        let are_cut_between_characters = body.lengths.clone().all(|(id, _)| {
            end += id;
            ids.is_char_boundary(end)
        });
        are_cut_between_characters.then_some(body).ok_or(NO_ID)
    }

    /// The JSON alone, as pages need it. It is copied once.
    pub(super) fn chunk(&self) -> Result<Chunk, &'static str> {
        let lengths = self.lengths.clone().map(|(_, json)| json);
        Chunk::cut(self.json, lengths).ok_or(CUT_OFF)
    }

    /// The items. They share one copy of the JSON.
    pub(super) fn items(&self) -> Result<Vec<Item>, &'static str> {
        let json = Bytes::copy_from_slice(self.json);
        let (mut id_end, mut json_end) = (0, 0);
        let items = self.lengths.clone().map(|(id, length)| {
            let (id_start, json_start) = (id_end, json_end);
            (id_end, json_end) = (id_start + id, json_start + length);
            Some(Item {
                id: ItemId::parse(self.ids.get(id_start..id_end)?)?,
                json: json.slice(json_start..json_end),
            })
        });
        items.collect::<Option<_>>().ok_or(NO_ID)
    }
}

const NO_ID: &str = "a packed chunk with an id that is none";
const CUT_OFF: &str = "a packed chunk that ends too soon";

/// The lengths of id and JSON of each item. Whether they can be read was seen before.
#[derive(Clone, Debug)]
struct Lengths<'a> {
    rest: &'a [u8],
    items: usize,
}

impl Iterator for Lengths<'_> {
    type Item = (usize, usize);

    fn next(&mut self) -> Option<Self::Item> {
        self.items = self.items.checked_sub(1)?;
        Some((take_number(&mut self.rest)?, take_number(&mut self.rest)?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.items, Some(self.items))
    }
}

impl ExactSizeIterator for Lengths<'_> {}

/// Bytes of a number: seven bits each.
fn number_bytes(number: u32) -> usize {
    let bits = u32::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// A number below 2^32, and what follows it; `None` where the bytes are none.
fn take_number(from: &mut &[u8]) -> Option<usize> {
    let mut number = 0_u64;
    for (at, byte) in from.iter().enumerate().take(5) {
        number |= u64::from(byte & 0x7F) << (7 * at);
        if *byte < 0x80 {
            *from = &from[at + 1..];
            return usize::try_from(u32::try_from(number).ok()?).ok();
        }
    }
    None
}
