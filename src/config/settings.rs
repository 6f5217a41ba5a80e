//! A checked configuration, as the rest of the program reads it.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use encoding_rs::Encoding;

use super::{
    cdn::{CdnConfig, CdnDialect},
    hook::HookConfig,
    http_origin::HttpOriginConfig,
    secret::Secret,
    tls::TlsIdentity,
};
use crate::listing::{Definitions, Policy, WarmScope};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The service's own side.
    pub http: HttpConfig,
    /// By what clients know the service, where it speaks TLS.
    pub tls: Option<TlsIdentity>,
    /// Where metrics and token routes listen, if not with the rest.
    pub admin_listen: Option<SocketAddr>,
    /// The token for the routes that need one; without it they are closed.
    pub admin_token: Option<Secret>,
    /// How to reach Redis.
    pub redis: RedisConfig,
    /// Bounds of the cache in the process.
    pub l1: L1Config,
    /// The defaults of definitions.
    pub defaults: Policy,
    /// Where items come from.
    pub origins: Vec<OriginConfig>,
    /// The listings, and which names may be pushed.
    pub definitions: Definitions,
    /// Which webhooks are taken.
    pub hooks: Vec<HookConfig>,
    /// Which caches behind this service are purged when listings change.
    pub cdns: Vec<CdnConfig>,
    /// How listings are warmed up.
    pub warm: WarmConfig,
    /// Keys that were ignored: the path of each, and why.
    pub ignored: Vec<String>,
}

/// `[http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpConfig {
    /// Where pages are served.
    pub listen: SocketAddr,
    /// Items of a page that says no size.
    pub size_default: u32,
    /// The most items a page may have.
    pub size_max: u32,
    /// How long a request waits for a listing that is not there yet.
    pub fill_wait: Duration,
    /// Threads that serve requests.
    pub workers: usize,
    /// Whether each request is logged.
    pub access_log: bool,
    /// Whether anybody may ask on which pages an item stands.
    pub item_lookup: bool,
    /// In which headers CDNs read tags and lifetimes; `Surrogate-Key` and `CDN-Cache-Control` where none is named.
    pub cdn: Vec<CdnDialect>,
    /// Bounds of connections and bodies.
    pub limits: HttpLimits,
}

/// The bounds in `[http]`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpLimits {
    /// Open connections, of all workers together.
    pub connections_max: usize,
    /// Requests under way at once on one connection of HTTP/2.
    pub streams_max: u32,
    /// Until a request's head is in.
    pub head_timeout: Duration,
    /// How long a client may take no more of an answer.
    pub send_timeout: Duration,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// How long running requests may take after SIGTERM.
    pub drain_timeout: Duration,
    /// A PUT body after unpacking.
    pub body_bytes_max: u64,
    /// One item of it.
    pub item_bytes_max: usize,
    /// Clients with a live subscription.
    pub followers_max: usize,
}

/// `[redis]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisConfig {
    /// `private`, `redis:`, `rediss:` or `unix:`; may hold a password, which no log shows.
    pub url: Secret,
    /// The beginning of every key and channel.
    pub prefix: String,
    /// The most a read may take.
    pub read_timeout: Duration,
    /// Connections that reads are spread over.
    pub read_connections: usize,
    /// Reads under way at once; more are shed.
    pub reads_max: usize,
    /// Bytes of one reply of Redis.
    pub reply_max: usize,
    /// Requests that wait for a read or a fill; more are shed.
    pub waiters_max: usize,
}

/// The `redis.url` with which the program starts a server of its own.
pub const PRIVATE_REDIS: &str = "private";

/// `[l1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct L1Config {
    /// How long a head is served without news of it.
    pub ttl: Duration,
    /// Bytes of chunks.
    pub chunks_bytes_max: u64,
    /// Heads of listings that are there.
    pub heads_max: usize,
    /// Heads of listings that are not.
    pub absent_max: usize,
    /// Replaced generations whose shapes are remembered.
    pub shapes_max: usize,
    /// Whether the chunks of the page that follows are read behind each page.
    pub read_ahead: bool,
    /// Bytes of columns and matches of filters.
    pub filters_bytes_max: u64,
}

