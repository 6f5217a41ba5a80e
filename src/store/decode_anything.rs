//! For fuzzing: gives arbitrary bytes to all code that reads replies.

use bytes::BytesMut;

use super::{
    hearing::log,
    layout::{announcements::Envelope, chunk_codec, head_codec},
    wire::{reply, resp},
    writing::{draw, publish},
};
use crate::listing::ListingKey;

/// None of them may panic, and none may make more of a reply than was asked for.
pub(crate) fn decode_anything(data: &[u8]) {
    let _ = serde_json::from_slice::<Envelope<'_>>(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Some(announcement) = super::layout::announcements::parse_body(text)
    {
        assert!(announcement.written.is_none());
    }
    if let Ok(chunks) = chunk_codec::decode_range(data, "key", &(0..4)) {
        assert!(chunks.len() <= 4);
        assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
    }
    let mut read = BytesMut::from(data);
    if let Ok(Some(reply)) = resp::Framing::new(usize::MAX).next(&mut read) {
        assert!(data.starts_with(&reply));
        assert_eq!(reply.len() + read.len(), data.len());
    }
    let Ok(value) = redis::parse_redis_value(data) else {
        return;
    };
    // A writer understands every text that a reader understands, and the other way round except for damage.
    let read = head_codec::decode_head(value.clone(), "key");
    if let (Ok(read), Ok(stored)) = (&read, head_codec::decode_for_writing(value.clone(), "key")) {
        assert_eq!(stored.state, *read);
    }
    let _ = log::decode_newest(value.clone());
    let _ = reply::time_left(Some(value.clone()), "key");
    let _ = draw::decode(value.clone(), &[1]);
    if let Some(key) = ListingKey::parse("a/b") {
        let _ = publish::decode(value, &key);
    }
}
