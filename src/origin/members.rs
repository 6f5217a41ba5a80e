//! Members of an item: what it is sorted by, found by and narrowed by, where no database does that.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::SortValue;
use crate::listing::item_json::{without_half_characters, without_place};

/// The value of a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Member {
    /// Null, or not there.
    #[default]
    Null,
    Bool(bool),
    Integer(i64),
    /// More than fits an `i64`.
    Large(u64),
    Real(f64),
    Text(Box<str>),
    /// An object or an array: nothing to compare.
    Nested,
}

impl Member {
    /// The value to sort by; `None` for an object or an array. `false` is 0 and `true` is 1, as in SQLite.
    pub fn sort_value(&self) -> Option<SortValue> {
        Some(match self {
            Self::Null => SortValue::Null,
            Self::Bool(value) => SortValue::Integer((*value).into()),
            Self::Integer(number) => SortValue::Integer(*number),
            // What rounding makes equal is told apart by the id.
            Self::Large(number) => SortValue::Real(*number as f64),
            Self::Real(number) => SortValue::Real(*number),
            Self::Text(text) => SortValue::Text(text.clone()),
            Self::Nested => return None,
        })
    }

    /// The value as text, as it stands in names and parameters; `None` for null, an object or an array.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Null | Self::Nested => return None,
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Large(number) => number.to_string().into(),
            Self::Real(number) => serde_json::Number::from_f64(*number)?.to_string().into(),
            Self::Text(text) => Cow::Borrowed(text),
        })
    }
}

/// The values of wanted members of one JSON object, in the order they are wanted; of a member that stands twice, the last.
///
/// Half of a character is read as U+FFFD here. Whether an item may hold one is decided where the item is taken.
pub(super) fn members_of(json: &[u8], wanted: &[Box<str>]) -> Result<Vec<Member>, String> {
    let text = std::str::from_utf8(json).map_err(|_| "not UTF-8".to_owned())?;
    let text = without_half_characters(text);
    let mut parser = serde_json::Deserializer::from_str(&text);
    (&mut parser)
        .deserialize_map(Wanted(wanted))
        .and_then(|members| parser.end().map(|()| members))
        .map_err(|error| format!("not a JSON object: {}", without_place(&error)))
}

struct Wanted<'w>(&'w [Box<str>]);

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<Member>, A::Error> {
        let mut values = vec![Member::Null; self.0.len()];
        while let Some(at) = members.next_key_seed(KeyAmong(self.0))? {
            match at.and_then(|at| values.get_mut(at)) {
                Some(value) => *value = members.next_value_seed(AnyValue)?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
    }
}

/// The position of a member's name among those that are wanted.
struct KeyAmong<'w>(&'w [Box<str>]);

impl<'de> DeserializeSeed<'de> for KeyAmong<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Option<usize>, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyAmong<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|wanted| **wanted == *key))
    }
}

struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Member, D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Member, E> {
        Ok(Member::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Member, E> {
        Ok(Member::Bool(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Member, E> {
        Ok(Member::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Member, E> {
        Ok(i64::try_from(number).map_or(Member::Large(number), Member::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Member, E> {
        Ok(Member::Real(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Member, E> {
        Ok(Member::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Member, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Member, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Nested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, text: Option<&str>, sort_value: Option<SortValue>) {
        let json = format!(r#"{{"a":0,"x":{value},"b":[{{"x":1}}]}}"#);
        let members = members_of(json.as_bytes(), &["x".into(), "none".into()]).unwrap();
        assert_eq!(members[0].text().as_deref(), text);
        assert_eq!(members[0].sort_value(), sort_value);
        assert_eq!(members[1], Member::Null);
    }

    #[test]
    fn a_value_has_a_text_and_a_place_in_the_order() {
        check("null", None, Some(SortValue::Null));
        check("true", Some("true"), Some(SortValue::Integer(1)));
        check("-5", Some("-5"), Some(SortValue::Integer(-5)));
        check(
            "9223372036854775808",
            Some("9223372036854775808"),
            Some(SortValue::Real(2f64.powi(63))),
        );
        check("1.50", Some("1.5"), Some(SortValue::Real(1.5)));
        check(r#""a\u00e9""#, Some("aé"), Some(SortValue::Text("aé".into())));
        check("[1]", None, None);
        check(r#"{"y":{}}"#, None, None);
    }

    #[test]
    fn of_two_members_the_last_counts() {
        let members = members_of(br#"{"x":1,"x":2}"#, &["x".into()]).unwrap();
        assert_eq!(members, [Member::Integer(2)]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in [&b"[]"[..], b"1", b"{\"x\":}", b"{} {}", b"{\"x\":\"\xff\"}", b""] {
            assert!(members_of(json, &["x".into()]).is_err());
        }
    }
}
