//! The servers that are compared, each a process of its own.

pub mod fixed;
pub mod listcache;
pub mod nginx;
pub mod nginx_cache;
pub mod nginx_file;
pub mod nginx_gzip;
pub mod origin;
pub mod own;
pub mod redis;
pub mod varnish;

use std::time::Duration;

use super::{Outcome, process::Process};

/// A server that answers HTTP.
pub struct Server {
    /// `127.0.0.1:<port>`.
    pub address: String,
    pub process: Process,
}

impl Server {
    /// Processor time so far.
    pub fn used(&self) -> Outcome<Duration> {
        self.process.used()
    }
}
