//! `[redis]` and `[l1]`: the two layers that hold listings.

use std::time::Duration;

use url::Url;

use super::http::as_usize;
use crate::config::{L1Config, PRIVATE_REDIS, RedisConfig, Secret, section::Section, values::holds_password};

const URL_DEFAULT: &str = "redis://127.0.0.1:6379";
const PREFIX_BYTES_MAX: usize = 64;

pub(super) fn check(mut section: Section<'_>) -> RedisConfig {
    let url = section.text("url").unwrap_or_else(|| URL_DEFAULT.to_owned());
    if url != PRIVATE_REDIS {
        check_url(&section, &url);
    }
    let prefix = section.text("prefix").unwrap_or_else(|| "listcache".to_owned());
    // A brace would be taken for a hash tag, a colon for the end of the prefix.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if prefix.is_empty() || prefix.len() > PREFIX_BYTES_MAX || !prefix.bytes().all(fits) {
        section.error(
            "prefix",
            format!("`{prefix}` cannot begin a key: 1 to {PREFIX_BYTES_MAX} of A-Z, a-z, 0-9, `_`, `.` and `-`"),
        );
    }
    let config = RedisConfig {
        url: Secret::new(url),
        prefix,
        read_timeout: section.duration(
            "read_timeout",
            Duration::from_millis(1)..=Duration::from_secs(60),
            Duration::from_millis(100),
        ),
        read_connections: as_usize(section.integer("read_connections", 1..=64, default_read_connections())),
        reply_max: as_usize(section.size("reply_max", 1 << 20..=4 << 30, 256 << 20)),
        reads_max: as_usize(section.integer("reads_max", 1..=100_000, 1024)),
        waiters_max: as_usize(section.integer("waiters_max", 1..=1_000_000, 4096)),
    };
    section.finish();
    config
}

/// Says nothing of the URL's text, for it may hold a password.
fn check_url(section: &Section<'_>, url: &str) {
    const WRITE: &str = "write redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH or private";
    const SOCKET: &str = "the URL of a socket has no host and no user before its path; write unix:///PATH, with a user unix:///PATH?user=…&pass=…";
    let of_socket = ["unix://", "redis+unix://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    if of_socket.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?'])) {
        return section.error("url", SOCKET);
    }
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        Err(error) => return section.error("url", format!("no URL ({error}); {WRITE}")),
    };
    match parsed.scheme() {
        "redis" | "rediss" if parsed.host_str().is_none_or(str::is_empty) => {
            section.error("url", format!("names no host; {WRITE}"));
        }
        "unix" | "redis+unix" if parsed.path().len() < 2 => {
            section.error("url", format!("names no path of a socket; {WRITE}"));
        }
        "redis" | "rediss" | "unix" | "redis+unix" => {}
        other => section.error("url", format!("`{other}:` is not how Redis is reached; {WRITE}")),
    }
    if holds_password(&parsed) && section.report.is_in_file(&section.path_of("url")) {
        section.error(
            "url",
            "holds a password, and secrets do not stand in the file: set LISTCACHE_REDIS__URL or LISTCACHE_REDIS__URL_FILE",
        );
    }
}

/// One connection is one task that parses every reply, so more cores take more of them; past four Redis is the limit.
fn default_read_connections() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4) as u64)
}

pub(super) fn check_l1(mut section: Section<'_>) -> L1Config {
    let config = L1Config {
        ttl: section.duration(
            "ttl",
            Duration::from_millis(10)..=Duration::from_secs(300),
            Duration::from_secs(2),
        ),
        chunks_bytes_max: section.size("chunks_max", 1024..=1 << 40, 256 << 20),
        heads_max: as_usize(section.integer("heads_max", 1..=100_000_000, 100_000)),
        absent_max: as_usize(section.integer("absent_max", 1..=100_000_000, 100_000)),
        shapes_max: as_usize(section.integer("shapes_max", 1..=100_000_000, 100_000)),
        read_ahead: section.boolean("read_ahead", false),
        filters_bytes_max: section.size("filters_max", 1024..=1 << 40, 64 << 20),
    };
    section.finish();
    config
}
