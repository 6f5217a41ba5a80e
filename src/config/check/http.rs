//! `[http]`: where and how pages are served, and the limits of connections and bodies.

use std::{net::SocketAddr, time::Duration};

use super::{cdn, tls};
use crate::config::{HttpConfig, HttpLimits, TlsIdentity, section::Section};

/// The greatest `size_max`: a page is held in memory by its slices.
const SIZE_MAX: u64 = 1000;

pub(super) fn check(mut section: Section<'_>) -> (HttpConfig, Option<TlsIdentity>) {
    let listen = section
        .address("listen")
        .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    let identity = tls::check(&mut section);
    let size_max = section.integer("size_max", 1..=SIZE_MAX, 250);
    // A smaller `size_max` alone should not make the default an error.
    let size_default_is_given = section.holds("size_default");
    let size_default = section.integer("size_default", 1..=SIZE_MAX, 24.min(size_max));
    if size_default_is_given && section.is_clean() && size_default > size_max {
        section.error("size_default", format!("greater than size_max ({size_max})"));
    }
    let seconds = Duration::from_secs;
    let fill_wait = section.duration("fill_wait", Duration::ZERO..=seconds(60), seconds(5));
    let workers = section.integer("workers", 1..=256, default_workers());
    let access_log = section.boolean("access_log", false);
    let item_lookup = section.boolean("item_lookup", false);
    let cdn = cdn::dialects(&mut section);
    let limits = HttpLimits {
        connections_max: as_usize(section.integer("connections_max", 1..=1_000_000, 10_000)),
        streams_max: as_u32(section.integer("streams_max", 1..=10_000, 128)),
        head_timeout: section.duration("head_timeout", Duration::from_millis(100)..=seconds(300), seconds(5)),
        send_timeout: section.duration("send_timeout", Duration::from_millis(100)..=seconds(300), seconds(30)),
        keep_alive: section.duration("keep_alive", seconds(1)..=seconds(3600), seconds(75)),
        drain_timeout: section.duration("drain_timeout", Duration::ZERO..=seconds(600), seconds(10)),
        body_bytes_max: section.size("body_max", 1024..=16 << 30, 256 << 20),
        item_bytes_max: as_usize(section.size("item_max", 64..=16 << 20, 256 << 10)),
        followers_max: as_usize(section.integer("followers_max", 0..=1_000_000, 1000)),
    };
    section.finish();
    let config = HttpConfig {
        listen,
        size_default: as_u32(size_default),
        size_max: as_u32(size_max),
        fill_wait,
        workers: as_usize(workers),
        access_log,
        item_lookup,
        cdn,
        limits,
    };
    (config, identity)
}

fn default_workers() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

fn as_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Bounds keep these numbers far below what a `usize` holds.
pub(super) fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
