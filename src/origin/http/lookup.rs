//! Looking values up in an answer: by JSON pointer, as counts, and the one meaning of empty.
//!
//! APIs write "nothing" in several ways: no member at all, `null`, `false`, `""`, `[]` or `{}` (an empty PHP array is
//! `[]`, whatever it stands for). All of them mean the same here, for lists, totals, sessions and next pages. A value of
//! another kind than the pointer needs is no "nothing": it is an error.

use std::{borrow::Cow, collections::HashMap};

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::{config::JsonPointer, listing::item_json::without_place};

/// The value at a pointer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'v> {
    /// A value, perhaps an empty one.
    Value(&'v RawValue),
    /// Something on the way is empty, so it holds nothing.
    EmptyOnTheWay,
    /// An object or list on the way has other members.
    Absent,
}

impl<'v> Found<'v> {
    /// The value, if it is there and not empty.
    pub(super) fn filled(self) -> Option<&'v RawValue> {
        match self {
            Self::Value(value) if !is_empty(value) => Some(value),
            _ => None,
        }
    }
}

/// The value that a pointer leads to. Of two members of one name the last counts. The error is the end of a sentence.
pub(super) fn find<'v>(value: &'v RawValue, pointer: &JsonPointer) -> Result<Found<'v>, String> {
    let mut value = value;
    for step in pointer.steps() {
        if is_empty(value) {
            return Ok(Found::EmptyOnTheWay);
        }
        let below = match value.get().as_bytes().first() {
            Some(b'{') => {
                let members: HashMap<Cow<'v, str>, &'v RawValue> = parse(value)?;
                members.get(step).copied()
            }
            Some(b'[') => {
                let at = position(step).ok_or_else(|| wrong_kind("a list", pointer))?;
                let elements: Vec<&'v RawValue> = parse(value)?;
                elements.get(at).copied()
            }
            Some(b'"') => return Err(wrong_kind("a text", pointer)),
            _ => return Err(wrong_kind("a number or `true`", pointer)),
        };
        match below {
            Some(below) => value = below,
            None => return Ok(Found::Absent),
        }
    }
    Ok(Found::Value(value))
}

/// The answer was parsed before: the only failure left is a name that is no text, such as half of a surrogate pair.
fn parse<'v, T: serde::Deserialize<'v>>(value: &'v RawValue) -> Result<T, String> {
    serde_json::from_str(value.get()).map_err(|error| without_place(&error))
}

fn wrong_kind(kind: &str, pointer: &JsonPointer) -> String {
    format!("{kind} stands on the way to `{pointer}`, where an object should be")
}

/// A position as RFC 6901 writes it: no leading zero, no sign.
fn position(step: &str) -> Option<usize> {
    let is_number = step.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = step == "0" || !step.starts_with('0');
    (is_number && is_canonical).then(|| step.parse().ok()).flatten()
}

/// Whether a value says that there is nothing.
pub(super) fn is_empty(value: &RawValue) -> bool {
    match value.get() {
        "null" | "false" => true,
        text if text.starts_with(['"', '[', '{']) => {
            let inside = text.get(1..text.len() - 1).unwrap_or_default();
            inside.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        }
        _ => false,
    }
}

/// The elements of a list.
pub(super) fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// Whether a value that is sent back can be read as text: half of a surrogate pair cannot.
pub(super) fn is_readable(value: &RawValue) -> bool {
    match value.get().starts_with('"') {
        true => serde_json::from_str::<Cow<'_, str>>(value.get()).is_ok(),
        false => serde_json::from_str::<IgnoredAny>(value.get()).is_ok(),
    }
}

/// A count in an answer: `7`, `7.0` or `"7"`.
pub(super) fn count(value: &RawValue) -> Option<u64> {
    match serde_json::from_str::<Cow<'_, str>>(value.get()) {
        Ok(text) => count_of(&text),
        Err(_) => count_of(value.get()),
    }
}

/// A count as text.
pub(super) fn count_of(text: &str) -> Option<u64> {
    /// Up to here a float tells one whole number from the next.
    const EXACT_MAX: f64 = (1_u64 << 53) as f64;
    let text = text.trim();
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.fract() == 0.0 && number <= EXACT_MAX).then_some(number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check(document: &str, pointer: &str, expect: Result<Option<&str>, &str>) {
        let pointer = JsonPointer::parse(pointer).unwrap();
        let found = find(raw(document), &pointer).map(|found| match found {
            Found::Value(value) => Some(value.get()),
            Found::EmptyOnTheWay | Found::Absent => None,
        });
        match (found, expect) {
            (Err(error), Err(says)) => assert!(error.starts_with(says), "{pointer}: {error}"),
            (found, expect) => assert_eq!(found, expect.map_err(str::to_owned), "{pointer}"),
        }
    }

    #[test]
    fn a_pointer_finds_a_value_as_it_was_sent() {
        let document =
            r#"{"a/b": [ {"x": 1.50}, [] ], "m~n": {"": 7}, "\u0061": {"b":[1,2]}, "two":1, "two": {"z" : 1 }}"#;
        check(document, "/a~1b/0", Ok(Some(r#"{"x": 1.50}"#)));
        check(document, "/a~1b/0/x", Ok(Some("1.50")));
        check(document, "/m~0n/", Ok(Some("7")));
        check(document, "/a/b/1", Ok(Some("2")));
        check(document, "/two", Ok(Some(r#"{"z" : 1 }"#)));
        check("[1]", "", Ok(Some("[1]")));
        for nothing in ["/none", "/a/b/2", "/a~1b/1/x/y"] {
            check(document, nothing, Ok(None));
        }
    }

    #[test]
    fn a_value_of_another_kind_on_the_way_is_not_taken_for_nothing() {
        check(
            r#"{"meta":"x"}"#,
            "/meta/next",
            Err("a text stands on the way to `/meta/next`"),
        );
        check(r#"{"meta":5}"#, "/meta/next", Err("a number"));
        for step in ["next", "01", "-", "+1"] {
            check(r#"{"meta":[1,2]}"#, &format!("/meta/{step}"), Err("a list stands"));
        }
        for empty in ["null", "false", "\"\"", "[ ]", "{\n}"] {
            check(&format!(r#"{{"meta":{empty}}}"#), "/meta/next", Ok(None));
        }
    }

    #[test]
    fn empty_has_one_meaning() {
        for empty in ["null", "false", "\"\"", "\" \"", "[]", "[ ]", "{}", "{ \n}"] {
            assert!(is_empty(raw(empty)), "{empty}");
        }
        for filled in ["0", "\"a\"", "[1]", "true", "[[]]", r#"{"a":null}"#] {
            assert!(!is_empty(raw(filled)), "{filled}");
        }
    }

    #[test]
    fn a_count_is_a_number_or_its_text() {
        for (json, expect) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("\"7\"", Some(7)),
            ("\" 7.00 \"", Some(7)),
            ("1.2e3", Some(1200)),
            ("18446744073709551615", Some(u64::MAX)),
            ("7.5", None),
            ("-1", None),
            ("-0.0", None),
            ("1e300", None),
            ("\"1,234\"", None),
            ("\"+7\"", None),
            ("\"inf\"", None),
            ("\"\"", None),
            ("true", None),
            ("[7]", None),
        ] {
            assert_eq!(count(raw(json)), expect, "{json}");
        }
    }
}
