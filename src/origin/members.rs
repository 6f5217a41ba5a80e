//! Members of an item: what it is sorted by, found by and narrowed by, where no database does that.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

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
    /// An integer that no `i64` holds: its digits.
    Large(Box<str>),
    Real(f64),
    Text(Box<str>),
    /// Of a file that knows only texts. It is compared by its spelling, and sorted as the number that it spells.
    Cell(Box<str>),
    /// An object or an array: nothing to compare.
    Nested,
}

/// Digits that every real keeps.
const REAL_DIGITS_MAX: usize = 15;

/// The number that a cell spells as JSON would, if it can be read back exactly.
pub(super) fn number_of_cell(text: &str) -> Option<SortValue> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    match fraction {
        // JSON allows `-0`, but it is no integer.
        None if text == "-0" => None,
        None => text.parse().ok().map(SortValue::Integer),
        Some(fraction) if all_digits(fraction) && whole.len() + fraction.len() <= REAL_DIGITS_MAX => {
            text.parse().ok().map(SortValue::Real)
        }
        Some(_) => None,
    }
}

impl Member {
    /// What stands in a cell; null where it is empty.
    pub fn cell(text: &str) -> Self {
        match text {
            "" => Self::Null,
            text => Self::Cell(text.into()),
        }
    }

    /// The value to sort by; `None` for an object or an array. `false` is 0 and `true` is 1, as in SQLite.
    pub fn sort_value(&self) -> Option<SortValue> {
        Some(match self {
            Self::Null => SortValue::Null,
            Self::Bool(value) => SortValue::Integer((*value).into()),
            Self::Integer(number) => SortValue::Integer(*number),
            Self::Large(digits) => SortValue::Decimal(digits.clone()),
            Self::Real(number) => SortValue::Real(*number),
            Self::Text(text) => SortValue::Text(text.clone()),
            Self::Cell(text) => number_of_cell(text).unwrap_or_else(|| SortValue::Text(text.clone())),
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
            Self::Large(digits) => Cow::Borrowed(digits),
            Self::Real(number) => serde_json::Number::from_f64(*number)?.to_string().into(),
            Self::Text(text) | Self::Cell(text) => Cow::Borrowed(text),
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
                Some(value) => *value = member(members.next_value()?).map_err(A::Error::custom)?,
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

/// A value by its JSON. The parser by itself would round an integer that needs more than 64 bits, and refuse `1e999`.
fn member(json: &RawValue) -> Result<Member, String> {
    let json = json.get();
    if let Ok(number) = json.parse() {
        return Ok(Member::Integer(number));
    }
    let digits = json.strip_prefix('-').unwrap_or(json);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Member::Large(json.into()));
    }
    if digits.starts_with(|first: char| first.is_ascii_digit()) {
        return json.parse().map(Member::Real).map_err(|error| error.to_string());
    }
    let mut parser = serde_json::Deserializer::from_str(json);
    parser.deserialize_any(AnyValue).map_err(|error| without_place(&error))
}

struct AnyValue;

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
        check("-0", Some("0"), Some(SortValue::Integer(0)));
        // From 2⁶³ on every digit counts, beyond 2⁶⁴ too: neighbours are told apart.
        for large in ["9223372036854775808", "18446744073709551616", "-9223372036854775809"] {
            check(large, Some(large), Some(SortValue::Decimal(large.into())));
        }
        check("1e2", Some("100.0"), Some(SortValue::Real(100.0)));
        // More than a real holds: it sorts above all others, and has no text.
        check("1e999", None, Some(SortValue::Real(f64::INFINITY)));
        check("1.50", Some("1.5"), Some(SortValue::Real(1.5)));
        check(r#""a\u00e9""#, Some("aé"), Some(SortValue::Text("aé".into())));
        check("[1]", None, None);
        check(r#"{"y":{}}"#, None, None);
    }

    #[test]
    fn a_cell_that_json_would_spell_as_a_number_is_one() {
        for (text, expect) in [
            ("0", SortValue::Integer(0)),
            ("-12", SortValue::Integer(-12)),
            ("9223372036854775807", SortValue::Integer(i64::MAX)),
            ("1.50", SortValue::Real(1.5)),
            ("-0.5", SortValue::Real(-0.5)),
        ] {
            assert_eq!(Member::cell(text).sort_value(), Some(expect), "{text}");
            assert_eq!(Member::cell(text).text().as_deref(), Some(text));
            assert!(serde_json::from_str::<serde_json::Number>(text).is_ok());
        }
        for text in [
            "007",
            "+1",
            "-0",
            "1.",
            ".5",
            "1e3",
            " 1",
            "1,5",
            "-",
            "--1",
            "9223372036854775808",
            "0.1234567890123456",
            "x",
            "NaN",
            "1.2.3",
            "١",
        ] {
            assert_eq!(
                Member::cell(text).sort_value(),
                Some(SortValue::Text(text.into())),
                "{text}"
            );
        }
        assert_eq!(Member::cell(""), Member::Null);
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
