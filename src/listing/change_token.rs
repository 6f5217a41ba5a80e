//! Tokens of changes that were recorded together, and what became of them.

use std::{collections::BTreeMap, fmt};

/// Names changes that were recorded together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeToken(pub u128);

impl ChangeToken {
    /// Reads 32 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = text.len() == 32 && text.bytes().all(is_digit);
        fits.then(|| u128::from_str_radix(text, 16).ok().map(Self))?
    }
}

impl fmt::Display for ChangeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The outcome of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangesOutcome {
    /// How many they are.
    pub changes: u64,
    /// Partitions that have not worked them off.
    pub left: u64,
    /// What was done with a family, by its text.
    pub families: BTreeMap<String, String>,
    /// Further families, which are not told by their names.
    pub more: u64,
}
