//! The vocabulary of listings, pure: no I/O, no clock, no framework.
//!
//! Names are parsed once, at the edge of the program; from here on the type is the proof. What needs the time
//! takes it as an argument.

pub mod belief;
pub mod checksum;
pub mod chunk;
pub mod content;
pub mod cursor;
pub mod data_version;
pub mod definition;
pub mod deflate;
pub mod document;
pub mod field;
pub mod fragment;
pub mod generation;
pub mod gunzip;
pub mod head;
pub mod item;
pub mod item_json;
pub mod json_pointer;
pub mod key;
pub mod name;
pub mod page;
pub mod pattern;
pub mod policy;
pub mod scope;
pub mod window;

pub use belief::Refusal;
pub use checksum::Checksum;
pub use chunk::{Chunk, ChunkIndex};
pub use content::ContentHasher;
pub use cursor::Cursor;
pub use data_version::DataVersion;
pub use definition::{Definition, Definitions};
pub use deflate::Deflater;
pub use field::{Field, Taken};
pub use fragment::{Fragment, Run, RunPlace, RunSum};
pub use generation::Generation;
pub use head::{Head, HeadState};
pub use item::{Item, ItemId};
pub use key::{Family, ListingKey, SortName, StoredSort};
pub use name::ListingName;
pub use page::{Order, Position};
pub use policy::{Freshness, Policy, Timestamp};
pub use scope::{NameGlobs, VariantsOf, WarmScope};
pub use window::{Direction, Window, WindowPlan};
