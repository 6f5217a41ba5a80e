//! The body of a page: a prefix, slices of chunks, a suffix; or the slices of a gzip [member](super::packed).
//!
//! No item is parsed or joined here: chunks hold their items ready for the wire, and the body hands out slices of them.
//! Its length is known before the first byte, so the answer has a `Content-Length`.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

use crate::{engine::PageItems, listing::Direction};

/// Slices that go out one after the other.
#[derive(Debug)]
pub(crate) struct PageBody {
    slices: vec::IntoIter<Bytes>,
    size_bytes: u64,
}

const SUFFIX: Bytes = Bytes::from_static(b"]}");

impl PageBody {
    /// The body of a page, whose [prefix](super::envelope::Envelope::prefix) ends where the items begin.
    pub(crate) fn of(prefix: Bytes, items: &PageItems) -> Self {
        let count = match items.direction {
            Direction::Forward => items.pieces.len(),
            Direction::Reverse => items.pieces.iter().map(|(_, range)| range.len()).sum(),
        };
        let mut slices = Vec::with_capacity(count + 2);
        slices.push(prefix);
        push_items(&mut slices, items);
        slices.push(SUFFIX);
        Self::from(slices)
    }
}

impl From<Vec<Bytes>> for PageBody {
    fn from(slices: Vec<Bytes>) -> Self {
        let size_bytes = slices.iter().map(|slice| slice.len() as u64).sum();
        Self {
            slices: slices.into_iter(),
            size_bytes,
        }
    }
}

/// As few slices as there can be: whole runs forward, single items backwards, each with the comma that follows it.
fn push_items(slices: &mut Vec<Bytes>, items: &PageItems) {
    let mut pieces = items.pieces.iter().peekable();
    while let Some((chunk, range)) = pieces.next() {
        let is_last = pieces.peek().is_none();
        match items.direction {
            Direction::Forward if is_last => slices.push(chunk.items(range.clone())),
            Direction::Forward => slices.push(chunk.items_and_comma(range.clone())),
            Direction::Reverse => {
                let followed = range.start + usize::from(is_last)..range.end;
                slices.extend(followed.rev().map(|at| chunk.items_and_comma(at..at + 1)));
                if is_last {
                    slices.push(chunk.item(range.start));
                }
            }
        }
    }
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
    use crate::listing::Chunk;

    /// A piece: a chunk's items, and which of them are on the page.
    type Piece<'a> = (&'a [&'a str], std::ops::Range<usize>);

    async fn check(direction: Direction, pieces: &[Piece<'_>], slices: usize, expect: &str) {
        let items = PageItems {
            direction,
            pieces: pieces
                .iter()
                .map(|(items, range)| (Arc::new(Chunk::join(*items)), range.clone()))
                .collect(),
        };
        let body = PageBody::of(Bytes::from_static(b"["), &items);
        assert_eq!(body.slices.len(), slices + 2);
        let BodySize::Sized(size) = body.size() else {
            panic!("a page knows its size")
        };
        let bytes = to_bytes(body).await.unwrap();
        assert_eq!(bytes.len() as u64, size);
        assert_eq!(bytes, expect);
    }

    #[tokio::test]
    async fn forward_sends_a_piece_in_one_slice() {
        let pieces: [Piece<'_>; 3] = [
            (&["0", "{ \"a\" : 1.0 }"], 1..2),
            (&["2", "3"], 0..2),
            (&["4", "5"], 0..1),
        ];
        check(Direction::Forward, &pieces[..1], 1, "[{ \"a\" : 1.0 }]}").await;
        check(Direction::Forward, &pieces, 3, "[{ \"a\" : 1.0 },2,3,4]}").await;
    }

    #[tokio::test]
    async fn reverse_sends_the_items_of_a_piece_last_first() {
        let pieces: [Piece<'_>; 2] = [(&["4", "5"], 0..2), (&["0", "1", "2", "3"], 1..4)];
        check(Direction::Reverse, &pieces[..1], 2, "[5,4]}").await;
        check(Direction::Reverse, &pieces, 5, "[5,4,3,2,1]}").await;
    }

    #[tokio::test]
    async fn a_page_past_the_end_has_no_items() {
        check(Direction::Forward, &[], 0, "[]}").await;
        check(Direction::Reverse, &[], 0, "[]}").await;
    }
}
