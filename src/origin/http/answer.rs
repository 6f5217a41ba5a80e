//! One answer of an API taken apart: its items, how many there are in all, and what leads to the next answer.
//!
//! Nothing is read into values: each part is a slice of the answer, and an item stays byte for byte what was sent.
//!
//! **An empty list** is one of the ways that [`lookup`](super::lookup) lists, at `items` or on the way to it. Where the
//! member is not there at all the answer may as well be an error, or `items` misspelt: that is an empty list only if the
//! total agrees, or the origin says so (`not_found = "empty"`). Anything else is an error.

use serde_json::value::RawValue;

use super::{
    attempts::RequestFailure,
    lookup::{Found, count, elements, find, is_readable},
    refusal::ApiRefusal,
};
use crate::{
    config::{HttpOriginConfig, JsonPointer, Paging, Total},
    listing::{gunzip::Gunzip, item_json::without_place},
    origin::OriginError,
};

/// The byte order mark that some servers put before UTF-8.
const MARK: char = '\u{feff}';

/// An answer's body, as it came.
pub(super) struct Body {
    pub bytes: Vec<u8>,
    pub packed: bool,
    /// The request that it answers, for messages.
    pub request: String,
}

/// The content of an answer.
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
    pub(super) fn empty() -> Self {
        Self {
            elements: Vec::new(),
            total: Some(0),
            next: None,
            session: None,
            bytes: 0,
        }
    }
}

/// Takes a page apart. `each` is given each item with its position; `before` items came on earlier pages. `total` is what
/// a header said.
pub(super) fn page<T>(
    body: Body,
    config: &HttpOriginConfig,
    before: u64,
    total: Option<u64>,
    each: &(dyn Fn(u64, &str) -> Result<T, OriginError> + Send + Sync),
) -> Result<Page<T>, RequestFailure> {
    let Body { request, .. } = &body;
    let request = request.clone();
    let bytes = unpacked(body, config.response_bytes_max)?;
    let document = document(&bytes)?;
    let at = |key: &str, pointer| find_in(document, key, pointer);

    let found = at("items", &config.items);
    let list = found.as_ref().ok().and_then(|found| found.filled());
    if let Some(refusal) = ApiRefusal::in_answer(document, config.errors.as_ref(), list.is_some())? {
        return Err(refusal.failure(&request));
    }
    let found = found?;
    let total = match &config.total {
        Some(Total::Pointer(pointer)) => at("total", pointer)?
            .filled()
            .map(|total| count(total).ok_or_else(|| not("total", pointer, "count")))
            .transpose()?,
        _ => total,
    };
    let list = match (found, list) {
        (_, Some(list)) => elements(list).ok_or_else(|| not("items", &config.items, "list"))?,
        (Found::Value(_) | Found::EmptyOnTheWay, None) => Vec::new(),
        (Found::Absent, None) if total == Some(before) => Vec::new(),
        (Found::Absent, None) if before == 0 && config.not_found_is_empty => Vec::new(),
        (Found::Absent, None) => return Err(nothing_at("items", &config.items).into()),
    };
    if total.is_none() && !list.is_empty() {
        match &config.total {
            Some(Total::Pointer(pointer)) => return Err(nothing_at("total", pointer).into()),
            Some(Total::Header(name)) => {
                let reason = format!("the answer has no header `{name}` (`total_header`)");
                return Err(OriginError::Misdeclared(reason).into());
            }
            None => {}
        }
    }

    let mut items = Vec::with_capacity(list.len());
    for (position, element) in (before + 1..).zip(&list) {
        let bad = |reason| OriginError::BadItem { position, reason };
        let Found::Value(item) = find(element, &config.item).map_err(bad)? else {
            return Err(bad(format!("it has nothing at `{}` (`item`)", config.item)).into());
        };
        items.push(each(position, item.get())?);
    }
    let next = match &config.paging {
        Paging::Cursor(pointer) | Paging::Url(pointer) => at("next", pointer)?.filled(),
        Paging::LastItem(pointer) => match list.last() {
            Some(last) => {
                let next = find_in(last, "next_in_item", pointer)?.filled();
                Some(next.ok_or_else(|| nothing_at("next_in_item", pointer))?)
            }
            None => None,
        },
        _ => None,
    };
    if next.is_some_and(|next| !is_readable(next)) {
        return Err(RequestFailure::unavailable(
            "the next page's cursor or URL is no text that can be sent back",
        ));
    }
    let renewed = config.session.as_ref().and_then(|session| session.renewed.as_ref());
    let session = match renewed {
        Some(pointer) => at("session.renewed", pointer)?.filled(),
        None => None,
    };
    Ok(Page {
        total,
        next: next.map(ToOwned::to_owned),
        session: session.map(ToOwned::to_owned),
        bytes: bytes.len() as u64,
        elements: items,
    })
}

