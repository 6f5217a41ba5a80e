//! One answer of an API taken apart: its items, how many there are in all, and what leads to the next answer.
//!
//! Nothing is read into values: each part is a slice of the answer, and an item stays byte for byte what was sent.

use std::{borrow::Cow, collections::HashMap, io::Read};

use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;

use crate::{
    config::{HttpOriginConfig, JsonPointer, Paging, Total},
    listing::item_json::without_place,
    origin::OriginError,
};

/// An answer's body, as it came.
pub(super) struct Body {
    pub bytes: Vec<u8>,
    pub packed: bool,
}

/// What an answer holds.
pub(super) struct Page<T> {
    pub elements: Vec<T>,
    /// How many items there are in all, where the answer itself says so.
    pub total: Option<u64>,
    /// The next cursor or URL, where the answer holds one.
    pub next: Option<Box<RawValue>>,
    /// A newer id of the session.
    pub session: Option<Box<RawValue>>,
    /// The unpacked answer's length.
    pub bytes: u64,
}

impl<T> Page<T> {
    /// The page of an API that answered that it has nothing there.
    pub fn empty() -> Self {
        Self {
            elements: Vec::new(),
            total: Some(0),
            next: None,
            session: None,
            bytes: 0,
        }
    }
}

/// Takes a page apart. `each` is given each item with its position, the first of which is `first`.
pub(super) fn page<T>(
    body: Body,
    config: &HttpOriginConfig,
    first: u64,
    each: &(dyn Fn(u64, &str) -> Result<T, OriginError> + Send + Sync),
) -> Result<Page<T>, OriginError> {
    let bytes = unpacked(body, config.response_bytes_max)?;
    let document = document(&bytes)?;
    let list = at(document, &config.items)?.filter(|value| !is_null(value));
    let list = list.ok_or_else(|| nothing_at("items", &config.items))?;
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(|_| {
        OriginError::Misdeclared(format!("the answer's value at `{}` (`items`) is no list", config.items))
    })?;
    let mut elements = Vec::with_capacity(list.len());
    for (position, element) in (first..).zip(&list) {
        let item = at(element, &config.item)?.ok_or_else(|| OriginError::BadItem {
            position,
            reason: format!("it has nothing at `{}` (`item`)", config.item),
        })?;
        elements.push(each(position, item.get())?);
    }
    let total = match &config.total {
        Some(Total::Pointer(pointer)) => {
            let total = at(document, pointer)?.ok_or_else(|| nothing_at("total", pointer))?;
            Some(serde_json::from_str(total.get()).map_err(|_| {
                OriginError::Misdeclared(format!("the answer's value at `{pointer}` (`total`) is no count"))
            })?)
        }
        _ => None,
    };
    let next = match &config.paging {
        Paging::Cursor(pointer) | Paging::Url(pointer) => at(document, pointer)?.filter(|next| leads_on(next)),
        Paging::LastItem(pointer) => match list.last() {
            Some(last) => Some(at(last, pointer)?.ok_or_else(|| nothing_at("next_in_item", pointer))?),
            None => None,
        },
        _ => None,
    };
    let renewed = config.session.as_ref().and_then(|session| session.renewed.as_ref());
    let session = match renewed {
        Some(pointer) => at(document, pointer)?,
        None => None,
    };
    Ok(Page {
        total,
        next: next.map(ToOwned::to_owned),
        session: session.map(ToOwned::to_owned),
        bytes: bytes.len() as u64,
        elements,
    })
}

/// The value at a pointer in an answer that is no page.
pub(super) fn value(body: Body, max: u64, pointer: &JsonPointer) -> Result<Box<RawValue>, OriginError> {
    let bytes = unpacked(body, max)?;
    let value = at(document(&bytes)?, pointer)?.filter(|value| !is_null(value));
    value
        .map(ToOwned::to_owned)
        .ok_or_else(|| nothing_at("session.id", pointer))
}

fn unpacked(body: Body, max: u64) -> Result<Vec<u8>, OriginError> {
    if !body.packed {
        return Ok(body.bytes);
    }
    let mut bytes = Vec::new();
    // One byte more than may be there shows that there is more.
    MultiGzDecoder::new(&body.bytes[..])
        .take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| OriginError::Unavailable(Box::new(error)))?;
    if bytes.len() as u64 > max {
        return Err(too_large(max));
    }
    Ok(bytes)
}

