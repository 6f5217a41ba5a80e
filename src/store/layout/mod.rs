//! What lies where in Redis, and in which bytes: keys, heads, chunks, announcements.

pub(super) mod announcements;
pub(super) mod chunk_codec;
pub(super) mod entry_id;
pub(super) mod head_codec;
pub(super) mod keys;
pub(super) mod numbers;
pub(super) mod seen;
