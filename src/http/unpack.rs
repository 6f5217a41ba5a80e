//! Bodies as they were packed: plain or gzip, unpacked piece by piece.
//!
//! Whatever a body unpacks to, no more than one piece of it is in memory at a time, so that a few kilobytes that unpack
//! to gigabytes cost only the time until a limit on the unpacked size is reached.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

/// Content codings that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// None.
    Identity,
    /// RFC 1952, of any number of members.
    Gzip,
}

impl Coding {
    /// The coding of a `Content-Encoding`; `None` for one that is not taken here.
    pub fn parse(given: &str) -> Option<Self> {
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
pub enum Unpacker {
    /// Nothing to do.
    Identity,
    /// With the decoder's state; boxed, for its window is large.
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Unpacker {
    /// An unpacker at the beginning of a body.
    pub fn new(coding: Coding) -> Self {
        match coding {
            Coding::Identity => Self::Identity,
            Coding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
        }
    }

    /// Unpacks some of `packed` into `piece`, which it replaces, and says how much of `packed` that was. A piece has at
    /// most some tens of kilobytes, or what came in where nothing was packed.
    pub fn unpack(&mut self, packed: &[u8], piece: &mut Vec<u8>) -> io::Result<usize> {
        piece.clear();
        match self {
            Self::Identity => {
                piece.extend_from_slice(packed);
                Ok(packed.len())
            }
            Self::Gzip(decoder) => {
                // One call of `write` fills the decoder's buffer of 32 KiB once, and hands over what was in it.
                let taken = decoder.write(packed)?;
                std::mem::swap(decoder.get_mut(), piece);
                if taken == 0 && piece.is_empty() && !packed.is_empty() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Ok(taken)
            }
        }
    }

    /// The body is over: the last piece. An error where the body breaks off.
    pub fn end(self, piece: &mut Vec<u8>) -> io::Result<()> {
        piece.clear();
        if let Self::Gzip(mut decoder) = self {
            decoder.try_finish()?;
            std::mem::swap(decoder.get_mut(), piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const PIECE_BYTES_MAX: usize = 128 * 1024;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// Unpacks a body that comes in parts of some size.
    fn unpack(coding: Coding, packed: &[u8], part: usize) -> io::Result<Vec<u8>> {
        let mut unpacker = Unpacker::new(coding);
        let (mut all, mut piece) = (Vec::new(), Vec::new());
        for mut rest in packed.chunks(part) {
            while !rest.is_empty() {
                let taken = unpacker.unpack(rest, &mut piece)?;
                assert!(piece.len() <= PIECE_BYTES_MAX, "{}", piece.len());
                all.extend_from_slice(&piece);
                rest = &rest[taken..];
            }
        }
        unpacker.end(&mut piece)?;
        assert!(piece.len() <= PIECE_BYTES_MAX, "{}", piece.len());
        all.extend_from_slice(&piece);
        Ok(all)
    }

    #[test]
    fn what_was_packed_is_unpacked_however_it_is_cut() {
        let plain: Vec<u8> = (0..200_000u32).flat_map(|number| number.to_le_bytes()).collect();
        let packed = gzip(&plain);
        for part in [1, 7, 10, 4096, packed.len()] {
            assert!(unpack(Coding::Gzip, &packed, part).unwrap() == plain, "{part}");
        }
        assert_eq!(unpack(Coding::Identity, b"abc", 2).unwrap(), b"abc");
    }

    #[test]
    fn members_follow_one_another() {
        let packed = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        for part in [1, 5, packed.len()] {
            assert_eq!(unpack(Coding::Gzip, &packed, part).unwrap(), b"one two");
        }
    }

    #[test]
    fn a_bomb_comes_in_pieces() {
        let packed = gzip(&vec![b' '; 64 << 20]);
        assert!(packed.len() < 100_000);
        assert_eq!(unpack(Coding::Gzip, &packed, packed.len()).unwrap().len(), 64 << 20);
    }

    #[test]
    fn a_broken_body_is_an_error() {
        let packed = gzip(b"some items, and more of them");
        for cut in 0..packed.len() {
            assert!(unpack(Coding::Gzip, &packed[..cut], 4).is_err(), "{cut}");
        }
        let mut damaged = packed.clone();
        let check_sum = damaged.len() - 8;
        damaged[check_sum] ^= 1;
        assert!(unpack(Coding::Gzip, &damaged, 4).is_err());
        assert!(unpack(Coding::Gzip, b"not gzip at all", 4).is_err());
        assert!(unpack(Coding::Gzip, &[&packed[..], b"garbage"].concat(), 4).is_err());
    }
}
