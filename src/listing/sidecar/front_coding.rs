//! Front coding: of each key only the bytes that the key before it does not begin with.
//!
//! ```text
//! 01  one byte for the format
//! for each key: bytes shared with the key before, bytes that follow   (LEB128)
//! for each key: the bytes that follow
//! ```
//! Neighbours of a sorted stream share most of their bytes. Numbers and bytes stand apart, for so they pack better; the first key of a segment
//! shares nothing, so each segment is read by itself.

use std::ops::Range;

/// The longest key. Texts of a sort are names; a stream with longer keys has none.
pub const KEY_BYTES_MAX: usize = 2048;

/// The only format so far.
const FORMAT: u8 = 1;

/// A segment that this version did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a segment of a sidecar is unreadable: {0}")]
pub struct Unreadable(pub(super) &'static str);

/// The keys of the segment that is not full yet.
#[derive(Debug, Default)]
pub(super) struct KeyEncoder {
    lengths: Vec<u8>,
    rests: Vec<u8>,
    last: Vec<u8>,
}

impl KeyEncoder {
    pub(super) fn push(&mut self, key: &[u8]) {
        let same = self.last.iter().zip(key).take_while(|(last, next)| last == next);
        let shared = same.count();
        let rest = &key[shared..];
        put_number(&mut self.lengths, shared);
        put_number(&mut self.lengths, rest.len());
        self.rests.extend_from_slice(rest);
        self.last.truncate(shared);
        self.last.extend_from_slice(rest);
    }

    /// The segment; the next key begins another one.
    pub(super) fn end_segment(&mut self) -> Vec<u8> {
        let mut segment = Vec::with_capacity(1 + self.lengths.len() + self.rests.len());
        segment.push(FORMAT);
        segment.append(&mut self.lengths);
        segment.append(&mut self.rests);
        self.last.clear();
        segment
    }
}

/// The keys of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodedKeys {
    bytes: Vec<u8>,
    /// Where each key ends.
    ends: Vec<usize>,
}

impl DecodedKeys {
    /// How many they are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The key at a place of the segment.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        self.bytes.get(self.start(at)..end)
    }

    /// All keys in their order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// The places of the keys that are equal to this one; where there are none, the empty range at the place where it belongs.
    pub fn places_of(&self, key: &[u8]) -> Range<usize> {
        let first_that = |is_behind: &dyn Fn(&[u8]) -> bool| {
            let (mut from, mut to) = (0, self.len());
            while from < to {
                let middle = from.midpoint(to);
                if self.get(middle).is_some_and(is_behind) {
                    to = middle;
                } else {
                    from = middle + 1;
                }
            }
            from
        };
        first_that(&|other| other >= key)..first_that(&|other| other > key)
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .map_or(0, |end| *end)
    }
}

/// The keys of a segment that must have so many.
///
/// Memory is bounded by the bytes that came: a key has two of them at least, is no longer than [`KEY_BYTES_MAX`], and nothing is allocated for a
/// length before the bytes behind it were counted.
pub fn decode_keys(segment: &[u8], items: u64) -> Result<DecodedKeys, Unreadable> {
    let mut lengths = match segment.split_first() {
        Some((&FORMAT, rest)) => rest,
        _ => return Err(Unreadable("keys of an unknown format")),
    };
    // The lengths are read twice: first to find their end.
    let mut rests = lengths;
    let mut following = 0_usize;
    for _ in 0..items {
        take_number(&mut rests)?;
        following += take_number(&mut rests)?;
    }
    if rests.len() != following {
        return Err(Unreadable("keys of other lengths"));
    }
    let mut keys = DecodedKeys::default();
    let mut last = 0..0;
    for _ in 0..items {
        let (shared, rest) = (take_number(&mut lengths)?, take_number(&mut lengths)?);
        if shared > last.len() || shared + rest > KEY_BYTES_MAX {
            return Err(Unreadable("a key that is too long"));
        }
        let (rest, behind) = rests
            .split_at_checked(rest)
            .ok_or(Unreadable("keys of other lengths"))?;
        rests = behind;
        let start = keys.bytes.len();
        keys.bytes.extend_from_within(last.start..last.start + shared);
        keys.bytes.extend_from_slice(rest);
        if keys.bytes[start..] < keys.bytes[last] {
            return Err(Unreadable("keys that are not in order"));
        }
        last = start..keys.bytes.len();
        keys.ends.push(last.end);
    }
    Ok(keys)
}

fn put_number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// A number of at most two bytes: [`KEY_BYTES_MAX`] has no more.
fn take_number(from: &mut &[u8]) -> Result<usize, Unreadable> {
    let (number, rest) = match **from {
        [low, ..] if low < 0x80 => (usize::from(low), 1),
        [low, high, ..] if high < 0x80 => (usize::from(low & 0x7F) | usize::from(high) << 7, 2),
        _ => return Err(Unreadable("keys that end too soon")),
    };
    *from = &from[rest..];
    Ok(number)
}
