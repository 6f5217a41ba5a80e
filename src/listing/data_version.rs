//! Which state of the origin's data a generation was read from.

use std::{fmt, sync::Arc};

use xxhash_rust::xxh3::xxh3_128;

/// The origin's mark for the state of a family's items: while it stays the same, so do they. A text of the origin's own
/// making; nothing is read out of it here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DataVersion(Arc<str>);

impl DataVersion {
    /// The most that a head holds of it.
    pub const BYTES_MAX: usize = 512;

    /// A version as it is; `None` where it is empty or too long.
    pub fn parse(text: &str) -> Option<Self> {
        (1..=Self::BYTES_MAX).contains(&text.len()).then(|| Self(text.into()))
    }

    /// A version of any length, to be compared only: of a long one a hash is kept.
    pub fn of(text: &str) -> Self {
        Self::parse(text).unwrap_or_else(|| Self(format!("{:032x}", xxh3_128(text.as_bytes())).into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DataVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_version_is_still_told_from_another() {
        let long = |last: char| format!("{}{last}", "v".repeat(DataVersion::BYTES_MAX));
        assert_eq!(DataVersion::of("v1").as_str(), "v1");
        assert_eq!(DataVersion::parse(&long('a')), None);
        assert_eq!(DataVersion::parse(""), None);
        assert_eq!(DataVersion::of(&long('a')), DataVersion::of(&long('a')));
        assert_ne!(DataVersion::of(&long('a')), DataVersion::of(&long('b')));
        assert!(DataVersion::of(&long('a')).as_str().len() <= DataVersion::BYTES_MAX);
    }
}
