//! Columns beside a stream: the part of a sidecar that says, for each position, which item stands there and by which key.
//!
//! Two columns are made here, while a generation is written:
//!
//! - `ids`: a 4-byte hash of each item's id ([`IdHash`]). It finds the positions of an id. A hash may name a position too many, never one too few.
//! - `keys`: the key by which each item stands where it stands. Comparing the bytes of two keys is comparing two places of the stream, so a changed
//!   item finds its new place without a look at other items' JSON. Origins make the keys; their module `sort_key` says which streams
//!   have none.
//!
//! Columns are cut into *segments*, one for each [`Segments::chunks_each`] chunks. A segment is encoded as soon as it is full: memory is bounded for a
//! stream of any length, and a reader takes the segments that it needs. This room knows no Redis: a segment has a field's name and bytes. Whether they
//! are packed, and their sums, are decided by their writer.
//!
//! **A column of keys is whole and in order, or is not there.** The encoder compares each key with the one before it. A smaller, missing or very long
//! key ends the column for the whole stream ([`NoKeys`]): without keys a changed item costs a full refresh, with wrong ones it would stand in a wrong
//! place.

mod columns;
mod front_coding;
mod segments;
mod stream_columns;

pub use self::{
    columns::{ColumnEncoder, EndOfColumns, IdHash, Keyed, NoKeys, Segment, decode_ids},
    front_coding::{DecodedKeys, KEY_BYTES_MAX, Unreadable, decode_keys},
    segments::{Column, Segments},
    stream_columns::StreamColumns,
};

#[cfg(test)]
mod tests;
