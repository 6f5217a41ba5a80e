//! A paginated listing cache: sorted product listings in Redis Streams, served page by page over HTTP.

#![warn(unreachable_pub)]
// They panic where the stream is closed or its disk is full.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]

pub mod app;
pub mod cdn;
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
