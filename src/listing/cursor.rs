//! Cursors: an opaque place in one generation of one listing, as it stands in links.
//!
//! It carries total and chunk_len besides the place, so that following a link costs one trip to Redis. The check sum
//! covers the whole listing key: a cursor of another listing or sort is told from a good one. It is no signature;
//! a forged cursor leads to a page of items that are public anyway, or to an error.
//!
//! A cursor into the matches of filters (version 2) counts its place among them, and carries a hash of the filters: total and chunk_len are
//! those of the generation. Without filters it is of version 1.

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
    /// The hash of the filters whose matches the place is among; 0 without filters.
    pub filters: u64,
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
    /// It is of other filters than those beside it, or of none.
    #[error("a cursor of other filters: they stay in the URL beside it, as they are in the page's links")]
    OtherFilters,
}

/// The version without filters. One is raised when its shape changes: cursors of an older shape are then malformed, and say so.
const PLAIN: u8 = 1;
/// The version with filters.
const FILTERED: u8 = 2;
/// Version, generation, offset, limit, order, total, chunk_len.
const PLAIN_BYTES: usize = 1 + 8 + 4 + 8 + 4 + 1 + 8 + 4;
const FILTERED_BYTES: usize = PLAIN_BYTES + 8;
const CHECK_SUM_BYTES: usize = 4;

impl Cursor {
    /// The greatest place in a listing: every reader of JSON takes it as it is written, and it comes back in the body.
    pub const PLACE_MAX: u64 = (1 << 53) - 1;

