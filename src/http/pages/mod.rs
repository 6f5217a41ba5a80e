//! A page over HTTP: from its URL to headers and body.
//!
//! - [`first`] takes the request before the router does. [`known_urls`] keeps what a frequent URL asks for: query, listing, envelope.
//! - [`page`] is the one way in. It asks the engine for the page's meta, looks at the conditions, then asks for the items. A 304 or 412
//!   asks for none.
//! - [`envelope`]: what stands around the items, written once a generation and window, with the [`links`]. [`headers`], [`lifetime`] and
//!   [`timing`]: what each answer adds.
//! - [`document`]: the page as the description of the API has it. [`body`]: slices of chunks. [`packed`]: the same page as one gzip member, stitched of parts that were deflated before.
//!
//! What must hold:
//!
//! - A body depends on the listing key, the generation and the window, and on nothing else.
//! - No item is parsed, copied or joined. Nothing is deflated while a request waits: a missing fragment goes out in stored blocks, and
//!   is made afterwards.
//! - `self`, `prev` and `next` are cursors into one generation; `first`, `last` and page numbers follow the newest.
//! - A page in L1 is answered without a future, and reads the clock twice.
//! - The memory of URLs is of one worker. It is forgotten when the declaration is replaced.

pub(super) mod body;
mod document;
pub(super) mod envelope;
pub(super) mod facets;
pub(super) mod first;
pub(super) mod headers;
pub(super) mod known_urls;
pub(super) mod lifetime;
pub(super) mod links;
pub(super) mod packed;
pub(super) mod page;
#[cfg(test)]
mod sample;
pub(super) mod timing;