/// The id of a session, in the answer that opened it.
pub(super) fn session_id(
    body: Body,
    config: &HttpOriginConfig,
    pointer: &JsonPointer,
) -> Result<Box<RawValue>, RequestFailure> {
    let request = body.request.clone();
    let bytes = unpacked(body, config.response_bytes_max)?;
    let document = document(&bytes)?;
    let found = find_in(document, "session.id", pointer);
    let id = found.as_ref().ok().and_then(|found| found.filled());
    if let Some(refusal) = ApiRefusal::in_answer(document, config.errors.as_ref(), id.is_some())? {
        return Err(refusal.failure(&request));
    }
    found?;
    let id = id.ok_or_else(|| nothing_at("session.id", pointer))?;
    Ok(id.to_owned())
}

/// The message in the body of an answer with an error's status, if it is JSON.
pub(super) fn refusal(body: Body, max: u64) -> Option<ApiRefusal> {
    let bytes = unpacked(body, max).ok()?;
    Some(ApiRefusal::of(document(&bytes).ok()?))
}

fn unpacked(body: Body, max: u64) -> Result<Vec<u8>, OriginError> {
    if !body.packed {
        return Ok(body.bytes);
    }
    let unavailable = |error| OriginError::Unavailable(Box::new(error));
    let mut gunzip = Gunzip::default();
    let (mut bytes, mut piece) = (Vec::new(), Vec::new());
    let mut rest = &body.bytes[..];
    while !rest.is_empty() {
        let taken = gunzip.unpack(rest, &mut piece).map_err(unavailable)?;
        rest = rest.get(taken..).unwrap_or_default();
        if (bytes.len() + piece.len()) as u64 > max {
            return Err(too_large(max));
        }
        bytes.extend_from_slice(&piece);
    }
    gunzip.end(&mut piece).map_err(unavailable)?;
    bytes.extend_from_slice(&piece);
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
    let text = text.strip_prefix(MARK).unwrap_or(text);
    serde_json::from_str(text).map_err(|error| not_json(&without_place(&error)))
}

fn find_in<'v>(value: &'v RawValue, key: &str, pointer: &JsonPointer) -> Result<Found<'v>, OriginError> {
    find(value, pointer).map_err(|reason| OriginError::Misdeclared(format!("`{key}`: {reason}")))
}

fn nothing_at(key: &str, pointer: &JsonPointer) -> OriginError {
    OriginError::Misdeclared(format!("the answer has nothing at `{pointer}` (`{key}`)"))
}

fn not(key: &str, pointer: &JsonPointer, kind: &str) -> OriginError {
    OriginError::Misdeclared(format!("the answer's value at `{pointer}` (`{key}`) is no {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
                request: String::new(),
            };
            unpacked(body, max)
        };
        assert_eq!(packed(100_000).unwrap().len(), 100_000);
        assert!(matches!(packed(99_999), Err(OriginError::Misdeclared(_))));
    }
}
