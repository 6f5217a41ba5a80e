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
