//! How the chunks of a generation lie in Redis.

use std::{fmt, num::NonZeroU64};

/// The form of the chunks of a generation's group, as they were begun: each chunk says its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// A field an item.
    #[default]
    Plain,
    /// All items in one run of bytes, packed.
    Packed {
        /// The hash of the dictionary that they need, where there is one.
        dictionary: Option<NonZeroU64>,
    },
}

impl Codec {
    /// The dictionary that the chunks need.
    pub fn dictionary(self) -> Option<NonZeroU64> {
        match self {
            Self::Plain => None,
            Self::Packed { dictionary } => dictionary,
        }
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "plain" => Some(Self::Plain),
            None if text == "packed" => Some(Self::Packed { dictionary: None }),
            Some(("packed", hash)) => {
                let dictionary = NonZeroU64::new(u64::from_str_radix(hash, 16).ok()?)?;
                Some(Self::Packed {
                    dictionary: Some(dictionary),
                })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Packed { dictionary: None } => f.write_str("packed"),
            Self::Packed { dictionary: Some(hash) } => write!(f, "packed {hash:016x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_is_a_word_or_two() {
        for (codec, text) in [
            (Codec::Plain, "plain"),
            (Codec::Packed { dictionary: None }, "packed"),
            (
                Codec::Packed {
                    dictionary: NonZeroU64::new(0xab),
                },
                "packed 00000000000000ab",
            ),
        ] {
            assert_eq!(codec.to_string(), text);
            assert_eq!(Codec::parse(text), Some(codec));
        }
        for bad in ["", "Plain", "packed ", "packed 0", "packed x", "plain 1"] {
            assert_eq!(Codec::parse(bad), None, "{bad}");
        }
    }
}
