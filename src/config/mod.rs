//! Configuration: a file, then the environment, then flags; checked as a whole before anything starts.
//!
//! [`raw`] lays the three over each other and remembers where each value came from. [`check`] makes a [`Config`] of
//! the result, or every error at once, each with its path: nobody should have to run it once for each error.
//! The environment comes in as a value, so a test need not touch its process's.

mod check;
mod environment;
mod error;
mod files;
mod http_origin;
mod nearest;
mod raw;
mod request;
mod section;
mod tls;
mod unknown_variables;
mod values;
mod warnings;

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use encoding_rs::Encoding;

pub use crate::listing::json_pointer::{InvalidPointer, JsonPointer};
use crate::listing::{Definitions, Policy, WarmScope};

pub use self::environment::Environment;
pub use self::error::{ConfigError, ConfigErrors};
pub use self::files::read_names_file;
pub use self::http_origin::{HttpOriginConfig, Paging, SessionConfig, Total};
pub use self::request::{InvalidRequest, RequestMethod, RequestTemplate, TargetPiece, value_name};
pub use self::tls::TlsIdentity;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "listcache.toml";

/// The parts of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that a flag names.
    pub file: Option<PathBuf>,
    /// The `LISTCACHE_` variables.
    pub environment: Environment,
    /// Keys that flags set.
    pub flags: Vec<Flag>,
}

/// A key that a flag sets, above the environment and the file.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The key, such as `http.listen`.
    pub key: &'static str,
    /// How errors call the flag, such as `--listen`.
    pub name: &'static str,
    /// The value, as it would stand in the environment.
    pub value: String,
}

impl Sources {
    /// Reads and checks the file, the environment and the flags.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        self.load_with_text().map(|(config, _)| config)
    }

    /// The same, with the file's text, by which it is recognised.
    pub fn load_with_text(&self) -> Result<(Config, String), ConfigErrors> {
        let file = self.file_to_read();
        let text = match raw::read_file(&file) {
            Ok(text) => text,
            Err(error) => return Err(ConfigErrors::new(None, vec![error])),
        };
        match self.load_text(&text) {
            Ok(config) => Ok((config, text)),
            Err(errors) => Err(errors.in_file(file.path())),
        }
    }

    /// Checks a text in the place of the file.
    pub fn load_text(&self, text: &str) -> Result<Config, ConfigErrors> {
        check::check(raw::overlay(text, &self.environment, &self.flags))
    }

    /// Which file is read: the flag's, else that of `LISTCACHE_CONFIG`, else [`DEFAULT_FILE`], which may be absent.
    pub fn file_to_read(&self) -> ConfigFile {
        match self.file.clone().or_else(|| self.environment.config_file()) {
            Some(path) => ConfigFile::Named(path),
            None => ConfigFile::Default(DEFAULT_FILE.into()),
        }
    }
}

/// The configuration file of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFile {
    /// Named by the flag or the environment: must be there.
    Named(PathBuf),
    /// Looked for in the working directory: its absence means the defaults.
    Default(PathBuf),
}

impl ConfigFile {
    /// Where it lies.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Named(path) | Self::Default(path) => path,
        }
    }
}

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
    /// How listings are warmed up.
    pub warm: WarmConfig,
}

/// A value that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for code that must use it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
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
    /// Its kind.
    pub kind: OriginKind,
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

#[cfg(test)]
mod tests;
