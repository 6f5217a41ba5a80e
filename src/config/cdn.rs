//! `[cdn.<name>]`: a cache behind this service that is purged when listings change, and the headers that CDNs read.

use std::time::Duration;

use url::Url;

use super::secret::Secret;

/// `[cdn.<name>]`.
#[derive(Clone, Debug, PartialEq)]
pub struct CdnConfig {
    /// Its name in logs and metrics.
    pub name: Box<str>,
    /// How it is asked.
    pub provider: CdnProvider,
    /// How long a change waits for others that go into the same call.
    pub debounce: Duration,
    /// Where purging all that waits would take longer, whole definitions are purged.
    pub widen_after: Duration,
    /// How many calls it takes.
    pub pace: CdnPace,
}

/// How many calls a CDN takes: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CdnPace {
    /// Calls a second that it takes for ever.
    pub calls_per_second: f64,
    /// Calls that it takes at once.
    pub burst: u32,
}

/// How a CDN is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct CdnProvider {
    /// Whose interface.
    pub kind: CdnKind,
    /// Where the interface is, without the path that the kind gives.
    pub url: Url,
    /// The service, zone or pull zone; empty where the kind has none.
    pub zone: Box<str>,
    /// The secret that the interface asks for.
    pub token: Option<Secret>,
    /// Whether pages are only marked as stale, where the kind can do that.
    pub soft: bool,
}

/// Whose interface a CDN is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdnKind {
    /// Fastly's batches of surrogate keys.
    Fastly,
    /// Cloudflare's purge by tags.
    Cloudflare,
    /// Bunny's purge by tag.
    Bunny,
    /// A Varnish that bans by `Surrogate-Key`.
    Varnish,
    /// A Varnish with vmod_xkey.
    Xkey,
}

impl CdnKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Fastly, Self::Cloudflare, Self::Bunny, Self::Varnish, Self::Xkey];

    /// How the configuration calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fastly => "fastly",
            Self::Cloudflare => "cloudflare",
            Self::Bunny => "bunny",
            Self::Varnish => "varnish",
            Self::Xkey => "xkey",
        }
    }

    /// Tags that one call may have.
    pub fn tags_a_call(self) -> usize {
        match self {
            // https://www.fastly.com/documentation/reference/api/purging/
            Self::Fastly => 256,
            // https://developers.cloudflare.com/cache/how-to/purge-cache/
            Self::Cloudflare => 100,
            // https://docs.bunny.net/cdn/purge-cache
            Self::Bunny => 1,
            // They stand in a header, and Varnish takes one of 8 KiB (`http_req_hdr_len`).
            Self::Varnish | Self::Xkey => 64,
        }
    }
}

/// The dialect of a CDN: in which headers it reads tags and lifetimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CdnDialect {
    /// `Surrogate-Key` and `Surrogate-Control`.
    Fastly,
    /// `Cache-Tag` and `CDN-Cache-Control`.
    Cloudflare,
    /// `Edge-Cache-Tag` and `CDN-Cache-Control`.
    Akamai,
    /// `CDN-Tag` and `CDN-Cache-Control`.
    Bunny,
    /// `xkey` and `CDN-Cache-Control`.
    Xkey,
    /// `Cache-Groups` (RFC 9875) and `CDN-Cache-Control`.
    CacheGroups,
}

impl CdnDialect {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Fastly,
        Self::Cloudflare,
        Self::Akamai,
        Self::Bunny,
        Self::Xkey,
        Self::CacheGroups,
    ];

    /// How the configuration calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fastly => "fastly",
            Self::Cloudflare => "cloudflare",
            Self::Akamai => "akamai",
            Self::Bunny => "bunny",
            Self::Xkey => "xkey",
            Self::CacheGroups => "cache-groups",
        }
    }
}
