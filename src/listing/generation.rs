//! Generations: which snapshot of a listing.

use std::{fmt, str::FromStr};

/// An immutable snapshot of a listing, written `<id>-<nonce>`.
///
/// The id orders: a greater id means that the origin was read later. The nonce identifies: a failover that rewinds
/// Redis may hand an id out twice, but not with the same 32 random bits. Ids stay below 2^53, for scripts count in doubles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation {
    /// Microseconds of Redis's clock, or one more than the last id where that is greater. Never 0.
    pub id: u64,
    /// Random.
    pub nonce: u32,
}

impl Generation {
    /// The greatest id that a script can count exactly.
    pub const ID_MAX: u64 = (1 << 53) - 1;
}

/// A text that is not `<id>-<nonce>` in its one spelling: decimal without leading zeros, a hyphen, eight lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a generation is written `<id>-<nonce>`, such as 1795291200123456-9f1c02ab")]
pub struct InvalidGeneration;

impl FromStr for Generation {
    type Err = InvalidGeneration;

    fn from_str(text: &str) -> Result<Self, InvalidGeneration> {
        let (id, nonce) = text.split_once('-').ok_or(InvalidGeneration)?;
        let generation = Self {
            id: id.parse().map_err(|_| InvalidGeneration)?,
            nonce: u32::from_str_radix(nonce, 16).map_err(|_| InvalidGeneration)?,
        };
        // One spelling, so that a generation in a URL is one URL.
        if (1..=Self::ID_MAX).contains(&generation.id) && generation.to_string() == text {
            Ok(generation)
        } else {
            Err(InvalidGeneration)
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.id, self.nonce)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_has_one_spelling() {
        let generation: Generation = "1795291200123456-9f1c02ab".parse().unwrap();
        assert_eq!(generation.id, 1_795_291_200_123_456);
        assert_eq!(generation.to_string(), "1795291200123456-9f1c02ab");
        for bad in [
            "",
            "1",
            "-",
            "0-00000000",
            "01-00000000",
            "+1-00000000",
            "1-0",
            "1-0000000G",
            "1-9F1C02AB",
            "9007199254740992-00000000",
            "1-+0000000",
        ] {
            assert!(bad.parse::<Generation>().is_err(), "{bad}");
        }
    }
}
