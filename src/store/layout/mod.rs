//! What lies where in Redis, and in which bytes: keys, heads, chunks, announcements.

pub(super) mod announcements;
pub(super) mod chunk_codec;
pub(super) mod keys;
