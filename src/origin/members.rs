//! Members of an item, to sort, find and narrow by, if no database does that.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{SortValue, number};
use crate::listing::{
    Field, Taken,
    item_json::{without_half_characters, without_place},
};

/// The value of a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Member {
    /// The item has no such member.
    #[default]
    Missing,
    Null,
    Bool(bool),
    /// As JSON spells it.
    Number(Box<str>),
    Text(Box<str>),
    /// Of a file that knows only texts. It is compared by its spelling, and sorted as the number that it spells.
    Cell(Box<str>),
    /// A text of a file whose decimal point is a comma, where a number is wanted.
    Comma(Box<str>),
    /// An object or an array, as it stands: nothing to compare.
    Nested(Box<str>),
}

/// The value is no number, and one is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoNumber;

impl Member {
    /// The value of a cell; null if it is empty.
    pub(super) fn cell(text: &str) -> Self {
        match text {
            "" => Self::Null,
            text => Self::Cell(text.into()),
        }
    }

    /// The same value of a file whose decimal point is a comma.
    pub(super) fn with_comma(self, taken: Taken) -> Self {
        match self {
            Self::Text(text) | Self::Cell(text) if taken == Taken::Number => Self::Comma(text),
            other => other,
        }
    }

    /// A value of sound JSON.
    pub(super) fn of_json(json: &str) -> Result<Self, serde_json::Error> {
        Ok(match json.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'{' | b'[') => Self::Nested(json.into()),
            Some(b'"') => Self::Text(serde_json::from_str(json)?),
            _ => Self::Number(json.into()),
        })
    }

    /// The value to sort by. `false` is 0 and `true` is 1, as in SQLite. An object or an array has none.
    pub(super) fn sort_value(&self, taken: Taken) -> Result<SortValue, NoNumber> {
        Ok(match (self, taken) {
            (Self::Missing | Self::Null | Self::Nested(_), _) => SortValue::Null,
            (_, Taken::Text) => {
                let text = self.text(taken)?;
                text.map_or(SortValue::Null, |text| SortValue::Text(text.into()))
            }
            (Self::Bool(value), _) => SortValue::Integer((*value).into()),
            // More than a real holds, such as `1e999`, is above all others.
            (Self::Number(text), Taken::AsIs) => match number::of_text(text) {
                Some(number) => number,
                None => SortValue::Real(text.parse().map_err(|_| NoNumber)?),
            },
            (Self::Number(text) | Self::Text(text) | Self::Cell(text), Taken::Number) => {
                number::of_text(text).ok_or(NoNumber)?
            }
            (Self::Comma(text), _) => number::of_text(&number::with_point(text).ok_or(NoNumber)?).ok_or(NoNumber)?,
            (Self::Text(text), Taken::AsIs) => SortValue::Text(text.clone()),
            (Self::Cell(text), Taken::AsIs) => number::of_cell(text).unwrap_or_else(|| SortValue::Text(text.clone())),
        })
    }

    /// The value as text, as it stands in names and parameters; `None` for null, an object or an array.
    pub(super) fn text(&self, taken: Taken) -> Result<Option<Cow<'_, str>>, NoNumber> {
        Ok(Some(match (self, taken) {
            (Self::Missing | Self::Null | Self::Nested(_), _) => return Ok(None),
            (Self::Bool(true), _) => "true".into(),
            (Self::Bool(false), _) => "false".into(),
            (Self::Number(text) | Self::Text(text) | Self::Cell(text), Taken::Number) => {
                number::canonical(text).ok_or(NoNumber)?.into()
            }
            (Self::Comma(text), Taken::Number) => {
                let text = number::with_point(text).ok_or(NoNumber)?;
                number::canonical(&text).ok_or(NoNumber)?.into()
            }
            // The same number is the same text, however it is spelt.
            (Self::Number(text), Taken::AsIs) => match number::of_text(text) {
                Some(SortValue::Integer(number)) => number.to_string().into(),
                Some(SortValue::Real(number)) => match serde_json::Number::from_f64(number) {
                    Some(number) => number.to_string().into(),
                    None => return Ok(None),
                },
                Some(_) => Cow::Borrowed(&**text),
                None => return Ok(None),
            },
            (Self::Number(text) | Self::Text(text) | Self::Cell(text) | Self::Comma(text), _) => Cow::Borrowed(&**text),
        }))
    }
}

/// The fields that are wanted of each item, and where to look for them.
#[derive(Debug, Default)]
pub(super) struct WantedFields {
    /// In their order.
    pub fields: Vec<Field>,
    root: MemberNode,
}

