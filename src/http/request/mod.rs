//! The parts of a request: name, query, credentials, conditions, codings, body.

pub(super) mod auth;
pub(super) mod coding;
pub(super) mod conditional;
pub(super) mod name;
pub(crate) mod query;
pub(super) mod request_id;
pub(super) mod schema;
pub(super) mod unpack;
