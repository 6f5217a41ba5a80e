//! `freeze` and `thaw`: refreshing is paused for names, and goes on.

use std::{process::ExitCode, time::Duration};

use super::{CommandError, Outcome, inspect::write_time};
use crate::{
    app::{App, say},
    engine::EngineError,
};

pub(super) async fn freeze(app: &App, glob: &str, period: Duration) -> Outcome {
    let frozen = app.engine.freeze(glob, period).await;
    let (until, listings) = frozen.map_err(|error| refused(error, format!("cannot freeze `{glob}`")))?;
    say(&format!("frozen until {}: {listings} listings", write_time(until)));
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn thaw(app: &App, glob: &str) -> Outcome {
    let thawed = app.engine.thaw(glob).await;
    if !thawed.map_err(CommandError::engine(format!("cannot thaw `{glob}`")))? {
        return Err(CommandError::Refused(format!("`{glob}` is not frozen")));
    }
    say("thawed");
    Ok(ExitCode::SUCCESS)
}

/// An error that says what is wrong with which argument.
fn refused(error: EngineError, doing: String) -> CommandError {
    match error {
        EngineError::Invalid(errors) => {
            let errors: Vec<_> = errors
                .iter()
                .map(|error| format!("{}: {}", error.parameter, error.detail))
                .collect();
            CommandError::Refused(format!("{doing}: {}", errors.join("; ")))
        }
        error => CommandError::engine(doing)(error),
    }
}
