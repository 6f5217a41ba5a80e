//! Cursors: an opaque place in one generation of one listing, as it stands in links.
//!
//! It carries total and chunk_len besides the place, so that following a link costs one trip to Redis. The check sum
//! covers the whole listing key: a cursor of another listing or sort is told from a good one. It is no signature;
//! a forged cursor leads to a page of items that are public anyway, or to an error.

use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{generation::Generation, key::ListingKey, order::Order};

/// A place in one generation of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The snapshot that the link's page came from.
    pub generation: Generation,
    /// Items before the page.
    pub offset: u64,
    /// Items a page.
    pub limit: NonZeroU32,
    /// The page's order.
    pub order: Order,
    /// Items of the generation.
    pub total: u64,
    /// Items a chunk of the generation.
    pub chunk_len: NonZeroU32,
}

/// Why a text is not a cursor of this listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCursor {
    /// Not what [`Cursor::encode`] writes.
    #[error("not a cursor; take one from a page's links")]
    Malformed,
    /// The check sum is of another listing, sort or variant.
    #[error("a cursor of another listing or sort")]
    OtherListing,
}

/// Raised when the shape below changes: cursors of an older shape are then malformed, and say so.
const VERSION: u8 = 1;
const BYTES: usize = 1 + 8 + 4 + 8 + 4 + 1 + 8 + 4 + 4;
const CHECK_SUM_AT: usize = BYTES - 4;

impl Cursor {
    /// The greatest place in a listing: every reader of JSON takes it as it is written, and it comes back in the body.
    pub const PLACE_MAX: u64 = (1 << 53) - 1;

    /// The cursor's text: base64url without padding, 56 characters.
    pub fn encode(&self, key: &ListingKey) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.push(VERSION);
        bytes.extend(self.generation.id.to_be_bytes());
        bytes.extend(self.generation.nonce.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(self.limit.get().to_be_bytes());
        bytes.push(u8::from(self.order == Order::Desc));
        bytes.extend(self.total.to_be_bytes());
        bytes.extend(self.chunk_len.get().to_be_bytes());
        bytes.extend(check_sum(&bytes, key).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote for the same listing.
    pub fn decode(text: &str, key: &ListingKey) -> Result<Self, InvalidCursor> {
        // The length first: no more is decoded than a cursor can have.
        if text.len() != BYTES.div_ceil(3) * 4 {
            return Err(InvalidCursor::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor::Malformed)?;
        let bytes: &[u8; BYTES] = bytes.as_slice().try_into().map_err(|_| InvalidCursor::Malformed)?;
        let cursor = Self::from_bytes(bytes).ok_or(InvalidCursor::Malformed)?;
        let given = u32_at(bytes, CHECK_SUM_AT);
        if given != check_sum(&bytes[..CHECK_SUM_AT], key) {
            return Err(InvalidCursor::OtherListing);
        }
        Ok(cursor)
    }

    /// The claims of a text, before its check sum is read: which stream of a sort it is of must be known before
    /// [`Cursor::decode`] can check it.
    pub fn claimed(text: &str) -> Option<Self> {
        if text.len() != BYTES.div_ceil(3) * 4 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let bytes: &[u8; BYTES] = bytes.as_slice().try_into().ok()?;
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: &[u8; BYTES]) -> Option<Self> {
        let order = match bytes[25] {
            0 => Order::Asc,
            1 => Order::Desc,
            _ => return None,
        };
        let id = u64_at(bytes, 1);
        let (offset, total) = (u64_at(bytes, 13), u64_at(bytes, 26));
        let valid =
            bytes[0] == VERSION && (1..=Generation::ID_MAX).contains(&id) && offset.max(total) <= Self::PLACE_MAX;
        valid.then_some(Self {
            generation: Generation {
                id,
                nonce: u32_at(bytes, 9),
            },
            offset,
            limit: NonZeroU32::new(u32_at(bytes, 21))?,
            order,
            total,
            chunk_len: NonZeroU32::new(u32_at(bytes, 34))?,
        })
    }
}

fn u32_at(bytes: &[u8; BYTES], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))
}

fn check_sum(bytes: &[u8], key: &ListingKey) -> u32 {
    // The listing's hash seeds that of the bytes: both must agree.
    let listing = xxh3_64_with_seed(key.to_string().as_bytes(), u64::from(VERSION));
    xxh3_64_with_seed(bytes, listing) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> ListingKey {
        ListingKey::parse(text).unwrap()
    }

    fn cursor() -> Cursor {
        Cursor {
            generation: "1795291200123456-9f1c02ab".parse().unwrap(),
            offset: 24,
            limit: NonZeroU32::new(24).unwrap(),
            order: Order::Desc,
            total: 1434,
            chunk_len: NonZeroU32::new(12).unwrap(),
        }
    }

    #[test]
    fn a_cursor_is_read_back_for_its_own_listing_only() {
        let text = cursor().encode(&key("a/price"));
        assert_eq!(Cursor::decode(&text, &key("a/price")), Ok(cursor()));
        assert_eq!(Cursor::claimed(&text), Some(cursor()));
        for other in ["a/name", "b/price", "a/price?currency=EUR", "a/price.desc"] {
            assert_eq!(
                Cursor::decode(&text, &key(other)),
                Err(InvalidCursor::OtherListing),
                "{other}"
            );
        }
    }

    /// Anybody can make a cursor, and its numbers come back in bodies and links.
    #[test]
    fn a_place_has_the_bound_that_numbers_in_urls_have() {
        for (offset, total) in [
            (Cursor::PLACE_MAX + 1, 9),
            (0, Cursor::PLACE_MAX + 1),
            (u64::MAX, u64::MAX),
        ] {
            let forged = Cursor {
                offset,
                total,
                ..cursor()
            };
            let text = forged.encode(&key("a/price"));
            assert_eq!(Cursor::decode(&text, &key("a/price")), Err(InvalidCursor::Malformed));
            assert_eq!(Cursor::claimed(&text), None);
        }
        let last = Cursor {
            offset: Cursor::PLACE_MAX,
            total: Cursor::PLACE_MAX,
            ..cursor()
        };
        assert_eq!(Cursor::decode(&last.encode(&key("a/price")), &key("a/price")), Ok(last));
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_or_refused(text in "[A-Za-z0-9_=-]{0,80}") {
            let _ = Cursor::decode(&text, &key("a/price"));
        }

        /// A flipped bit anywhere is noticed.
        #[test]
        fn a_damaged_cursor_is_refused(at in 0usize..56, replacement in "[A-Za-z0-9_-]") {
            let text = cursor().encode(&key("a/price"));
            let mut damaged = text.clone();
            damaged.replace_range(at..at + 1, &replacement);
            prop_assert_eq!(damaged == text, Cursor::decode(&damaged, &key("a/price")).is_ok());
        }
    }
}
