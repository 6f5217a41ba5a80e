//! A paginated listing cache: sorted product listings in Redis Streams, served page by page over HTTP.

pub mod app;
pub mod cli;
pub mod config;
pub mod engine;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod http;
pub mod listing;
pub mod origin;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod telemetry;
