//! The items of a page, in either form: slices of chunks, or parts of a gzip member.

use std::{ops::Range, sync::Arc};

use super::chunk_cache::FragmentPlace;
use crate::listing::{Checksum, Chunk, Direction, Fragment, Run};

/// The items of a page: runs of chunks in the order they go out.
#[derive(Clone, Debug)]
pub struct PageItems {
    /// With [`Direction::Reverse`] the items of a piece go out last first.
    pub direction: Direction,
    /// Each chunk with the positions inside it. No run is empty.
    pub pieces: Vec<(Arc<Chunk>, Range<usize>)>,
}

impl PageItems {
    /// Those past the end.
    pub(crate) fn none() -> Self {
        Self {
            direction: Direction::Forward,
            pieces: Vec::new(),
        }
    }
}

/// In which form the items of a page are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Plain,
    /// Deflated, as far as they are already.
    Packed,
}

/// The items of a page as parts of a gzip member.
#[derive(Clone, Debug, Default)]
pub struct PackedItems {
    /// In the order they go out.
    pub pieces: Vec<PackedPiece>,
    /// The parts that stayed plain, to be deflated behind the request.
    pub unmade: Vec<Unmade>,
}

/// A run of items with the comma before it, where another goes before it.
#[derive(Clone, Debug)]
pub enum PackedPiece {
    /// Deflated.
    Fragment(Arc<Fragment>),
    /// Not yet, with its check sum.
    Plain(Run, Checksum),
}

impl PackedPiece {
    /// The check sum of what it is when inflated.
    pub fn sum(&self) -> Checksum {
        match self {
            Self::Fragment(fragment) => fragment.sum.text,
            Self::Plain(_, sum) => *sum,
        }
    }
}

/// A run that has no fragment yet.
#[derive(Clone, Debug)]
pub struct Unmade {
    pub(crate) place: FragmentPlace,
    pub(crate) before: Option<Run>,
    pub(crate) run: Run,
}
