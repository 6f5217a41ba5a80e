//! The vocabulary of listings, pure: no I/O, no clock, no framework.
//!
//! Names are parsed once, at the edge of the program; from here on the type is the proof. Functions that need the time
//! take it as an argument.

pub mod belief;
pub mod cache_tag;
pub mod change;
pub mod change_token;
pub mod checksum;
pub mod chunk;
pub mod codec;
pub mod collate;
pub mod content;
pub mod cursor;
pub mod data_version;
pub mod definition;
pub mod deflate;
pub mod delta;
pub mod document;
pub mod exchange;
pub mod field;
pub mod filtering;
pub mod fragment;
pub mod generation;
pub mod gunzip;
pub mod head;
pub mod item;
pub mod item_json;
pub mod json_pointer;
pub mod key;
pub mod name;
pub mod next_change;
pub mod order;
pub mod pattern;
pub mod policy;
pub mod scope;
pub mod sidecar;
pub mod time_text;
pub mod window;

pub use self::belief::Refusal;
pub(crate) use self::change::GONE_MAX;
pub use self::change::{BadChange, Change, ChangeOf, ItemState};
pub use self::change_token::{ChangeToken, ChangesOutcome};
pub use self::checksum::Checksum;
pub use self::chunk::{Chunk, ChunkIndex};
pub use self::codec::Codec;
pub use self::collate::Collate;
pub use self::content::{Content, ContentHasher};
pub use self::cursor::Cursor;
pub use self::data_version::DataVersion;
pub use self::definition::{Definition, Definitions};
pub use self::deflate::Deflater;
pub use self::delta::{ChunkSet, Delta, Layer};
pub use self::field::{Field, Taken};
pub use self::filtering::{Columns, Facet, Filtering, Filters, Matches};
pub use self::fragment::{Fragment, Run, RunPlace, RunSum};
pub use self::generation::Generation;
pub use self::head::{Head, HeadState};
pub use self::item::{Item, ItemId};
pub use self::key::{Choices, Family, ListingKey, SortName, StoredSort};
pub use self::name::ListingName;
pub use self::next_change::{NextChange, NextChanges};
pub use self::order::Order;
pub use self::policy::{Freshness, Policy, Timestamp};
pub use self::scope::{NameGlobs, VariantsOf, WarmScope};
pub use self::time_text::{BadTime, Moment};
pub use self::window::{Direction, Window, WindowPlan};
