//! How a command ends: its output and exit code, or an error with its causes.

use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use crate::{app::AppError, config::ConfigErrors, engine::EngineError};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
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
    #[error("cannot load `{file}`")]
    BadExport {
        file: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CommandError {
    pub(super) fn engine(doing: impl Into<String>) -> impl FnOnce(EngineError) -> Self {
        let doing = doing.into();
        move |source| Self::Engine { doing, source }
    }

    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    pub(super) fn origin(doing: impl Into<String>) -> impl FnOnce(crate::origin::OriginError) -> Self {
        let doing = doing.into();
        move |source| Self::Origin { doing, source }
    }
}

/// The outcome of a command when nothing failed.
pub(super) type Outcome = Result<ExitCode, CommandError>;

/// Prints a line of what a command was asked for. A reader that is gone, as `head` soon is, has read what it wanted.
pub(super) fn print(line: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::io("cannot write the output")(error)),
        _ => Ok(()),
    }
}

/// An error that says what is wrong with which argument.
pub(super) fn refused(error: EngineError, doing: String) -> CommandError {
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
