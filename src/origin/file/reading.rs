//! Reading a file piece by piece: the errors, and the function that takes each item.

use std::io;

use crate::origin::{
    OriginError,
    members::{Member, WantedFields},
    selection::Candidate,
};

/// Bytes read at a time.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Takes each item of a file and its 1-based position; `false` ends the reading.
pub(super) type Each<'e> = dyn FnMut(u64, &mut dyn Candidate) -> Result<bool, OriginError> + 'e;

/// Why a file was not read to its end.
pub(super) enum ReadError {
    Io(io::Error),
    Origin(OriginError),
}

impl From<OriginError> for ReadError {
    fn from(error: OriginError) -> Self {
        Self::Origin(error)
    }
}

/// An error in a file's content, with its place.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Damaged(String);

impl Damaged {
    pub(super) fn error(reason: String) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Self(reason))
    }
}

/// Reads some bytes; none at the end.
pub(super) fn read_some(from: &mut dyn io::Read, to: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// The members of an item of a file whose decimal point is a comma.
pub(super) fn with_commas<'w>(
    members: impl Iterator<Item = Member> + 'w,
    wanted: &'w WantedFields,
) -> impl Iterator<Item = Member> + 'w {
    let fields = wanted.fields.iter();
    members
        .zip(fields)
        .map(|(member, field)| member.with_comma(field.taken))
}
