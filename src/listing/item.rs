//! Items: a product id and its JSON, kept as the origin gave it.

use std::fmt;

use bytes::Bytes;

/// A product's id, as text: the field name in a stream entry. An id may repeat in a listing.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(Box<str>);

impl ItemId {
    /// The longest id, in bytes.
    pub const BYTES_MAX: usize = 256;

    /// `None` where the text is empty or longer than [`ItemId::BYTES_MAX`].
    pub fn parse(given: &str) -> Option<Self> {
        (1..=Self::BYTES_MAX).contains(&given.len()).then(|| Self(given.into()))
    }

    /// The id of a product numbered by its origin.
    pub fn from_integer(number: i64) -> Self {
        Self(number.to_string().into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// One item of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The product's id.
    pub id: ItemId,
    /// One JSON value, byte for byte the origin's; never parsed on the way out.
    pub json: Bytes,
}
