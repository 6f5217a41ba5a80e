//! Everything that is not a page: writes, events, probes, metrics, and the description of the interface.

pub(super) mod admin;
pub(super) mod answer;
pub(super) mod configuration;
pub(super) mod events;
pub(super) mod ingest;
pub(super) mod inspect;
pub(super) mod openapi;
pub(super) mod ops;
pub(super) mod readiness;
