//! What is read for a page: heads and chunks.
//!
//! `heads` reads heads alone; `pages` reads the items of a generation, with its head where that is wanted, and `decoding` the dictionaries that they need; `ranges` reads several of their ranges; `stream_columns` reads columns and items with their ids; `kept_ids` the ids of all that is kept; `worker_reads` gives a
//! worker a connection of its own; `exports` reads whole generations for exports.
//!
//! What must hold: a page is one turn of plain commands, never a script. Every head that is read raises the ids seen, and what
//! this version did not write is refused, never guessed at.

pub(super) mod decoding;
pub(super) mod exports;
pub(super) mod heads;
pub(super) mod kept_ids;
pub(super) mod pages;
pub(super) mod ranges;
pub(super) mod stream_columns;
pub(super) mod worker_reads;
