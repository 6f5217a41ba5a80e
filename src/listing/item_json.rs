//! The rules for an item's JSON: one object, with an id among its members.

use std::{borrow::Cow, fmt, str};

use bytes::Bytes;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{
    field::Field,
    item::{Item, ItemId},
};

/// How deep an item's objects and arrays may nest, itself counted.
///
/// Common parsers stop at 128, and on a page an item lies two levels deep.
pub const ITEM_NESTING_MAX: usize = 120;

/// Why a piece of JSON is not an item.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidItem {
    /// Bytes that are not text.
    #[error("not UTF-8")]
    NotUtf8,
    /// The parser's own message.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// An array, a text, a number.
    #[error("an item must be a JSON object")]
    NotAnObject,
    /// Deeper than [`ITEM_NESTING_MAX`].
    #[error("nested deeper than {ITEM_NESTING_MAX} levels")]
    NestedTooDeep,
    /// An escape such as `\ud83d` without its other half.
    #[error(
        "half of a character stands alone, such as `\\ud83d` of an emoji: the text was cut, and many parsers refuse it"
    )]
    HalfCharacter,
    /// No member of that name.
    #[error("the member `{0}`, the item's id, is missing")]
    NoId(Box<str>),
    /// It is there, but it is no id.
    #[error("the member `{0}`, the item's id, must be a string of 1 to 256 bytes or an integer of 64 bits")]
    BadId(Box<str>),
}

/// Takes JSON without space around it as an item; its bytes are kept as they are.
///
/// Where the id's member stands twice, the last one counts, as in a browser's `JSON.parse`.
pub fn parse_item(json: &[u8], id_field: &Field) -> Result<Item, InvalidItem> {
    let text = str::from_utf8(json).map_err(|_| InvalidItem::NotUtf8)?;
    if !text.starts_with('{') {
        return Err(InvalidItem::NotAnObject);
    }
    // First: the parser has other words for it, and only where it looks.
    if half_character(json, 0).is_some() {
        return Err(InvalidItem::HalfCharacter);
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let id = parser
        .deserialize_map(IdAt(id_field.steps()))
        .and_then(|id| parser.end().map(|()| id))
        .map_err(|error| InvalidItem::NotJson(without_place(&error)))?;
    if nests_too_deep(json) {
        return Err(InvalidItem::NestedTooDeep);
    }
    let id = match id {
        None => return Err(InvalidItem::NoId(id_field.as_str().into())),
        Some(IdValue::Text(id)) => ItemId::parse(&id),
        Some(IdValue::Other) => None,
    };
    Ok(Item {
        id: id.ok_or_else(|| InvalidItem::BadId(id_field.as_str().into()))?,
        json: Bytes::copy_from_slice(json),
    })
}

/// Besides being sound JSON with an id, an item must be readable for the common parsers.
pub fn check_readable(json: &[u8]) -> Result<(), InvalidItem> {
    if half_character(json, 0).is_some() {
        return Err(InvalidItem::HalfCharacter);
    }
    if nests_too_deep(json) {
        return Err(InvalidItem::NestedTooDeep);
    }
    Ok(())
}

/// The JSON with U+FFFD in the place of each half of a character: for looking at items that are not taken.
pub fn without_half_characters(json: &str) -> Cow<'_, str> {
    const REPLACEMENT: &str = "\\ufffd";
    let mut text = Cow::Borrowed(json);
    let mut from = 0;
    while let Some(at) = half_character(text.as_bytes(), from) {
        from = at + REPLACEMENT.len();
        text.to_mut().replace_range(at..from, REPLACEMENT);
    }
    text
}

/// Where, behind `from`, an escape of half a surrogate pair stands alone.
fn half_character(json: &[u8], from: usize) -> Option<usize> {
    // Most items have no escape at all, and looking for one byte is quick.
    if !json.contains(&b'\\') {
        return None;
    }
    let mut at = from;
    loop {
        at += json.get(at..)?.iter().position(|byte| *byte == b'\\')?;
        at += match (escaped_unit(json, at), escaped_unit(json, at + 6)) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => 12,
            (Some(0xD800..0xE000), _) => return Some(at),
            (Some(_), _) => 6,
            (None, _) => 2,
        };
    }
}

/// The code unit of an escape such as `\ud83d`.
fn escaped_unit(json: &[u8], at: usize) -> Option<u32> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    is_hex.then(|| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok())?
}

/// A JSON parser's message without line and column: they count from the item's first byte, not the document's.
pub fn without_place(error: &serde_json::Error) -> String {
    let mut said = error.to_string();
    if let Some(place) = said.rfind(" at line ") {
        said.truncate(place);
    }
    said
}

/// The parser skips what it need not keep without recursion, so it sets no limit by itself. The JSON is known to be sound.
fn nests_too_deep(json: &[u8]) -> bool {
    let opening = json.iter().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opening <= ITEM_NESTING_MAX {
        return false;
    }
    let mut nesting = Nesting::default();
    json.iter().any(|byte| {
        nesting.take(*byte);
        nesting.depth > ITEM_NESTING_MAX
    })
}

/// How many objects and arrays are open at a place in JSON.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nesting {
    /// Those open now. A bracket of the wrong kind counts too: the parser finds it.
    pub depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    /// Goes on by one byte.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) {
        if self.in_string {
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.in_string = false;
            }
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Goes on to the end of the bytes, or to just behind the bracket that closes the outermost one, and says where that is.
    pub(super) fn close(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            self.take(*byte);
            if self.depth == 0 {
                return Some(at + 1);
            }
        }
        None
    }
}

/// Finds the id at its place in an object, and checks the grammar of the rest on the way.
#[derive(Clone, Copy)]
struct IdAt<'a>(&'a [Box<str>]);

impl<'de> DeserializeSeed<'de> for IdAt<'_> {
    type Value = Option<IdValue>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => IdValue::deserialize(value).map(Some),
            _ => value.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for IdAt<'_> {
    type Value = Option<IdValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (step, below) = self
            .0
            .split_first()
            .map_or(("", &[][..]), |(step, below)| (step, below));
        let mut id = None;
        while let Some(leads_there) = members.next_key_seed(KeyIs(step))? {
            if leads_there {
                id = members.next_value_seed(IdAt(below))?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(id)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let (step, below) = self
            .0
            .split_first()
            .map_or(("", &[][..]), |(step, below)| (step, below));
        let mut id = None;
        for at in 0_usize.. {
            if at.to_string() == *step {
                match elements.next_element_seed(IdAt(below))? {
                    Some(found) => id = found,
                    None => break,
                }
            } else if elements.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(id)
    }

    // Nothing stands below these.
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Whether a member's name is this one; no copy is made of it.
struct KeyIs<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<bool, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

/// An id's value. An integer has but one spelling in JSON, so its text is as given.
enum IdValue {
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for IdValue {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_any(AnyId)
    }
}

struct AnyId;

impl<'de> Visitor<'de> for AnyId {
    type Value = IdValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<IdValue, E> {
        Ok(IdValue::Text(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<IdValue, E> {
        Ok(IdValue::Text(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<IdValue, E> {
        Ok(IdValue::Text(number.to_string()))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<IdValue, E> {
        Ok(IdValue::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<IdValue, E> {
        Ok(IdValue::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<IdValue, E> {
        Ok(IdValue::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<IdValue, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(IdValue::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<IdValue, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(IdValue::Other)
    }
}

#[cfg(test)]
mod tests;
