//! The body of a page: a prefix, slices of chunks, a suffix.
//!
//! No item is parsed or joined here: chunks hold their items ready for the wire, and the body hands out slices of them.
//! Its length is known before the first byte, so the answer has a `Content-Length`.

use std::{
    convert::Infallible,
    fmt::Write,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use super::links::PageLinks;
use crate::{
    engine::{PageItems, PageMeta},
    listing::{Direction, ListingKey},
};

/// Slices that go out one after the other.
#[derive(Debug)]
pub struct PageBody {
    slices: vec::IntoIter<Bytes>,
    size_bytes: u64,
}

const COMMA: Bytes = Bytes::from_static(b",");
const SUFFIX: Bytes = Bytes::from_static(b"]}");

impl PageBody {
    /// The body of a page. `count` is the number of items.
    pub fn of(key: &ListingKey, meta: &PageMeta, links: &PageLinks, items: Option<&PageItems>, count: u64) -> Self {
        let pieces = items.map_or(0, |items| items.pieces.len());
        let mut slices = Vec::with_capacity(2 * pieces + 2);
        slices.push(prefix(key, meta, links, count));
        if let Some(items) = items {
            push_items(&mut slices, items);
        }
        slices.push(SUFFIX);
        let size_bytes = slices.iter().map(|slice| slice.len() as u64).sum();
        Self {
            slices: slices.into_iter(),
            size_bytes,
        }
    }
}

fn push_items(slices: &mut Vec<Bytes>, items: &PageItems) {
    let mut push = |slice: Bytes, first: &mut bool| {
        if !std::mem::take(first) {
            slices.push(COMMA);
        }
        slices.push(slice);
    };
    let mut first = true;
    for (chunk, range) in &items.pieces {
        match items.direction {
            Direction::Forward if range.is_empty() => {}
            Direction::Forward => push(chunk.items(range.clone()), &mut first),
            Direction::Reverse => {
                for at in range.clone().rev() {
                    push(chunk.item(at), &mut first);
                }
            }
        }
    }
}

/// All of the body before its first item. It depends on the listing key, the generation and the window, and on nothing
/// else: no clock, no hit state, no host.
fn prefix(key: &ListingKey, meta: &PageMeta, links: &PageLinks, count: u64) -> Bytes {
    let mut text = String::with_capacity(1024);
    let limit = u64::from(meta.limit.get());
    text.push_str("{\"listing\":");
    push_json(&mut text, key.name().as_str());
    // Sorts, generations and encoded URLs hold no character that JSON escapes. Writing to a String does not fail.
    let _ = write!(
        text,
        r#","sort":"{}","order":"{}","generation":"{}","total":{},"offset":{},"limit":{},"count":{}"#,
        key.sort(),
        meta.order.as_str(),
        meta.generation,
        meta.total,
        meta.offset,
        limit,
        count,
    );
    let _ = match meta.offset % limit {
        0 => write!(text, r#","page":{}"#, u128::from(meta.offset / limit) + 1),
        _ => write!(text, r#","page":null"#),
    };
    let _ = write!(text, r#","pages":{}"#, meta.total.div_ceil(limit));
    let _ = write!(text, r#","links":{{"self":"{}","first":"{}""#, links.this, links.first);
    for (name, link) in [("prev", &links.prev), ("next", &links.next), ("last", &links.last)] {
        let _ = match link {
            Some(link) => write!(text, r#","{name}":"{link}""#),
            None => write!(text, r#","{name}":null"#),
        };
    }
    text.push_str("},\"items\":[");
    text.into()
}

fn push_json(text: &mut String, value: &str) {
    // A string always is JSON.
    text.push_str(&serde_json::to_string(value).unwrap_or_default());
}

impl MessageBody for PageBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size_bytes)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(self.slices.next().map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actix_web::body::to_bytes;

    use super::*;
    use crate::{
        http::answer::sample::{meta, selection},
        listing::Chunk,
    };

    fn items(direction: Direction, pieces: &[(&[&str], std::ops::Range<usize>)]) -> PageItems {
        PageItems {
            direction,
            pieces: pieces
                .iter()
                .map(|(items, range)| (Arc::new(Chunk::join(items)), range.clone()))
                .collect(),
        }
    }

    async fn text(key: &str, meta: &PageMeta, items: Option<&PageItems>, count: u64) -> String {
        let selection = selection(key);
        let links = PageLinks::of(&selection, meta);
        let body = PageBody::of(&selection.key, meta, &links, items, count);
        let BodySize::Sized(size) = body.size() else {
            panic!("a page knows its size")
        };
        let bytes = to_bytes(body).await.unwrap();
        assert_eq!(bytes.len() as u64, size);
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn fields_stand_in_the_contracts_order() {
        let meta = meta(1434, 24, 2);
        let items = items(
            Direction::Forward,
            &[(&["0", "{ \"a\" : 1.0 }"], 1..2), (&["2", "3"], 0..1)],
        );
        let links = PageLinks::of(&selection("a%22b/price"), &meta);
        assert_eq!(
            text("a%22b/price", &meta, Some(&items), 2).await,
            format!(
                concat!(
                    r#"{{"listing":"a\"b","sort":"price","order":"asc","generation":"1795291200123456-9f1c02ab","#,
                    r#""total":1434,"offset":24,"limit":2,"count":2,"page":13,"pages":717,"#,
                    r#""links":{{"self":"{}","first":"{}","prev":"{}","next":"{}","last":"{}"}},"#,
                    r#""items":[{{ "a" : 1.0 }},2]}}"#
                ),
                links.this,
                links.first,
                links.prev.unwrap(),
                links.next.unwrap(),
                links.last.unwrap(),
            )
        );
    }

    #[tokio::test]
    async fn reverse_sends_the_items_of_a_piece_last_first() {
        let items = items(
            Direction::Reverse,
            &[(&["4", "5"], 0..2), (&["0", "1", "2", "3"], 1..4)],
        );
        let body = text("a/price", &meta(6, 0, 5), Some(&items), 5).await;
        assert!(body.ends_with(r#""items":[5,4,3,2,1]}"#), "{body}");
    }

    #[tokio::test]
    async fn what_is_absent_is_null() {
        let body: serde_json::Value = serde_json::from_str(&text("a/price", &meta(0, 0, 24), None, 0).await).unwrap();
        assert_eq!(body["pages"], 0);
        assert_eq!(body["page"], 1);
        assert_eq!(body["items"], serde_json::json!([]));
        for absent in ["prev", "next", "last"] {
            assert_eq!(body["links"][absent], serde_json::Value::Null);
        }
        let between = text("a/price", &meta(100, 7, 24), None, 0).await;
        assert!(between.contains(r#""page":null,"pages":5,"#), "{between}");
    }

    #[tokio::test]
    async fn the_largest_offset_is_a_page_past_the_end() {
        let body = text("a/price", &meta(3, u64::MAX, 1), None, 0).await;
        assert!(body.contains(r#""page":18446744073709551616,"pages":3,"#), "{body}");
    }
}
