//! Reading what is packed with gzip, such as a file, a piece at a time.

use std::io::{self, Read};

use crate::listing::gunzip::Gunzip;

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;

/// A reader of what another reader's gzip unpacks to.
pub struct Unpacked<R> {
    from: R,
    packed: Vec<u8>,
    /// Of `packed`, those that are still to be unpacked.
    rest: std::ops::Range<usize>,
    /// None once all is unpacked.
    gunzip: Option<Gunzip>,
    piece: Vec<u8>,
    /// How much of `piece` was handed on.
    taken: usize,
}

impl<R: Read> Unpacked<R> {
    /// At the beginning of the gzip.
    pub fn new(from: R) -> Self {
        Self {
            from,
            packed: vec![0; READ_BYTES],
            rest: 0..0,
            gunzip: Some(Gunzip::default()),
            piece: Vec::new(),
            taken: 0,
        }
    }

    /// Unpacks some more; `false` where there is no more.
    fn unpack(&mut self) -> io::Result<bool> {
        let Some(gunzip) = &mut self.gunzip else {
            return Ok(false);
        };
        // First: where reading fails here and is tried again, nothing may be handed on twice.
        self.piece.clear();
        self.taken = 0;
        if self.rest.is_empty() {
            self.rest = 0..self.from.read(&mut self.packed)?;
        }
        let rest = self.packed.get(self.rest.clone()).unwrap_or_default();
        let unpacked = match rest {
            [] => self
                .gunzip
                .take()
                .map_or(Ok(0), |gunzip| gunzip.end(&mut self.piece).map(|()| 0)),
            rest => gunzip.unpack(rest, &mut self.piece),
        };
        self.rest.start += unpacked.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(true)
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.piece.len() {
            if !self.unpack()? {
                return Ok(0);
            }
        }
        let piece = self.piece.get(self.taken..).unwrap_or_default();
        let read = piece.len().min(into.len());
        into[..read].copy_from_slice(&piece[..read]);
        self.taken += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// Gives a few bytes at a time, and is interrupted before each.
    struct Haltingly<'b> {
        bytes: &'b [u8],
        interrupted: bool,
    }

    impl Read for Haltingly<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let few = into.len().min(1000);
            self.bytes.read(&mut into[..few])
        }
    }

    #[test]
    fn each_byte_comes_once_however_reading_is_interrupted() {
        let plain: Vec<u8> = (0..100_000u32).flat_map(|number| number.to_le_bytes()).collect();
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(&plain).unwrap();
        let packed = [packer.finish().unwrap(), vec![0; 3000]].concat();
        let read = |bytes: &[u8]| {
            let mut unpacked = Vec::new();
            let haltingly = Haltingly {
                bytes,
                interrupted: false,
            };
            // Tries again where it is interrupted.
            Unpacked::new(haltingly).read_to_end(&mut unpacked).map(|_| unpacked)
        };
        assert!(read(&packed).unwrap() == plain);
        assert!(read(&packed[..packed.len() / 2]).is_err());
    }
}
