//! Listing keys: the identity of one listing, and the text that stands for it in Redis, logs and announcements.
//!
//! ```text
//! listing key   category:BREAD/price            a name, a sort
//!               category:BREAD/in_stock.desc    a sort whose descending order is a stream of its own
//!               category:BREAD/price?currency=EUR&brand=A%20B
//! family        category:BREAD?currency=EUR     a name with its choices: the yield of one read of the origin
//! ```
//! The text is unambiguous because an encoded name holds neither `/` nor `?`, and a sort's name neither `.` nor `?`.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use super::name::{InvalidListingName, ListingName, decode_strictly, encode_query_value};

/// A sort's name: `[a-z0-9_-]{1,32}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SortName(Arc<str>);

impl SortName {
    /// Which texts are names of sorts, in words.
    pub const RULE: &'static str = "1 to 32 of a-z, 0-9, `_` and `-`";
    /// The sort a pushed listing has when none is named.
    pub const DEFAULT: &'static str = "default";

    /// `None` unless the text is `[a-z0-9_-]{1,32}`.
    pub fn parse(given: &str) -> Option<Self> {
        let fits = (1..=32).contains(&given.len())
            && given
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        fits.then(|| Self(given.into()))
    }

    /// The name [`SortName::DEFAULT`].
    pub fn default_sort() -> Self {
        static NAME: LazyLock<Arc<str>> = LazyLock::new(|| SortName::DEFAULT.into());
        Self(NAME.clone())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The order a stream is stored in: a sort, ascending, or the descending order of a sort that keeps one by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoredSort {
    /// The sort.
    pub sort: SortName,
    /// Whether this is the stream of `desc_by`.
    pub own_desc: bool,
}

impl StoredSort {
    /// The stream a sort always has.
    pub fn ascending(sort: SortName) -> Self {
        Self { sort, own_desc: false }
    }

    fn parse(text: &str) -> Option<Self> {
        let (sort, own_desc) = match text.strip_suffix(".desc") {
            Some(sort) => (sort, true),
            None => (text, false),
        };
        Some(Self {
            sort: SortName::parse(sort)?,
            own_desc,
        })
    }
}

/// Chosen values of declared variants, in the order of their declaration.
pub type Choices = Arc<[(Arc<str>, Arc<str>)]>;

/// One for all listings without variants.
static NO_CHOICES: LazyLock<Choices> = LazyLock::new(|| Arc::new([]));

/// A name with its choices: the listings that one read of the origin yields, in all their sorts.
///
/// It is the unit of refreshing: leases, due times and read counts are kept a family.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Family {
    /// The listing's name.
    pub name: ListingName,
    /// Empty for a listing without variants.
    pub choices: Choices,
}

impl Family {
    /// A name without choices.
    pub fn plain(name: ListingName) -> Self {
        Self {
            name,
            choices: NO_CHOICES.clone(),
        }
    }

    /// This family's listing in one stored sort.
    pub fn listing(&self, stored: StoredSort) -> ListingKey {
        ListingKey {
            family: self.clone(),
            stored,
        }
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, query) = split_query(text);
        Some(Self {
            name: ListingName::decode(name).ok()?,
            choices: parse_choices(query)?,
        })
    }

    fn write_query(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (parameter, value)) in self.choices.iter().enumerate() {
            let separator = if at == 0 { '?' } else { '&' };
            write!(f, "{separator}{parameter}={}", encode_query_value(value))?;
        }
        Ok(())
    }
}

/// A listing: a family in one stored sort.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListingKey {
    /// Name and choices.
    pub family: Family,
    /// Which stream of the family.
    pub stored: StoredSort,
}

impl ListingKey {
    /// The listing's name.
    pub fn name(&self) -> &ListingName {
        &self.family.name
    }

    /// The sort, whichever stream of it this is.
    pub fn sort(&self) -> &SortName {
        &self.stored.sort
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (path, query) = split_query(text);
        let (name, stored) = path.split_once('/')?;
        Some(Self {
            family: Family {
                name: ListingName::decode(name).ok()?,
                choices: parse_choices(query)?,
            },
            stored: StoredSort::parse(stored)?,
        })
    }
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_once('?').unwrap_or((text, ""))
}

fn parse_choices(query: &str) -> Option<Choices> {
    if query.is_empty() {
        return Some(NO_CHOICES.clone());
    }
    query
        .split('&')
        .map(|pair| {
            let (parameter, value) = pair.split_once('=')?;
            let value: Result<_, InvalidListingName> = decode_strictly(value);
            Some((parameter.into(), value.ok()?.into()))
        })
        .collect()
}

impl fmt::Display for SortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for StoredSort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sort.0)?;
        f.write_str(if self.own_desc { ".desc" } else { "" })
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.encoded())?;
        self.write_query(f)
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ListingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.family.name.encoded(), self.stored)?;
        self.family.write_query(f)
    }
}

impl fmt::Debug for ListingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, stored: &str, choices: &[(&str, &str)], text: &str) {
        let key = ListingKey {
            family: Family {
                name: ListingName::parse(name).unwrap(),
                choices: choices
                    .iter()
                    .map(|(parameter, value)| ((*parameter).into(), (*value).into()))
                    .collect(),
            },
            stored: StoredSort::parse(stored).unwrap(),
        };
        assert_eq!(key.to_string(), text);
        assert_eq!(ListingKey::parse(text), Some(key.clone()));
        assert_eq!(Family::parse(&key.family.to_string()), Some(key.family));
    }

    #[test]
    fn a_key_is_written_and_read() {
        check("category:BREAD", "price", &[], "category:BREAD/price");
        check("a/b?c d", "in_stock.desc", &[], "a%2Fb%3Fc%20d/in_stock.desc");
        check(
            "x",
            "price",
            &[("currency", "EUR"), ("brand", "A&B=C")],
            "x/price?currency=EUR&brand=A%26B%3DC",
        );
    }

    #[test]
    fn a_sort_is_a_small_word() {
        assert!(SortName::parse("list-price_2").is_some());
        for bad in ["", "Price", "a.b", "a/b", &"x".repeat(33)] {
            assert!(SortName::parse(bad).is_none(), "{bad}");
        }
    }
}
