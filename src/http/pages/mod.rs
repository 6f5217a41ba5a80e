//! A page over HTTP: from its URL to headers and body.

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
