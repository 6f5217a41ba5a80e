//! Patching: some items of a listing are exchanged, and nothing else of it is read.
//!
//! ```text
//! patch       one family, under its lease: the changed rows are read, each stream is exchanged and published
//! removal     items that are gone leave a listing, without a lease
//! recall      the same, and no generation that had them may be read or gone back to any more
//! kept        a full read follows the changes that were recorded since it was drawn, before it is published; `followed` is its pure part
//!   ├─► rows        changed rows, read from the origin
//!   ├─► exchange    one stream: its columns, the places of items, the chunks that are made anew
//!   │     └─► swap   the rows that leave and come: pure
//!   └─► publishing  of patches, removals and recalls: over the head that they were made from
//! ```
//!
//! # What must hold
//! - **All rows of a changed id are exchanged**, and placed by the stored sort keys, never by their JSON. Where a stream has no keys it is read in full.
//! - **A patch has an expected base**: where another head is current it is made again, never sent again.
//! - **A patch makes nothing younger**: it keeps when its base was read, its due time, and the mark of requests that no full read has answered.
//! - **An earlier read hides no later change**: `publish` looks for recorded changes in the step that moves the head.

pub(in crate::engine) mod exchange;
pub(crate) mod followed;
pub(in crate::engine) mod kept;
pub(crate) mod patch;
pub(crate) mod publishing;
pub(in crate::engine) mod recall;
pub(crate) mod removal;
pub(crate) mod rows;
pub(crate) mod swap;
