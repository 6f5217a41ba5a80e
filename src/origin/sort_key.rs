//! Sort keys: an item's place in a stream as bytes. Comparing two keys byte by byte is comparing the items by
//! [`ordering`](super::ordering).
//!
//! A key is made of the values of the sort's columns, in their order, and of the id. So two items have one key only where the
//! stream's order knows no difference between them either: rows of one id, equal in all columns.
//!
//! # Which streams have keys
//!
//! Every origin sorts as [`ordering`](super::ordering) does: numbers by their values, texts by their bytes, nulls last. Files and
//! APIs are sorted by it, databases are told to: no collation of theirs takes part (`Dialect::sorted`). There is no
//! key, and so no column of keys for the stream, where
//!
//! - a column, or the id, is of a type of PostgreSQL with an order of its own: sums of money, spans of time, ranges, addresses. Its
//!   places are known within one read only ([`SortValue::Rank`]);
//! - a key would be longer than [`KEY_BYTES_MAX`](crate::listing::sidecar::KEY_BYTES_MAX).
//!
//! A server that sorts otherwise than it was told is noticed too, when the stream is written: MySQL, for example, may compare no more
//! than the first `max_sort_length` bytes of long texts. Then a key is smaller than the one before it, and the stream has no keys
//! ([`NoKeys`](crate::listing::sidecar::NoKeys)).
//!
//! # Bytes
//!
//! Each value begins with a byte for its kind. In this order:
//!
//! | value | bytes |
//! |---|---|
//! | −∞ | `10` |
//! | negative number | as the positive one, its bytes inverted, its kind `11` to `1A` |
//! | number below 2⁶⁴ | `20` + n, n bytes of the whole part (big-endian, n least), fraction, `00` |
//! | greater number | `29`, how many digits its whole part has (4 bytes), the digits, fraction, `00` |
//! | +∞, NaN | `2A`, `2B` |
//! | text | `30`, its bytes with `00` as `00 FF`, `00` |
//! | null | `F8` |
//!
//! A fraction is a byte for each two digits, 1 more than their number. So an integer costs 2 bytes more than it has, one number has
//! one form whether it came as an integer, a real or a decimal, and no number of digits is too large.
//! A descending column has its bytes inverted, but for nulls, which stay last. No value's bytes begin with those of another value,
//! so columns can follow each other.
//!
//! The id comes last, ascending. It leaves out what follows a positive integer or a text, since nothing follows. An id that is a number in an
//! unusual spelling (`007`, which `as = "number"` allows) has the length and the bytes of its text behind its number.

use std::{ops::Range, slice, vec};

use super::{OriginItem, SortValue, decimal};
use crate::listing::{Field, definition::SortColumn, sidecar::Keyed};

const NEGATIVE_INFINITY: u8 = 0x10;
const POSITIVE: u8 = 0x20;
/// The kind of a number is this plus the bytes of its whole part.
const BYTES_MAX: u8 = 8;
const INFINITY: u8 = 0x2A;
const NAN: u8 = 0x2B;
const TEXT: u8 = 0x30;
const NULL: u8 = 0xF8;
/// Inverted, the kinds of positive numbers end up above those of negative ones: this brings them below.
const NEGATIVE: u8 = 0xC5;

/// How a value ends; inside a text it is followed by [`INSIDE`], which is no value's kind.
const END: u8 = 0;
const INSIDE: u8 = 0xFF;

/// Makes the keys of one stream.
#[derive(Clone, Debug)]
pub struct SortKeys {
    /// Where in the item's keys each column's value stands, and whether it is descending; none where a column is not there.
    by: Option<Vec<(usize, bool)>>,
}

impl SortKeys {
    /// For items that carry the values of `columns`, in a stream sorted so.
    pub fn of_columns(columns: &[Field], by: &[SortColumn]) -> Self {
        let by = by.iter().map(|sort| {
            let at = columns.iter().position(|column| *column == sort.column)?;
            Some((at, sort.descending))
        });
        Self { by: by.collect() }
    }

    /// For items that were [read in this order](super::ReadOrder::By).
    pub fn of_order(by: &[SortColumn]) -> Self {
        let by = by.iter().enumerate().map(|(at, sort)| (at, sort.descending));
        Self { by: Some(by.collect()) }
    }

    /// Writes an item's key behind what is there already, or nothing where it has none. The bytes written, or `None`.
    pub fn write<'k>(&self, item: &OriginItem, to: &'k mut Vec<u8>) -> Option<&'k [u8]> {
        let start = to.len();
        match self.try_write(item, to) {
            Some(()) => to.get(start..),
            None => {
                to.truncate(start);
                None
            }
        }
    }

    fn try_write(&self, item: &OriginItem, to: &mut Vec<u8>) -> Option<()> {
        for (at, descending) in self.by.as_ref()? {
            let value = item.keys.get(*at)?;
            let start = to.len();
            write_value(to, value)?;
            if *descending && !matches!(value, SortValue::Null) {
                invert(to, start);
            }
        }
        write_id(to, &item.id, item.item.id.as_str())
    }
}

