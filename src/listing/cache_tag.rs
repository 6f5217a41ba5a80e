//! Tags for purging: what a cache behind this service deletes together.
//!
//! Each is at most [`BYTES_MAX`] visible ASCII bytes without space, comma or quote: every cache takes such tags, and a batch of them
//! fits into a request.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use super::{name::ListingName, pattern::NamePattern};

/// The longest tag, in bytes.
pub const BYTES_MAX: usize = 32;
/// The tag of all pages.
pub const ALL: &str = "~all";
/// The tag of all pushed listings.
pub const PUSHED: &str = "~pushed";

/// The tag of a listing's pages, in all sorts and variants: its name with all but letters, digits and `-._~:@` percent-encoded. Where that
/// is too long, it is cut and ends in `~` and the name's hash.
pub fn of_listing(name: &ListingName) -> Cow<'_, str> {
    let encoded = name.tag();
    if encoded.len() <= BYTES_MAX {
        return encoded;
    }
    let hash = format!("~{:016x}", xxh3_64(name.as_str().as_bytes()));
    // Encoded names are ASCII.
    let begin = encoded.get(..BYTES_MAX - hash.len()).unwrap_or_default();
    Cow::Owned(format!("{begin}{hash}"))
}

/// The tag of all pages of a definition.
pub fn of_definition(pattern: &NamePattern) -> String {
    format!("~{:016x}", xxh3_64(pattern.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_short_and_differ_where_names_do() {
        let of = |name: &str| of_listing(&ListingName::parse(name).unwrap()).into_owned();
        assert_eq!(of("category:BREAD"), "category:BREAD");
        assert_eq!(of("a b,c"), "a%20b%2Cc");
        let (long, other) = ("x".repeat(200), format!("{}y", "x".repeat(199)));
        assert_ne!(of(&long), of(&other));
        for name in [&long, &other, "ä ä ä ä ä ä ä ä ä"] {
            let tag = of(name);
            assert!(
                tag.len() <= BYTES_MAX && tag.bytes().all(|byte| byte.is_ascii_graphic()),
                "{tag}"
            );
        }
        let pattern = NamePattern::parse("category:{category}").unwrap();
        assert_eq!(of_definition(&pattern).len(), 17);
    }
}