/// A place in an item's JSON.
#[derive(Debug, Default)]
struct MemberNode {
    /// The fields that stand here.
    here: Vec<usize>,
    /// Members or elements below that lead to fields.
    below: Vec<(Box<str>, MemberNode)>,
}

impl WantedFields {
    /// These fields, in this order.
    pub(super) fn new(fields: Vec<Field>) -> Self {
        let mut root = MemberNode::default();
        for (at, field) in fields.iter().enumerate() {
            root.add(field.steps(), at);
        }
        Self { fields, root }
    }
}

impl MemberNode {
    fn add(&mut self, steps: &[Box<str>], field: usize) {
        let Some((step, below)) = steps.split_first() else {
            self.here.push(field);
            return;
        };
        let at = self.place_of(step).unwrap_or_else(|| {
            self.below.push((step.clone(), Self::default()));
            self.below.len() - 1
        });
        if let Some((_, node)) = self.below.get_mut(at) {
            node.add(below, field);
        }
    }

    fn place_of(&self, step: &str) -> Option<usize> {
        self.below.iter().position(|(name, _)| **name == *step)
    }

    /// Takes what stands here and below.
    fn take(&self, json: &str, values: &mut [Member]) -> Result<(), serde_json::Error> {
        for field in &self.here {
            if let Some(value) = values.get_mut(*field) {
                *value = Member::of_json(json)?;
            }
        }
        if self.below.is_empty() {
            return Ok(());
        }
        self.forget_below(values);
        let mut parser = serde_json::Deserializer::from_str(json);
        match json.as_bytes().first() {
            Some(b'{') => parser.deserialize_map(Below { node: self, values }),
            Some(b'[') => parser.deserialize_seq(Below { node: self, values }),
            _ => Ok(()),
        }
    }

    /// Of a member that stands twice the last counts, with what is below it.
    fn forget_below(&self, values: &mut [Member]) {
        for (_, node) in &self.below {
            for field in &node.here {
                if let Some(value) = values.get_mut(*field) {
                    *value = Member::Missing;
                }
            }
            node.forget_below(values);
        }
    }
}

/// The values of wanted fields of one JSON object, in the order they are wanted; of a member that stands twice, the last.
///
/// Half of a character is read as U+FFFD here. Whether an item may hold one is decided where the item is taken.
pub(super) fn members_of(json: &[u8], wanted: &WantedFields) -> Result<Vec<Member>, String> {
    let text = std::str::from_utf8(json).map_err(|_| "not UTF-8".to_owned())?;
    let text = without_half_characters(text);
    let mut values = vec![Member::Missing; wanted.fields.len()];
    let mut parser = serde_json::Deserializer::from_str(&text);
    let below = Below {
        node: &wanted.root,
        values: &mut values,
    };
    (&mut parser)
        .deserialize_map(below)
        .and_then(|()| parser.end())
        .map_err(|error| format!("not a JSON object: {}", without_place(&error)))?;
    Ok(values)
}

/// The names of an object's members, for messages.
pub(super) fn names_of(json: &[u8], max: usize) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(json) else {
        return Vec::new();
    };
    let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
    members.into_iter().map(|(name, _)| name).take(max).collect()
}

/// Goes through an object or an array for what is wanted of it.
struct Below<'w, 'v> {
    node: &'w MemberNode,
    values: &'v mut [Member],
}

impl Below<'_, '_> {
    fn take<E: Error>(&mut self, at: usize, value: &RawValue) -> Result<(), E> {
        let Some((_, node)) = self.node.below.get(at) else {
            return Ok(());
        };
        let taken = node.take(value.get(), self.values);
        taken.map_err(|error| E::custom(without_place(&error)))
    }
}

impl<'de> Visitor<'de> for Below<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(at) = members.next_key_seed(KeyAmong(self.node))? {
            match at {
                Some(at) => self.take(at, members.next_value()?)?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        while let Some(element) = elements.next_element()? {
            if let Some(at) = self.node.place_of(&index.to_string()) {
                self.take(at, element)?;
            }
            index += 1;
        }
        Ok(())
    }
}

