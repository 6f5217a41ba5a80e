//! Errors of a configuration.

use std::{fmt, path::PathBuf};

/// One error, with the path of the value that it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// Such as `listings[0].sorts.price.by[0]`, with the variable or flag where the value came from there.
    pub path: String,
    /// The error, and the remedy. Never the value of a secret.
    pub message: String,
}

/// Every error of a configuration: one a line, after a line that says of which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    file: Option<PathBuf>,
    /// In the order of the checks.
    pub errors: Vec<ConfigError>,
}

impl ConfigErrors {
    pub(super) fn new(file: Option<PathBuf>, errors: Vec<ConfigError>) -> Self {
        Self { file, errors }
    }

    /// Says which file was read.
    pub(super) fn in_file(self, file: &std::path::Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..self
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors.len();
        let errors = if count == 1 { "error" } else { "errors" };
        match &self.file {
            Some(file) => write!(f, "{}: {count} {errors} in the configuration", file.display())?,
            None => write!(f, "{count} {errors} in the configuration")?,
        }
        for error in &self.errors {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
