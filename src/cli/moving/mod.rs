//! Commands that move pushed listings: out of Redis into a file, from there into another layout, and what belongs to that.
//!
//! `format` is the file and its writing, `reader` its reading; `source` is where listings are read from, the present layout or an older one. `export` writes the file, `restore` is
//! `load` of such a file. `claim` and `remove` give a prefix to another layout and end the old one.

pub(super) mod claim;
pub(super) mod export;
mod format;
mod reader;
pub(super) mod remove;
pub(super) mod restore;
mod source;

use super::{
    outcome::CommandError,
    visit::{refuse_private_redis, sources},
};
use crate::{
    app::{AppError, store_options},
    config::{Config, Environment},
    store::{ConnectError, StoreError, StoreOptions},
    telemetry::{LogLevel, start_logs},
};

/// The configuration of a command that starts no store by itself.
fn configured(environment: Environment) -> Result<(Config, StoreOptions), CommandError> {
    start_logs(LogLevel::Warn, std::io::stderr());
    let config = sources(None, environment).load()?;
    refuse_private_redis(&config)?;
    let options = store_options(&config.redis, config.redis.url.expose().to_owned());
    Ok((config, options))
}

fn unusable(error: ConnectError) -> CommandError {
    CommandError::App(AppError::Redis(error))
}

fn failed(doing: &'static str) -> impl FnOnce(StoreError) -> CommandError {
    move |source| CommandError::Engine {
        doing: doing.to_owned(),
        source: source.into(),
    }
}

/// Many things, or one.
fn many(count: u64, one: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}
