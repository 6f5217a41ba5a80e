//! Listing names, and the one way they are written in URLs and Redis keys.

use std::{borrow::Cow, fmt, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Unencoded characters of a path segment: unreserved, sub-delims, `:` and `@` (RFC 3986, 3.3 `pchar`).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Unencoded characters of a tag for purging. Spaces and commas separate tags.
const TAG: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'@');

/// Unencoded characters of a query value: unreserved only, so `&`, `=`, `+` and `?` never need a second look.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A listing's name: 1 to 256 bytes of UTF-8, no control characters, not `.` or `..`.
///
/// Its [encoded](Self::encoded) form holds no `/`, `?`, brace or space, so it can end a Redis key or stand in a URL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListingName(Arc<str>);

/// Why a text is not a listing name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidListingName {
    /// No byte at all.
    #[error("a listing name cannot be empty")]
    Empty,
    /// More than [`ListingName::BYTES_MAX`].
    #[error("a listing name has at most 256 bytes")]
    TooLong,
    /// A character of Unicode's category Cc.
    #[error("a listing name cannot hold control characters")]
    ControlCharacter,
    /// `.` or `..`, which URL libraries fold away.
    #[error("a listing name cannot be `.` or `..`")]
    DotSegment,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("the name holds a bad percent escape")]
    BadEscape,
    /// Escapes that do not decode to UTF-8.
    #[error("the name is not UTF-8")]
    NotUtf8,
}

impl ListingName {
    /// The longest name, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 256;

    /// Takes a name as a person writes it; says which rule it breaks.
    pub fn parse(given: &str) -> Result<Self, InvalidListingName> {
        if given.is_empty() {
            return Err(InvalidListingName::Empty);
        }
        if given.len() > Self::BYTES_MAX {
            return Err(InvalidListingName::TooLong);
        }
        if given.chars().any(char::is_control) {
            return Err(InvalidListingName::ControlCharacter);
        }
        if given == "." || given == ".." {
            return Err(InvalidListingName::DotSegment);
        }
        Ok(Self(given.into()))
    }

    /// Takes one raw path segment. Decoding is strict: a bad escape or bad UTF-8 is an error, `+` is itself.
    pub fn decode(segment: &str) -> Result<Self, InvalidListingName> {
        Self::parse(&decode_strictly(segment)?)
    }

    /// The name as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a tag for purging: letters, digits and `-._~:@`, all else encoded. It holds no space and no comma.
    pub fn tag(&self) -> Cow<'_, str> {
        utf8_percent_encode(&self.0, TAG).into()
    }

    /// The name as a path segment: upper-case hex, every character encoded that a segment need not hold.
    pub fn encoded(&self) -> Cow<'_, str> {
        encode_segment(&self.0)
    }
}

/// Encodes a text, whole name or only the beginning of one, as [`ListingName::encoded`] does.
pub fn encode_segment(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, SEGMENT).into()
}

/// Encodes a text as a query value.
pub fn encode_query_value(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, QUERY_VALUE).into()
}

/// Percent-decodes, refusing what the lenient decoders of URL libraries let pass.
pub fn decode_strictly(text: &str) -> Result<Cow<'_, str>, InvalidListingName> {
    let bytes = text.as_bytes();
    // Nearly all names and values, and decoding costs more than the rest of reading a query.
    if !bytes.contains(&b'%') {
        return Ok(Cow::Borrowed(text));
    }
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        match bytes.get(at + 1..at + 3) {
            Some([high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {}
            _ => return Err(InvalidListingName::BadEscape),
        }
    }
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| InvalidListingName::NotUtf8)
}

impl fmt::Display for ListingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ListingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, encoded: &str) {
        let parsed = ListingName::parse(name).unwrap();
        assert_eq!(parsed.encoded(), encoded);
        assert_eq!(ListingName::decode(encoded).unwrap(), parsed);
    }

    #[test]
    fn a_name_is_encoded_and_decoded() {
        check("category:BREAD", "category:BREAD");
        check("a/b", "a%2Fb");
        check("50% off?", "50%25%20off%3F");
        check("{x}", "%7Bx%7D");
        check("a+b&c", "a+b&c");
        check("🍞", "%F0%9F%8D%9E");
    }

    #[test]
    fn a_tag_holds_nothing_that_separates_tags() {
        for (name, tag) in [
            ("category:BREAD", "category:BREAD"),
            ("a b,c;d", "a%20b%2Cc%3Bd"),
            ("a/b+c", "a%2Fb%2Bc"),
        ] {
            assert_eq!(ListingName::parse(name).unwrap().tag(), tag);
        }
    }

    #[track_caller]
    fn refused(segment: &str, why: InvalidListingName) {
        assert_eq!(ListingName::decode(segment), Err(why), "{segment}");
    }

    #[test]
    fn a_refused_name_says_which_rule_it_breaks() {
        refused("", InvalidListingName::Empty);
        refused(&"x".repeat(257), InvalidListingName::TooLong);
        refused("a%0Ab", InvalidListingName::ControlCharacter);
        refused("a%C2%85b", InvalidListingName::ControlCharacter);
        refused("%2E%2E", InvalidListingName::DotSegment);
        refused("%", InvalidListingName::BadEscape);
        refused("%4", InvalidListingName::BadEscape);
        refused("%zz", InvalidListingName::BadEscape);
        refused("%FF", InvalidListingName::NotUtf8);
    }
}
