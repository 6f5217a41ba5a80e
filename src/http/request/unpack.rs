//! Bodies as they were packed: plain or gzip, unpacked piece by piece.
//!
//! Whatever a body unpacks to, no more than one piece of it is in memory at a time, so that a few kilobytes that unpack
//! to gigabytes cost only the time until a limit on the unpacked size is reached.

use crate::listing::gunzip::{Gunzip, NotGzip};

/// Content codings that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyCoding {
    /// None.
    Identity,
    /// RFC 1952, of any number of members; zeros may follow.
    Gzip,
}

impl BodyCoding {
    /// The coding of a `Content-Encoding`; `None` for one that is not taken here.
    pub(crate) fn parse(given: &str) -> Option<Self> {
        let given = given.trim();
        if given.eq_ignore_ascii_case("gzip") || given.eq_ignore_ascii_case("x-gzip") {
            Some(Self::Gzip)
        } else if given.is_empty() || given.eq_ignore_ascii_case("identity") {
            Some(Self::Identity)
        } else {
            None
        }
    }
}

/// Unpacks a body as it comes in.
pub(crate) enum Unpacker {
    /// Nothing to do.
    Identity,
    /// With the decoder's state.
    Gzip(Gunzip),
}

impl Unpacker {
    /// An unpacker at the beginning of a body.
    pub(crate) fn new(coding: BodyCoding) -> Self {
        match coding {
            BodyCoding::Identity => Self::Identity,
            BodyCoding::Gzip => Self::Gzip(Gunzip::default()),
        }
    }

    /// Unpacks some of `packed` into `piece`, which it replaces, and says how much of `packed` that was. A piece has at
    /// most some tens of kilobytes, or what came in where nothing was packed.
    pub(crate) fn unpack(&mut self, packed: &[u8], piece: &mut Vec<u8>) -> Result<usize, NotGzip> {
        match self {
            Self::Identity => {
                piece.clear();
                piece.extend_from_slice(packed);
                Ok(packed.len())
            }
            Self::Gzip(gunzip) => gunzip.unpack(packed, piece),
        }
    }

    /// The body is over: the last piece. An error where the body breaks off.
    pub(crate) fn end(self, piece: &mut Vec<u8>) -> Result<(), NotGzip> {
        piece.clear();
        match self {
            Self::Identity => Ok(()),
            Self::Gzip(gunzip) => gunzip.end(piece),
        }
    }
}