pub(super) fn too_large(max: u64) -> OriginError {
    OriginError::Misdeclared(format!("an answer has more than {max} bytes (`response_max`)"))
}

fn document(bytes: &[u8]) -> Result<&RawValue, OriginError> {
    let not_json = |reason: &str| OriginError::Unavailable(format!("the answer is not JSON: {reason}").into());
    let text = std::str::from_utf8(bytes).map_err(|_| not_json("not UTF-8"))?;
    serde_json::from_str(text).map_err(|error| not_json(&without_place(&error)))
}

fn nothing_at(key: &str, pointer: &JsonPointer) -> OriginError {
    OriginError::Misdeclared(format!("the answer has nothing at `{pointer}` (`{key}`)"))
}

/// The value that a pointer points at. Of two members of one name the last counts.
fn at<'v>(value: &'v RawValue, pointer: &JsonPointer) -> Result<Option<&'v RawValue>, OriginError> {
    let mut value = value;
    for step in pointer.steps() {
        let below = match value.get().as_bytes().first() {
            Some(b'{') => serde_json::from_str::<HashMap<Cow<'v, str>, &'v RawValue>>(value.get())
                .map(|members| members.get(step).copied()),
            Some(b'[') => serde_json::from_str::<Vec<&'v RawValue>>(value.get())
                .map(|elements| position(step).and_then(|at| elements.get(at).copied())),
            _ => Ok(None),
        };
        // The document was parsed: what fails here is a name that is no text, such as half of a surrogate pair.
        let below = below.map_err(|error| OriginError::Unavailable(without_place(&error).into()))?;
        match below {
            Some(below) => value = below,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// A position as RFC 6901 writes it: no leading zero, no sign.
fn position(step: &str) -> Option<usize> {
    let is_number = step.bytes().all(|byte| byte.is_ascii_digit());
    let is_canonical = step == "0" || !step.starts_with('0');
    (is_number && is_canonical).then(|| step.parse().ok()).flatten()
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// Whether a next cursor or URL is one: APIs say in several ways that there is none.
fn leads_on(next: &RawValue) -> bool {
    !matches!(next.get(), "null" | "false" | "\"\"" | "[]" | "{}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(document: &str, pointer: &str, expect: Option<&str>) {
        let pointer = JsonPointer::parse(pointer).unwrap();
        let document: &RawValue = serde_json::from_str(document).unwrap();
        let found = at(document, &pointer).unwrap();
        assert_eq!(found.map(RawValue::get), expect, "{pointer}");
    }

    #[test]
    fn a_pointer_finds_a_value_as_it_was_sent() {
        let document =
            r#"{"a/b": [ {"x": 1.50}, [] ], "m~n": {"": 7}, "\u0061": {"b":[1,2]}, "two":1, "two": {"z" : 1 }}"#;
        check(document, "/a~1b/0", Some(r#"{"x": 1.50}"#));
        check(document, "/a~1b/0/x", Some("1.50"));
        check(document, "/m~0n/", Some("7"));
        check(document, "/a/b/1", Some("2"));
        check(document, "/two", Some(r#"{"z" : 1 }"#));
        for nothing in [
            "/none", "/a/b/2", "/a/b/01", "/a/b/-", "/a/b/+1", "/a/b/0/x", "/two/z/y",
        ] {
            check(document, nothing, None);
        }
        check("[1]", "", Some("[1]"));
        check("5", "/0", None);
    }

    #[test]
    fn an_end_is_said_in_several_ways() {
        for end in ["null", "false", "\"\"", "[]", "{}"] {
            assert!(!leads_on(serde_json::from_str(end).unwrap()), "{end}");
        }
        for next in ["0", "\"a\"", "[1]", "true"] {
            assert!(leads_on(serde_json::from_str(next).unwrap()), "{next}");
        }
    }

    #[test]
    fn what_is_packed_has_the_same_bound() {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&[b' '; 100_000]).unwrap();
        let bytes = packer.finish().unwrap();
        let packed = |max| {
            let body = Body {
                bytes: bytes.clone(),
                packed: true,
            };
            unpacked(body, max)
        };
        assert_eq!(packed(100_000).unwrap().len(), 100_000);
        assert!(matches!(packed(99_999), Err(OriginError::Misdeclared(_))));
    }
}
