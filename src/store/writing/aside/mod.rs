//! Writing a generation aside: nobody reads it before it is published.
//!
//! - `generations` takes items in their order, `finished` is what it leaves.
//! - `stream_writer` has entries on their way into a stream, `in_flight` their pipelines; `fields` has what goes into hashes, `columns` the
//!   segments among it. `packer` packs chunks.
//! - A `base` saves what has not changed, and `whole` does without it where too much has.
//!
//! What must hold: nothing that is written here is ever without an expiry, and only a whole generation is finished.

pub(crate) mod base;
mod columns;
mod fields;
pub(crate) mod finished;
pub(crate) mod generations;
pub(crate) mod in_flight;
mod packer;
mod stream_writer;
mod whole;
