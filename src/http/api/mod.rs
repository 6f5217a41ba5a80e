//! Everything that is not a page: writes, events, probes, metrics, and the description of the interface.
//!
//! A file holds the handlers of one topic, and each handler carries its part of the description as an annotation; [`openapi`]
//! collects them, adds what the configuration declares, and [`description`] serves the whole. The token is the first extractor of a handler that needs it. [`readiness`] and [`configuration`] are values
//! that the program sets and probes read. Answers are JSON, written by [`answer`], and no cache keeps them.

pub(super) mod about;
pub(super) mod admin;
pub(super) mod answer;
pub(super) mod changes;
pub(super) mod configuration;
pub(super) mod description;
pub(super) mod events;
pub(super) mod hooks;
pub(super) mod ingest;
pub(super) mod inspect;
pub(super) mod items;
pub(super) mod openapi;
pub(super) mod ops;
pub(super) mod readiness;
