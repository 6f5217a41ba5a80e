//! Configuration: a file, then the environment, then flags; checked as a whole before anything starts.
//!
//! [`raw`] lays the three over each other and remembers where each value came from. [`check`] makes [`settings`] of
//! the result, or every error at once, each with its path: nobody should have to run it once for each error.
//! The environment comes in as a value, so a test need not touch its process's.

mod cdn;
mod check;
mod environment;
mod error;
mod files;
mod hook;
mod http_origin;
mod nearest;
mod raw;
mod request;
mod secret;
mod section;
mod settings;
mod tls;
mod unknown_variables;
mod values;
mod warnings;

use std::path::PathBuf;

pub use crate::listing::json_pointer::{InvalidPointer, JsonPointer};

pub use self::cdn::{CdnConfig, CdnDialect, CdnKind, CdnPace, CdnProvider};
pub use self::environment::Environment;
pub use self::error::{ConfigError, ConfigErrors};
pub use self::files::read_names_file;
pub use self::hook::{GoneSign, GoneWhen, HookConfig, SignatureConfig, SignatureEncoding};
pub use self::http_origin::{HttpOriginConfig, Paging, SessionConfig, Total};
pub use self::raw::{ConfigFile, Flag};
pub use self::request::{InvalidRequest, RequestMethod, RequestTemplate, TargetPiece, value_name};
pub use self::secret::Secret;
pub use self::settings::{
    ChangelogConfig, ChangesConfig, Config, CsvConfig, HttpConfig, HttpLimits, L1Config, OriginBounds, OriginConfig,
    OriginKind, OutboxConfig, PRIVATE_REDIS, RedisConfig, WarmConfig,
};
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

#[cfg(test)]
mod tests;