/// The keys of a batch of items, in memory that the next batch uses again.
#[derive(Debug, Default)]
pub struct BatchKeys {
    bytes: Vec<u8>,
    places: Vec<Option<Range<usize>>>,
}

impl BatchKeys {
    /// Replaces what is there with the keys of these items.
    pub fn replace(&mut self, keys: &SortKeys, items: &[OriginItem]) {
        self.bytes.clear();
        self.places.clear();
        for item in items {
            let start = self.bytes.len();
            let place = keys.write(item, &mut self.bytes).map(|key| start..start + key.len());
            self.places.push(place);
        }
    }

    /// The same items, each with its key.
    pub fn join(&self, items: Vec<OriginItem>) -> KeyedItems<'_> {
        KeyedItems {
            items: items.into_iter(),
            places: self.places.iter(),
            bytes: &self.bytes,
        }
    }
}

/// Items with their keys. A type by name: the compiler does not find a future that holds closures over such lifetimes to be `Send`.
#[derive(Debug)]
pub struct KeyedItems<'k> {
    items: vec::IntoIter<OriginItem>,
    places: slice::Iter<'k, Option<Range<usize>>>,
    bytes: &'k [u8],
}

impl<'k> Iterator for KeyedItems<'k> {
    type Item = Keyed<'k>;

    fn next(&mut self) -> Option<Keyed<'k>> {
        let item = self.items.next()?.item;
        let place = self.places.next().and_then(Clone::clone);
        let key = place.and_then(|place| self.bytes.get(place));
        Some(Keyed { item, key })
    }
}

fn write_id(to: &mut Vec<u8>, id: &SortValue, spelling: &str) -> Option<()> {
    if let SortValue::Text(text) = id {
        to.push(TEXT);
        to.extend_from_slice(text.as_bytes());
        return Some(());
    }
    write_value(to, id)?;
    if is_usual(id, spelling) {
        if to.last() == Some(&END) {
            to.pop();
        }
    } else {
        to.extend_from_slice(&u16::try_from(spelling.len()).ok()?.to_be_bytes());
        to.extend_from_slice(spelling.as_bytes());
    }
    Some(())
}

/// Whether a number is written as it usually is: of all its spellings that is the shortest one.
fn is_usual(number: &SortValue, spelling: &str) -> bool {
    let digits = spelling.strip_prefix('-').unwrap_or(spelling);
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    match number {
        SortValue::Integer(0) => spelling == "0",
        SortValue::Integer(_) | SortValue::Decimal(_) => all_digits && !digits.starts_with('0'),
        _ => false,
    }
}

fn write_value(to: &mut Vec<u8>, value: &SortValue) -> Option<()> {
    match value {
        SortValue::Null => to.push(NULL),
        SortValue::Integer(number) => {
            let start = to.len();
            write_whole(to, number.unsigned_abs());
            to.push(END);
            negate(to, start, *number < 0);
        }
        SortValue::Real(number) if number.is_finite() => write_digits(to, &decimal::digits_of(*number))?,
        SortValue::Real(number) if number.is_nan() => to.push(NAN),
        SortValue::Real(number) if *number > 0.0 => to.push(INFINITY),
        SortValue::Real(_) => to.push(NEGATIVE_INFINITY),
        SortValue::Decimal(digits) => write_digits(to, digits)?,
        SortValue::Text(text) => {
            to.push(TEXT);
            for byte in text.bytes() {
                to.push(byte);
                if byte == END {
                    to.push(INSIDE);
                }
            }
            to.push(END);
        }
        SortValue::Rank(_) => return None,
    }
    Some(())
}

/// The kind and the whole part of a positive number.
fn write_whole(to: &mut Vec<u8>, number: u64) {
    let unused = (number.leading_zeros() / 8) as u8;
    to.push(POSITIVE + BYTES_MAX - unused);
    to.extend_from_slice(&number.to_be_bytes()[unused.into()..]);
}

fn write_digits(to: &mut Vec<u8>, digits: &str) -> Option<()> {
    let parts = decimal::parts(digits);
    let start = to.len();
    match parts.whole {
        "" => write_whole(to, 0),
        whole => match whole.parse() {
            Ok(number) => write_whole(to, number),
            Err(_) => {
                to.push(POSITIVE + BYTES_MAX + 1);
                to.extend_from_slice(&u32::try_from(whole.len()).ok()?.to_be_bytes());
                to.extend_from_slice(whole.as_bytes());
            }
        },
    }
    for pair in parts.fraction.as_bytes().chunks(2) {
        let digit = |at: usize| pair.get(at).map_or(0, |digit| digit.wrapping_sub(b'0'));
        to.push(digit(0).wrapping_mul(10).wrapping_add(digit(1)).wrapping_add(1));
    }
    to.push(END);
    negate(to, start, parts.negative);
    Some(())
}

fn negate(to: &mut [u8], start: usize, is_negative: bool) {
    if is_negative {
        invert(to, start);
        if let Some(kind) = to.get_mut(start) {
            *kind -= NEGATIVE;
        }
    }
}

fn invert(to: &mut [u8], start: usize) {
    for byte in to.iter_mut().skip(start) {
        *byte = !*byte;
    }
}

#[cfg(test)]
mod tests;
