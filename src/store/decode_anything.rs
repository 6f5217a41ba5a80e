//! For fuzzing: gives arbitrary bytes to all code that reads replies.

use bytes::BytesMut;
use redis::Value;

use super::{
    dictionaries::Dictionaries,
    hearing::log,
    layout::{announcements::Envelope, chunk_codec, delta_codec, head_codec, keys::Keys},
    moving::layout_1,
    wire::{reply, resp},
    writing::{draw, publish},
};
use crate::listing::{Delta, Generation, ListingKey, NextChanges};

/// None of them may panic, and none may make more of a reply than was asked for.
pub(crate) fn decode_anything(data: &[u8]) {
    let keys = Keys::new("shop");
    let Some(listing) = ListingKey::parse("a/b") else {
        return;
    };
    let (head, stream) = (
        keys.head(&listing),
        keys.stream(&listing, Generation { id: 1, nonce: 1 }),
    );
    let dictionaries = Dictionaries::new();
    let _ = serde_json::from_slice::<Envelope<'_>>(data);
    if let Some(next) = NextChanges::parse(data) {
        assert_eq!(NextChanges::parse(next.to_json().as_bytes()), Some(next));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(announcement) = super::layout::announcements::parse_body(text)
    {
        assert!(announcement.written.is_none());
    }
    if let Ok(chunks) = chunk_codec::decode_range(data, &stream, 0..4, &dictionaries) {
        assert!(chunks.len() <= 4);
        assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
    }
    let items = [
        chunk_codec::decode_items(data, &stream, 0..4, &dictionaries).ok(),
        layout_1::decode_chunks(data, "key", &(0..4)).ok(),
    ];
    for chunks in items.into_iter().flatten() {
        assert!(chunks.len() <= 4);
        assert!(chunks.iter().all(|items| !items.is_empty()));
    }
    if let Some(delta) = Delta::parse("1-00000001 9 2-00000001:1,3;") {
        let deltas = keys.deltas(&listing, delta.base);
        let chunks = delta_codec::decode_layered(data, &deltas, &delta, [1, 3].into_iter(), &dictionaries);
        assert!(chunks.map_or(2, |chunks| chunks.len()) == 2);
    }
    let mut read = BytesMut::from(data);
    if let Ok(Some(reply)) = resp::Framing::new(usize::MAX).next(&mut read) {
        assert!(data.starts_with(&reply));
        assert_eq!(reply.len() + read.len(), data.len());
    }
    let Ok(value) = redis::parse_redis_value(data) else {
        return;
    };
    let decode_for_writing = |head: Value, keys: &Keys, listing: &ListingKey| {
        let nothing = Value::Array(Vec::new());
        // A writer asks for one field more.
        let head = match head {
            Value::Array(mut fields) => {
                fields.push(Value::Nil);
                Value::Array(fields)
            }
            other => other,
        };
        head_codec::decode_for_writing(&mut [head, nothing, Value::Int(0)].into_iter(), keys, listing)
    };
    // A writer understands every text that a reader understands, and the other way round except for damage.
    let read = head_codec::decode_head(value.clone(), &head);
    if let (Ok(read), Ok(stored)) = (&read, decode_for_writing(value.clone(), &keys, &listing)) {
        assert_eq!(stored.state, *read);
    }
    let _ = log::decode_newest(value.clone());
    let _ = reply::time_left(Some(value.clone()), "key");
    let _ = draw::decode(value.clone(), &[1]);
    let _ = publish::decode(value, &listing);
}
