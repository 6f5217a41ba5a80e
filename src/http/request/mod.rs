//! The parts of a request: name, query, credentials, conditions, codings, body.
//!
//! No extractor of the framework that can fail is used: names come from the raw path, queries and bodies are read by hand. So every error of
//! a request that could be parsed is a problem document.

pub(super) mod auth;
pub(super) mod body;
pub(super) mod coding;
pub(super) mod conditional;
pub(super) mod name;
pub(crate) mod query;
pub(super) mod request_id;
pub(super) mod schema;
pub(super) mod unpack;
