//! Unpacking gzip (RFC 1952) as it comes in: any number of members, and behind the last one zeros.
//!
//! Tapes and some tools fill the last block with zeros; `gzip -d` skips them. Anything else behind a member is an error:
//! it may be half of what was meant to be there.

use std::io::Write;

use flate2::write::GzDecoder;

/// It breaks off, is damaged, or is no gzip at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not whole gzip")]
pub struct NotGzip;

/// Unpacks piece by piece: a few kilobytes may unpack to more than fits in memory.
pub struct Gunzip(State);

enum State {
    /// With the decoder's state; boxed, because its window is large.
    Member(Box<GzDecoder<Vec<u8>>>),
    /// A member ended.
    Between,
    /// Zeros came behind the last member.
    Padding,
}

impl Default for Gunzip {
    fn default() -> Self {
        Self(State::Member(Box::new(GzDecoder::new(Vec::new()))))
    }
}

impl Gunzip {
    /// Unpacks some of `packed`, which must not be empty, into `piece`, which it replaces, and says how much of `packed`
    /// that was. A piece has at most some tens of kilobytes.
    pub fn unpack(&mut self, packed: &[u8], piece: &mut Vec<u8>) -> Result<usize, NotGzip> {
        piece.clear();
        if matches!(self.0, State::Between) {
            *self = match packed.first() {
                Some(0) => Self(State::Padding),
                _ => Self::default(),
            };
        }
        match &mut self.0 {
            State::Member(decoder) => {
                // One call of `write` fills the decoder's buffer of 32 KiB once, and hands over what was in it.
                let taken = decoder.write(packed).map_err(|_| NotGzip)?;
                if taken == 0 {
                    decoder.try_finish().map_err(|_| NotGzip)?;
                }
                std::mem::swap(decoder.get_mut(), piece);
                if taken == 0 {
                    self.0 = State::Between;
                }
                Ok(taken)
            }
            State::Between | State::Padding => match packed.iter().all(|byte| *byte == 0) {
                true => Ok(packed.len()),
                false => Err(NotGzip),
            },
        }
    }

    /// All is there: the last piece. An error where something is missing.
    pub fn end(self, piece: &mut Vec<u8>) -> Result<(), NotGzip> {
        piece.clear();
        if let State::Member(mut decoder) = self.0 {
            decoder.try_finish().map_err(|_| NotGzip)?;
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

    /// Unpacks what comes in parts of some size.
    fn unpack(packed: &[u8], part: usize) -> Result<Vec<u8>, NotGzip> {
        let mut gunzip = Gunzip::default();
        let (mut all, mut piece) = (Vec::new(), Vec::new());
        for mut rest in packed.chunks(part) {
            while !rest.is_empty() {
                let taken = gunzip.unpack(rest, &mut piece)?;
                assert!(piece.len() <= PIECE_BYTES_MAX, "{}", piece.len());
                all.extend_from_slice(&piece);
                rest = &rest[taken..];
            }
        }
        gunzip.end(&mut piece)?;
        assert!(piece.len() <= PIECE_BYTES_MAX, "{}", piece.len());
        all.extend_from_slice(&piece);
        Ok(all)
    }

    #[test]
    fn what_was_packed_is_unpacked_however_it_is_cut() {
        let plain: Vec<u8> = (0..200_000u32).flat_map(|number| number.to_le_bytes()).collect();
        let packed = gzip(&plain);
        for part in [1, 7, 10, 4096, packed.len()] {
            assert!(unpack(&packed, part).unwrap() == plain, "{part}");
        }
    }

    #[test]
    fn members_follow_one_another_and_zeros_the_last() {
        let members = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        for zeros in [0, 1, 7, 8, 511, 70_000] {
            let packed = [&members[..], &vec![0; zeros]].concat();
            for part in [1, 5, packed.len()] {
                assert_eq!(unpack(&packed, part).unwrap(), b"one two", "{zeros} {part}");
            }
        }
        for behind in [&b"garbage"[..], b"\0\0\0x", &[&[0; 8], &gzip(b"x")[..]].concat()] {
            assert_eq!(unpack(&[&members, behind].concat(), 4), Err(NotGzip));
        }
    }

    #[test]
    fn a_bomb_comes_in_pieces() {
        let packed = gzip(&vec![b' '; 64 << 20]);
        assert!(packed.len() < 100_000);
        assert_eq!(unpack(&packed, packed.len()).unwrap().len(), 64 << 20);
    }

    #[test]
    fn what_is_broken_is_an_error() {
        let packed = gzip(b"some items, and more of them");
        for cut in 0..packed.len() {
            assert!(unpack(&packed[..cut], 4).is_err(), "{cut}");
        }
        let mut damaged = packed.clone();
        let check_sum = damaged.len() - 8;
        damaged[check_sum] ^= 1;
        assert!(unpack(&damaged, 4).is_err());
        assert!(unpack(b"not gzip at all", 4).is_err());
        assert!(unpack(&[0; 20], 4).is_err());
    }
}