    /// The cursor's text: base64url without padding, 56 characters, or 67 with filters.
    pub fn encode(&self, key: &ListingKey) -> String {
        let mut bytes = Vec::with_capacity(FILTERED_BYTES + CHECK_SUM_BYTES);
        bytes.push(if self.filters == 0 { PLAIN } else { FILTERED });
        bytes.extend(self.generation.id.to_be_bytes());
        bytes.extend(self.generation.nonce.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(self.limit.get().to_be_bytes());
        bytes.push(u8::from(self.order == Order::Desc));
        bytes.extend(self.total.to_be_bytes());
        bytes.extend(self.chunk_len.get().to_be_bytes());
        if self.filters != 0 {
            bytes.extend(self.filters.to_be_bytes());
        }
        bytes.extend(check_sum(&bytes, key).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what [`Cursor::encode`] wrote for the same listing and the same filters, by their hash, 0 without any.
    pub fn decode(text: &str, key: &ListingKey, filters: u64) -> Result<Self, InvalidCursor> {
        let bytes = decoded(text).ok_or(InvalidCursor::Malformed)?;
        let (said, sum) = bytes.split_last_chunk().ok_or(InvalidCursor::Malformed)?;
        let cursor = Self::from_bytes(said).ok_or(InvalidCursor::Malformed)?;
        if u32::from_be_bytes(*sum) != check_sum(said, key) {
            return Err(InvalidCursor::OtherListing);
        }
        if cursor.filters != filters {
            return Err(InvalidCursor::OtherFilters);
        }
        Ok(cursor)
    }

    /// The claims of a text, before its check sum is read: which stream of a sort it is of must be known before
    /// [`Cursor::decode`] can check it.
    pub fn claimed(text: &str) -> Option<Self> {
        let bytes = decoded(text)?;
        let (said, _) = bytes.split_last_chunk::<CHECK_SUM_BYTES>()?;
        Self::from_bytes(said)
    }

    fn from_bytes(said: &[u8]) -> Option<Self> {
        let filters = match (said.first()?, said.len()) {
            (&PLAIN, PLAIN_BYTES) => 0,
            // A hash is never 0.
            (&FILTERED, FILTERED_BYTES) => Some(u64_at(said, PLAIN_BYTES)?).filter(|hash| *hash != 0)?,
            _ => return None,
        };
        let order = match said.get(25)? {
            0 => Order::Asc,
            1 => Order::Desc,
            _ => return None,
        };
        let id = u64_at(said, 1)?;
        let (offset, total) = (u64_at(said, 13)?, u64_at(said, 26)?);
        let valid = (1..=Generation::ID_MAX).contains(&id) && offset.max(total) <= Self::PLACE_MAX;
        valid.then_some(Self {
            generation: Generation {
                id,
                nonce: u32_at(said, 9)?,
            },
            offset,
            limit: NonZeroU32::new(u32_at(said, 21)?)?,
            order,
            total,
            chunk_len: NonZeroU32::new(u32_at(said, 34)?)?,
            filters,
        })
    }
}

/// The bytes of a text that may be a cursor. The length first: no more is decoded than a cursor can have.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let may_be = [PLAIN_BYTES, FILTERED_BYTES].map(|bytes| ((bytes + CHECK_SUM_BYTES) * 4).div_ceil(3));
    may_be
        .contains(&text.len())
        .then(|| URL_SAFE_NO_PAD.decode(text).ok())?
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

fn check_sum(said: &[u8], key: &ListingKey) -> u32 {
    // The listing's hash seeds that of the bytes: both must agree.
    let version = said.first().copied().unwrap_or_default();
    let listing = xxh3_64_with_seed(key.to_string().as_bytes(), version.into());
    xxh3_64_with_seed(said, listing) as u32
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
            filters: 0,
        }
    }

    fn filtered() -> Cursor {
        Cursor { filters: 7, ..cursor() }
    }

    #[test]
    fn a_cursor_is_read_back_for_its_own_listing_only() {
        let text = cursor().encode(&key("a/price"));
        assert_eq!(Cursor::decode(&text, &key("a/price"), 0), Ok(cursor()));
        assert_eq!(Cursor::claimed(&text), Some(cursor()));
        for other in ["a/name", "b/price", "a/price?currency=EUR", "a/price.desc"] {
            assert_eq!(
                Cursor::decode(&text, &key(other), 0),
                Err(InvalidCursor::OtherListing),
                "{other}"
            );
        }
    }

    /// As one that an earlier release wrote.
    #[test]
    fn a_cursor_without_filters_is_of_the_first_version() {
        let text = cursor().encode(&key("a/price"));
        assert_eq!((text.len(), URL_SAFE_NO_PAD.decode(&text).unwrap()[0]), (56, 1));
        assert_eq!(text, "AQAGYM7OQHJAnxwCqwAAAAAAAAAYAAAAGAEAAAAAAAAFmgAAAAyJUAs9");
    }

    #[test]
    fn a_cursor_is_read_back_beside_its_own_filters_only() {
        let text = filtered().encode(&key("a/price"));
        assert_eq!(text.len(), 67);
        assert_eq!(Cursor::decode(&text, &key("a/price"), 7), Ok(filtered()));
        assert_eq!(Cursor::claimed(&text), Some(filtered()));
        let plain = cursor().encode(&key("a/price"));
        for (text, filters) in [(&text, 0), (&text, 8), (&plain, 7)] {
            assert_eq!(
                Cursor::decode(text, &key("a/price"), filters),
                Err(InvalidCursor::OtherFilters)
            );
        }
        assert_eq!(
            Cursor::decode(&text, &key("a/name"), 7),
            Err(InvalidCursor::OtherListing)
        );
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
            assert_eq!(Cursor::decode(&text, &key("a/price"), 0), Err(InvalidCursor::Malformed));
            assert_eq!(Cursor::claimed(&text), None);
        }
        let last = Cursor {
            offset: Cursor::PLACE_MAX,
            total: Cursor::PLACE_MAX,
            ..cursor()
        };
        assert_eq!(
            Cursor::decode(&last.encode(&key("a/price")), &key("a/price"), 0),
            Ok(last)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_or_refused(text in "[A-Za-z0-9_=-]{0,80}") {
            let _ = Cursor::decode(&text, &key("a/price"), 0);
        }

        /// A flipped bit anywhere is noticed.
        #[test]
        fn a_damaged_cursor_is_refused(at in 0usize..67, replacement in "[A-Za-z0-9_-]") {
            for (cursor, filters) in [(cursor(), 0), (filtered(), 7)] {
                let text = cursor.encode(&key("a/price"));
                let mut damaged = text.clone();
                let at = at.min(text.len() - 1);
                damaged.replace_range(at..at + 1, &replacement);
                prop_assert_eq!(damaged == text, Cursor::decode(&damaged, &key("a/price"), filters).is_ok());
            }
        }
    }
}
