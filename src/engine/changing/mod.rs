//! Changes that shops tell of: exactly the listings that hold an item follow, and no other is read.
//!
//! ```text
//! feeds       databases that tell of changes: one node at a time reads one
//!   ├─ outboxes    rows that triggers write, and that are deleted
//!   └─ changelogs  rows of other programs, read behind a position
//! recording   taken from clients, programs and databases: kept in Redis before anybody is told so
//! worker      one node works them off: finds families, patches them, remembers how far it came
//!   ├─ concerned  the families that changes concern
//!   ├─ finding    those of them that can be told at once: pure
//!   ├─ ledger     what is under way: pure
//!   ├─ holdings   which listing holds which items: pure
//!   └─ survey     keeps the holdings as new as the heads
//! lookup      the listings that hold an item, by the same survey
//! ```
//!
//! # What must hold
//! - **Nothing is lost.** A change is in Redis before it is told to be taken, and is worked off only when each family that it concerns was published,
//!   found unchanged, or handed to the schedule. Where the node dies another one begins from the last change that was worked off.
//! - **The families found are all that hold the item.** Before changes are looked at, every announcement that was made before they were recorded has
//!   been heard: the worker sends itself a message and waits for it. A hash may name a family too many, never one too few.
//! - A full read that is under way follows changes by itself ([`kept`](super::refreshing::patching::kept)).

mod changelogs;
mod concerned;
mod feeds;
pub(crate) mod finding;
pub(crate) mod holdings;
pub(crate) mod ledger;
mod lookup;
pub(crate) mod outboxes;
mod recording;
mod survey;
mod surveys;
mod troubles;
mod worker;

pub(super) use self::{feeds::ChangeFeeds, surveys::Surveys, troubles::FeedTroubles, worker::ChangeWorker};
pub use self::{
    lookup::{ItemPlace, ItemPlaces},
    recording::Changes,
};
