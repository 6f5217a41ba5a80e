//! The command line: its arguments, and one file a command.
//!
//! Exit codes: 0 done, 1 failed (a mistyped command line too), and 2 for a warm-up that did only a part.

mod arguments;
mod check_config;
mod demo;
mod freeze;
mod inspect;
mod load;
mod popularity;
mod progress;
mod rollback;
mod warm;

use std::{
    error::Error,
    ffi::OsString,
    fmt::Write as _,
    future::Future,
    io::{self, ErrorKind, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Parser;

use self::arguments::{Arguments, Command};
use crate::{
    app::{self, App, AppError, Role},
    config::{Config, ConfigErrors, Environment, Flag, PRIVATE_REDIS, Sources},
    engine::EngineError,
    telemetry::{FlushAtEnd, LogLevel, complain, start_logs},
};

/// How long work that does not end by itself may hold up the end of the process.
const RUNTIME_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("{doing}")]
    Engine {
        doing: String,
        #[source]
        source: EngineError,
    },
    #[error("{0}")]
    Refused(String),
    #[error("{doing}")]
    Io {
        doing: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{doing}")]
    Origin {
        doing: String,
        #[source]
        source: crate::origin::OriginError,
    },
    #[error("`{file}`")]
    BadItem {
        file: String,
        #[source]
        source: crate::listing::document::BadItem,
    },
}

impl CommandError {
    fn engine(doing: impl Into<String>) -> impl FnOnce(EngineError) -> Self {
        let doing = doing.into();
        move |source| Self::Engine { doing, source }
    }

    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    fn origin(doing: impl Into<String>) -> impl FnOnce(crate::origin::OriginError) -> Self {
        let doing = doing.into();
        move |source| Self::Origin { doing, source }
    }
}

/// The outcome of a command when nothing failed.
type Outcome = Result<ExitCode, CommandError>;

/// Runs a command line, the program's name first, to its end.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => {
            // `--help` and `--version` come this way too. Nobody may be reading.
            let _ = answer.print();
            return if answer.use_stderr() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let outcome = {
        let _flush = FlushAtEnd;
        blocking(perform(arguments.command, environment))
    };
    outcome.unwrap_or_else(|error| {
        complain(&chain(&error));
        ExitCode::FAILURE
    })
}

async fn perform(command: Command, environment: Environment) -> Outcome {
    match command {
        Command::CheckConfig { config } => check_config::run(sources(config, environment)),
        Command::Serve { config, listen, redis } => {
            start_logs(LogLevel::Info, std::io::stderr());
            let mut sources = sources(config, environment);
            sources.flags = flags(listen, redis);
            app::serve(sources.load()?, sources).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Demo { listen, redis } => {
            start_logs(LogLevel::Warn, progress::BesideBar);
            demo::run(environment, flags(listen, redis)).await
        }
        Command::Warm { config, options } => {
            start_logs(LogLevel::Warn, progress::BesideBar);
            let config = sources(config, environment).load()?;
            warm::run(config, options).await
        }
        Command::Load {
            name,
            file,
            sort,
            id_field,
            accept_shrink,
        } => {
            visiting(environment, async |app| {
                load::run(app, &name, &file, sort.as_deref(), &id_field, accept_shrink).await
            })
            .await
        }
        Command::Inspect { name, sort, json } => {
            visiting(environment, async |app| {
                inspect::run(app, &name, sort.as_deref(), json).await
            })
            .await
        }
        Command::Freeze { glob, period } => {
            visiting(environment, async |app| freeze::freeze(app, &glob, period).await).await
        }
        Command::Thaw { glob } => visiting(environment, async |app| freeze::thaw(app, &glob).await).await,
        Command::Freezes { json } => visiting(environment, async |app| freeze::freezes(app, json).await).await,
        Command::Rollback { name, hold } => {
            visiting(environment, async |app| rollback::run(app, &name, hold).await).await
        }
    }
}

/// Does the work of a command that looks, or writes a little.
async fn visiting(environment: Environment, work: impl AsyncFnOnce(&App) -> Outcome) -> Outcome {
    start_logs(LogLevel::Warn, std::io::stderr());
    let config = sources(None, environment).load()?;
    refuse_private_redis(&config)?;
    let app = App::start(config, Role::Visit).await?;
    let outcome = work(&app).await;
    app.stop().await;
    outcome
}

/// A private server lives and dies with the process that started it: a command would look at an empty one of its own.
fn refuse_private_redis(config: &Config) -> Result<(), CommandError> {
    if config.redis.url.expose() == PRIVATE_REDIS {
        return Err(CommandError::Refused(
            "redis.url is \"private\", a server that only the process which started it can reach; name a real one"
                .to_owned(),
        ));
    }
    Ok(())
}

fn sources(file: Option<PathBuf>, environment: Environment) -> Sources {
    Sources {
        file,
        environment,
        flags: Vec::new(),
    }
}

fn flags(listen: Option<String>, redis: Option<String>) -> Vec<Flag> {
    let flag = |key, name, value: Option<String>| value.map(|value| Flag { key, name, value });
    [
        flag("http.listen", "--listen", listen),
        flag("redis.url", "--redis", redis),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn blocking(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CommandError::io("cannot start the runtime"))?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_ENDS_WITHIN);
    outcome
}

/// Prints a line of what a command was asked for. A reader that is gone, as `head` soon is, has read what it wanted.
fn print(line: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::io("cannot write the output")(error)),
        _ => Ok(()),
    }
}

/// An error with all that caused it, printed once and here.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