/// The position of a member's name among those that are wanted.
struct KeyAmong<'w>(&'w MemberNode);

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
        Ok(self.0.place_of(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(places: &[&str]) -> WantedFields {
        WantedFields::new(places.iter().map(|place| Field::new(place)).collect())
    }

    #[track_caller]
    fn check(value: &str, text: Option<&str>, sort_value: SortValue) {
        let json = format!(r#"{{"a":0,"x":{value},"b":[{{"x":1}}]}}"#);
        let members = members_of(json.as_bytes(), &wanted(&["x", "none"])).unwrap();
        assert_eq!(members[0].text(Taken::AsIs).unwrap().as_deref(), text);
        assert_eq!(members[0].sort_value(Taken::AsIs), Ok(sort_value));
        assert_eq!(members[1], Member::Missing);
    }

    #[test]
    fn a_value_has_a_text_and_a_place_in_the_order() {
        check("null", None, SortValue::Null);
        check("true", Some("true"), SortValue::Integer(1));
        check("-5", Some("-5"), SortValue::Integer(-5));
        check("-0", Some("0"), SortValue::Integer(0));
        // From 2⁶³ on every digit counts, beyond 2⁶⁴ too: neighbours are told apart.
        for large in ["9223372036854775808", "18446744073709551616", "-9223372036854775809"] {
            check(large, Some(large), SortValue::Decimal(large.into()));
        }
        check("1e2", Some("100.0"), SortValue::Real(100.0));
        check("1e999", None, SortValue::Real(f64::INFINITY));
        check("1.50", Some("1.5"), SortValue::Real(1.5));
        check(r#""a\u00e9""#, Some("aé"), SortValue::Text("aé".into()));
        check("[1]", None, SortValue::Null);
        check(r#"{"y":{}}"#, None, SortValue::Null);
    }

    #[test]
    fn a_value_may_be_taken_for_a_number_or_a_text() {
        let check = |member: &Member, number: Result<(&str, SortValue), NoNumber>, text: &str| {
            let found = member.text(Taken::Number);
            let found = found.map(|text| text.unwrap().into_owned());
            assert_eq!(found, number.clone().map(|(text, _)| text.to_owned()), "{member:?}");
            assert_eq!(
                member.sort_value(Taken::Number),
                number.map(|(_, value)| value),
                "{member:?}"
            );
            assert_eq!(member.text(Taken::Text).unwrap().as_deref(), Some(text));
            assert_eq!(member.sort_value(Taken::Text), Ok(SortValue::Text(text.into())));
        };
        check(
            &Member::Text("12.50".into()),
            Ok(("12.5", SortValue::Real(12.5))),
            "12.50",
        );
        check(
            &Member::Number("12.50".into()),
            Ok(("12.5", SortValue::Real(12.5))),
            "12.50",
        );
        check(&Member::Cell("007".into()), Ok(("7", SortValue::Integer(7))), "007");
        check(&Member::Text("n/a".into()), Err(NoNumber), "n/a");
    }

    #[test]
    fn a_pointer_leads_to_a_member_below() {
        let places = ["/a/b", "/a/c/1", "/a", "a", "/x/0/y", "/a/b/z"];
        let found = |json: &str| members_of(json.as_bytes(), &wanted(&places)).unwrap();
        let text = |text: &str| Member::Text(text.into());
        let number = |text: &str| Member::Number(text.into());
        let nested = |json: &str| Member::Nested(json.into());
        use Member::{Missing, Null};
        let a = nested(r#"{"b":"\u00e9","c":[1, 2.50 ]}"#);
        assert_eq!(
            found(r#"{"a":{"b":"\u00e9","c":[1, 2.50 ]},"x":[{"y":null}]}"#),
            [text("é"), number("2.50"), a.clone(), a, Null, Missing]
        );
        assert_eq!(
            found(r#"{"a":{"b":1},"a":7,"x":{"0":{"y":2}}}"#),
            [Missing, Missing, number("7"), number("7"), number("2"), Missing]
        );
        let (a, b) = (nested(r#"{"b":{"z":"\ufffd"}}"#), nested(r#"{"z":"\ufffd"}"#));
        assert_eq!(
            found(r#"{"a":{"b":{"z":"\ud83d"}}}"#),
            [b, Missing, a.clone(), a, Missing, text("\u{fffd}")]
        );
        assert_eq!(found("{}"), [Missing, Missing, Missing, Missing, Missing, Missing]);
        assert_eq!(names_of(br#"{"b":1,"a":{},"c":3}"#, 2), ["b", "a"]);
    }

    #[test]
    fn of_two_members_the_last_counts() {
        let members = members_of(br#"{"x":1,"x":2}"#, &wanted(&["x"])).unwrap();
        assert_eq!(members, [Member::Number("2".into())]);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in [&b"[]"[..], b"1", b"{\"x\":}", b"{} {}", b"{\"x\":\"\xff\"}", b""] {
            assert!(members_of(json, &wanted(&["x"])).is_err());
        }
    }
}
