//! Commands that look into a running shop's Redis, or write a little there.

use std::path::PathBuf;

use super::outcome::{CommandError, Outcome};
use crate::{
    app::{App, Role},
    config::{Config, Environment, PRIVATE_REDIS, Sources},
    telemetry::{LogLevel, start_logs},
};

/// Does the work of a command that looks, or writes a little.
pub(super) async fn visiting(environment: Environment, work: impl AsyncFnOnce(&App) -> Outcome) -> Outcome {
    start_logs(LogLevel::Warn, std::io::stderr());
    let config = sources(None, environment).load()?;
    refuse_private_redis(&config)?;
    let app = App::start(config, Role::Visit).await?;
    let outcome = work(&app).await;
    app.stop().await;
    outcome
}

/// A private server lives and dies with the process that started it: a command would look at an empty one of its own.
pub(super) fn refuse_private_redis(config: &Config) -> Result<(), CommandError> {
    if config.redis.url.expose() == PRIVATE_REDIS {
        return Err(CommandError::Refused(
            "redis.url is \"private\", a server that only the process which started it can reach; name a real one"
                .to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn sources(file: Option<PathBuf>, environment: Environment) -> Sources {
    Sources {
        file,
        environment,
        flags: Vec::new(),
    }
}
