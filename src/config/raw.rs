//! The file's shape, with the environment and the flags laid over it.
//!
//! Values from outside the file are texts, whatever their key's type; their paths are remembered, so that the check
//! reads `"24"` as a number there and nowhere else, and an error says where its value came from.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    environment::{Environment, Variable},
    error::ConfigError,
    files,
};

/// A key that a flag sets, above the environment and the file.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The key, such as `http.listen`.
    pub key: &'static str,
    /// How errors call the flag, such as `--listen`.
    pub name: &'static str,
    /// The value, as it would stand in the environment.
    pub value: String,
}

/// The configuration file of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFile {
    /// Named by the flag or the environment: must be there.
    Named(PathBuf),
    /// Looked for in the working directory: its absence means the defaults.
    Default(PathBuf),
}

impl ConfigFile {
    /// Where it lies.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Named(path) | Self::Default(path) => path,
        }
    }
}

/// A configuration before its check.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub(super) table: Table,
    /// Paths of values that did not come from the file, with the variable or flag that they came from.
    pub(super) outside: BTreeMap<String, String>,
    /// Variables that set no key.
    pub(super) unknown: Vec<String>,
    /// The errors so far.
    pub(super) errors: Vec<ConfigError>,
    /// Whether the file could be parsed: where it could not, the rest of the check would only add noise.
    pub(super) is_whole: bool,
}

/// The text of a configuration file; nothing where the default file is absent.
pub(super) fn read_file(file: &ConfigFile) -> Result<String, ConfigError> {
    match (files::read_text(file.path()), file) {
        (Ok(text), _) => Ok(text),
        (Err(error), ConfigFile::Default(_)) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        (Err(error), _) => Err(ConfigError {
            path: file.path().display().to_string(),
            message: format!("cannot read the configuration file: {error}"),
        }),
    }
}

/// Lays environment and flags over the text of a file.
pub(super) fn overlay(text: &str, environment: &Environment, flags: &[Flag]) -> Raw {
    let mut raw = Raw::default();
    match text.parse::<Table>() {
        Ok(table) => {
            raw.table = table;
            raw.is_whole = true;
        }
        Err(error) => raw.errors.push(syntax_error(text, &error)),
    }
    for (name, value) in environment.iter() {
        let (path, file) = match Variable::parse(name) {
            Variable::Config => continue,
            Variable::Key(path) => (path, false),
            Variable::File(path) => (path, true),
            Variable::Unknown => {
                raw.unknown.push(name.to_owned());
                continue;
            }
        };
        if file && environment.holds(name.trim_end_matches("_FILE")) {
            raw.error(
                name,
                "set together with the variable without `_FILE`: one of them".to_owned(),
            );
            continue;
        }
        let Some(value) = value.to_str() else {
            raw.error(name, "the value is not UTF-8".to_owned());
            continue;
        };
        let value = if file {
            match read_secret(Path::new(value)) {
                Ok(secret) => secret,
                Err(error) => {
                    raw.error(name, format!("cannot read `{value}`: {error}"));
                    continue;
                }
            }
        } else {
            value.to_owned()
        };
        raw.set(&path, value, name);
    }
    for flag in flags {
        let path: Vec<String> = flag.key.split('.').map(str::to_owned).collect();
        raw.set(&path, flag.value.clone(), flag.name);
    }
    raw
}

impl Raw {
    fn error(&mut self, path: &str, message: String) {
        self.errors.push(ConfigError {
            path: path.to_owned(),
            message,
        });
    }

    fn set(&mut self, path: &[String], value: String, from: &str) {
        let Some((key, sections)) = path.split_last() else {
            return;
        };
        let mut table = &mut self.table;
        for section in sections {
            let inner = table
                .entry(section.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            // A section that is no table is an error of the file, which the check reports.
            let Value::Table(inner) = inner else { return };
            table = inner;
        }
        table.insert(key.clone(), Value::String(value));
        self.outside.insert(path.join("."), from.to_owned());
    }
}

/// The file's content without the line feed that editors and `echo` leave at its end.
fn read_secret(path: &Path) -> io::Result<String> {
    let text = files::read_text(path)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn syntax_error(text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ConfigError {
        path: format!("line {line}, column {column}"),
        message: error.message().replace('\n', ", "),
    }
}
