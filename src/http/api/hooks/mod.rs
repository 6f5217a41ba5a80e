//! Webhooks: a shop's own system says that items have changed, and signs it.
//!
//! A sender has no token, so the signature is all that opens: HMAC-SHA256 over the body, byte for byte as it was sent. [`hook`] has the
//! configured hooks and checks signatures, [`events`] finds ids in a body, and [`post`] is the handler.

pub(super) mod events;
pub(super) mod hook;
pub(in crate::http) mod post;

pub use self::hook::Hooks;
