//! What a client asks for: an order, and a place in the listing.

use std::num::NonZeroU32;

use super::{cursor::Cursor, generation::Generation};

/// The order of a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// As the definition declares the sort.
    #[default]
    Asc,
    /// The other way round, as the definition says.
    Desc,
}

impl Order {
    /// `asc` or `desc`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

/// Where in a listing, and of which generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// So many items from an offset on, of the current generation or of a pinned one.
    Offset {
        /// Items before the page.
        offset: u64,
        /// Items a page.
        limit: NonZeroU32,
        /// The snapshot asked for, if not the current one.
        pinned: Option<Generation>,
    },
    /// A link followed.
    Cursor(Cursor),
}
