//! Packed chunks: a chunk's items, ids and JSON, as one byte string.
//!
//! ```text
//! packed      00  plain                                     as it is, where packing makes it no smaller
//!             01  dictionary  plain length  zstd frame      8 bytes, 4 bytes, both least byte first; dictionary 0: none
//! plain       count, then for each item: bytes of its id, bytes of its JSON      (LEB128)
//!             all ids, back to back
//!             all JSON, back to back
//! sealed      packed  sum                                   8 bytes
//! ```
//! A JSON value never begins with the byte 00 or 01. So a stream entry with the single field `z` is told from an item whose id is `z` by the
//! first byte of its value.
//!
//! Lengths, ids and JSON stand apart, for so they pack better, and the JSON of a chunk is one run, which is copied once on its way to a page.
//!
//! The frame has no check sum of its own: a stream entry has a sum, and a field of a hash is *sealed* ([`seal`]). All the same nothing of
//! these bytes is believed. Lengths are compared with bounds and with each other before anything is allocated.
//!
//! `frame` is the outer form, for any bytes; `body` is the plain form of a chunk; `chunk` puts both together; `seal` adds the sum.

mod body;
mod chunk;
mod frame;
mod seal;

pub(crate) use self::{
    chunk::{PlainChunk, unpack_chunk, unpack_items},
    frame::{UnpackError, is_packed},
    seal::{seal, unseal},
};

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
