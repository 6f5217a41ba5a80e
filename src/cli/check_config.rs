//! `check-config`: every error at once, or what the configuration amounts to, with what is probably not meant. With `--origins` also what the origins have for it.

use std::process::ExitCode;

use super::{CommandError, Outcome, origins_asked::ask, print};
use crate::config::{ConfigFile, Sources};

pub(super) async fn run(sources: Sources, origins: bool) -> Outcome {
    let config = sources.load()?;
    let read_from = match sources.file_to_read() {
        ConfigFile::Named(path) => path.display().to_string(),
        ConfigFile::Default(path) if path.exists() => path.display().to_string(),
        ConfigFile::Default(path) => format!("no {}: the defaults", path.display()),
    };
    let listings = config.definitions.defined.len();
    let sorts: usize = config
        .definitions
        .defined
        .iter()
        .map(|definition| definition.sorts.len())
        .sum();
    print(&format!(
        "{read_from}: good ({}, {}, {})",
        count(config.origins.len(), "origin"),
        count(listings, "definition"),
        count(sorts, "sort"),
    ))?;
    for warning in config.warnings() {
        print(&format!("  warning: {warning}"))?;
    }
    if !origins {
        return Ok(ExitCode::SUCCESS);
    }
    let asked = ask(&config).await.map_err(|source| CommandError::Origin {
        doing: "cannot open the origins".to_owned(),
        source,
    })?;
    for good in &asked.good {
        print(&format!("  {good}"))?;
    }
    if asked.errors.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let errors = count(asked.errors.len(), "error");
    let lines: String = asked.errors.iter().map(|error| format!("\n  {error}")).collect();
    Err(CommandError::Refused(format!(
        "the origins have {errors} for this configuration:{lines}"
    )))
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