/// `[warm]`.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmConfig {
    /// Whether a service is ready only when it is warm.
    pub on_start: bool,
    /// After so long it is ready in any case.
    pub deadline: Duration,
    /// Families at once.
    pub concurrency: NonZeroU32,
    /// Listings that begin a second.
    pub rate: Option<NonZeroU32>,
    /// How slow an origin may become.
    pub origin_latency_max: Option<Duration>,
    /// Which families.
    pub scope: WarmScope,
}

/// `[origins.<name>]`.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginConfig {
    /// Its name in definitions.
    pub name: Box<str>,
    /// The most one read may take.
    pub timeout: Duration,
    /// The limits for its refreshes.
    pub bounds: OriginBounds,
    /// How its changes are told.
    pub changes: ChangesConfig,
    /// Its kind.
    pub kind: OriginKind,
}

/// `[origins.<name>.changes]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangesConfig {
    /// A table that names changed items.
    pub outbox: Option<OutboxConfig>,
    /// A query that yields changed items. Not beside an outbox.
    pub changelog: Option<ChangelogConfig>,
    /// The database of the outbox or the changelog, where it is not the origin's URL.
    pub url: Option<Secret>,
    /// How long after a change the origin may still show the state before.
    pub lag: Duration,
}

/// A table that names changed items.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxConfig {
    /// The table, with its schema where it needs one.
    pub table: String,
    /// The column of whole numbers by which a row is deleted.
    pub key: String,
    /// The column of the items' ids.
    pub id: String,
    /// How often it is looked into.
    pub every: Duration,
    /// The channel of PostgreSQL that is notified of rows.
    pub listen: Option<String>,
}

/// A changelog of another program.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangelogConfig {
    /// Yields versions and ids after the version `:after`, by ascending versions.
    pub query: String,
    /// Yields a number: rows with a greater version wait.
    pub upto: Option<String>,
    /// So many versions are read again each time.
    pub overlap: i64,
    /// How often it is looked into.
    pub every: Duration,
}

/// The limits for the refreshes of one origin, in each process.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginBounds {
    /// Refreshes that read it at once; more wait.
    pub refreshes_at_once: usize,
    /// Refreshes that begin a second, evenly; more than 0.
    pub refreshes_per_second: Option<f64>,
    /// Bytes of its items that are written to Redis a second; more than 0.
    pub bytes_per_second: Option<u64>,
}

impl Default for OriginBounds {
    fn default() -> Self {
        Self {
            refreshes_at_once: 8,
            refreshes_per_second: None,
            bytes_per_second: None,
        }
    }
}

/// How a file of rows is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CsvConfig {
    /// The character between two cells, if the file's name does not tell.
    pub delimiter: Option<u8>,
    /// Its encoding, if it is not UTF-8.
    pub encoding: Option<&'static Encoding>,
}

/// The kinds of origins.
#[derive(Clone, Debug, PartialEq)]
pub enum OriginKind {
    /// `sqlite:`, `postgres:` and `mysql:`.
    Sql {
        /// May hold a password, which no log shows.
        url: Secret,
        /// How long a transaction may be open, for PostgreSQL; where nothing is said, the origin's own default.
        max_transaction_time: Option<Duration>,
        /// Whether a value that JSON has no form for fails the read; else it becomes null.
        strict: bool,
    },
    /// NDJSON, JSON array or CSV, plain or gz, told by the file's name.
    File {
        /// Relative to the working directory.
        path: PathBuf,
        /// Whether its listings become due when it changes.
        watch: bool,
        /// How it is written, where it has rows.
        csv: CsvConfig,
        /// Whether the decimal point of texts that are numbers is a comma.
        decimal_comma: bool,
    },
    /// A JSON API.
    Http(Box<HttpOriginConfig>),
}
