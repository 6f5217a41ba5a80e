//! Ids of the entries of a log.

/// The id of a log entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryId {
    pub ms: u64,
    pub seq: u64,
}

impl EntryId {
    /// Before every entry: the log is empty.
    pub(crate) const NONE: Self = Self { ms: 0, seq: 0 };

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (ms, seq) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            ms: ms.parse().ok()?,
            seq: seq.parse().ok()?,
        })
    }

    /// The greatest id before this one: a reading after it includes this entry.
    pub(crate) fn before(self) -> Self {
        match (self.ms, self.seq) {
            (_, 1..) => Self {
                ms: self.ms,
                seq: self.seq - 1,
            },
            (1.., 0) => Self {
                ms: self.ms - 1,
                seq: u64::MAX,
            },
            (0, 0) => Self::NONE,
        }
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}
