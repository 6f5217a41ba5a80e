//! The command line: its arguments, and one file a command.
//!
//! Exit codes: 0 done, 1 failed (a mistyped command line too), and 2 for a warm-up, an export or a load that did only a part.

mod arguments;
mod changes;
mod check_config;
mod demo;
mod freeze;
mod inspect;
mod load;
mod moving;
mod origins_asked;
mod outcome;
mod popularity;
mod progress;
mod progress_mode;
mod purge;
mod rollback;
mod visit;
mod warm;
mod warm_options;

use std::{ffi::OsString, future::Future, process::ExitCode, time::Duration};

use clap::Parser;

use self::{
    arguments::{Arguments, Command},
    outcome::{CommandError, Outcome, print},
    visit::{sources, visiting},
};
use crate::{
    app,
    config::{Environment, Flag},
    engine::{Chain, Shrink},
    telemetry::{FlushAtEnd, LogLevel, complain, start_logs},
};

/// How long work that does not end by itself may hold up the end of the process.
const RUNTIME_ENDS_WITHIN: Duration = Duration::from_secs(1);

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
        complain(&Chain(&error).to_string());
        ExitCode::FAILURE
    })
}

async fn perform(command: Command, environment: Environment) -> Outcome {
    match command {
        Command::CheckConfig { config, origins } => {
            // Origins log warnings of values that they cannot read.
            start_logs(LogLevel::Warn, std::io::stderr());
            check_config::run(sources(config, environment), origins).await
        }
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
            let shrink = Shrink::accepted_if(accept_shrink);
            if name.is_none() {
                moving::restore::refuse_other_files(&file)?;
            }
            visiting(environment, async |app| match &name {
                Some(name) => load::run(app, name, &file, sort.as_deref(), &id_field, shrink).await,
                None => moving::restore::run(app, &file, shrink).await,
            })
            .await
        }
        Command::Export { glob, layout } => moving::export::run(environment, layout, &glob).await,
        Command::Claim { layout, while_running } => moving::claim::run(environment, layout, while_running).await,
        Command::Remove { layout, dry_run } => moving::remove::run(environment, layout, dry_run).await,
        Command::Changes { ids, file, wait } => {
            visiting(environment, async |app| {
                changes::run(app, file.as_deref(), &ids, wait).await
            })
            .await
        }
        Command::Purge { glob } => visiting(environment, async |app| purge::run(app, &glob).await).await,
        Command::Inspect {
            name,
            sort,
            chunk,
            json,
        } => {
            visiting(environment, async |app| {
                inspect::run(app, &name, sort.as_deref(), chunk, json).await
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
