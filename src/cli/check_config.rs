//! `check-config`: every error at once, or what the configuration amounts to, with what is probably not meant.

use std::process::ExitCode;

use super::{Outcome, print};
use crate::config::{ConfigFile, Sources};

pub(super) fn run(sources: Sources) -> Outcome {
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
    Ok(ExitCode::SUCCESS)
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
