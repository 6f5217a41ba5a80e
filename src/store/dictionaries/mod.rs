//! Dictionaries for packing: what the chunks of one definition have in common, so that a chunk of a few items packs well alone.
//!
//! ```text
//! registry      all dictionaries of the process: by hash for readers, by scope for writers
//! training      makes a dictionary of samples, outside the registry's lock
//! scopes        the table of scopes, bounded
//! scope         one scope: its dictionary, and when it is time to train another
//! samples       the chunks that a dictionary is trained from
//! known         dictionaries by hash, bounded
//! dictionary    bytes, hash, and the forms that zstd works with
//! frames        zstd frames, by contexts that each thread keeps
//! ```
//! Each uses those below it.
//!
//! A *scope* is a group of listings whose chunks look alike: a definition, or a pushed listing. A writer asks for the scope's dictionary, packs,
//! and tells what came of it. The registry takes samples until there are 125. Then it gives a [`Training`] to the writer, which runs it on a
//! thread where it may take some 100 ms. No writer waits for it: until it ends, chunks are packed without a dictionary.
//!
//! Why a dictionary: zstd learns a chunk's field names and common values from the chunk itself, and 12 items are little to learn from. Why one
//! for a definition and not one for all: items of one definition have the same fields, and 2 KB hold little more than those.
//!
//! Everything is bounded: dictionaries in the registry, scopes, bytes of samples, trainings under way. Beyond a bound the least recently used
//! is forgotten. A reader then fetches a dictionary again; a writer adopts or trains one.

mod dictionary;
mod frames;
mod known;
mod registry;
mod samples;
mod scope;
mod scopes;
mod training;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    dictionary::{Dictionary, DictionaryHash, pack_frame, unpack_frame},
    registry::Dictionaries,
    scope::{DictionaryScope, Packing},
};
