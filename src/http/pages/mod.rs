//! A page over HTTP, from its URL to headers and body: [`first`] takes the request, [`known_urls`] remembers frequent URLs, [`page`] asks the engine,
//! [`envelope`] has the parts around the items, [`headers`] and [`lifetime`] the headers, [`body`] or [`packed`] the bytes.
//!
//! The body depends on listing key, generation and window alone, and so does its entity tag: a 304 reads no items. `self`, `prev` and `next`
//! are cursors into one generation; `first`, `last` and page numbers follow the newest. A hit takes microseconds, so it reads the clock
//! twice, and futures of rare branches are boxed.

pub(super) mod body;
pub(super) mod envelope;
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
