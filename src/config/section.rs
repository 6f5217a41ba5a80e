//! One table of the configuration, read key by key; a key that is left unread is unknown.
//!
//! A value that is not what it should be is reported, and its default goes on in its place: so one run finds every
//! error. Nothing made from a default is used, for with one error there is no [`Config`](super::Config).

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::RangeInclusive,
    time::Duration,
};

use toml::{Table, Value};

use super::{
    error::ConfigError,
    nearest::suggestion,
    values::{parse_address, parse_duration, parse_size, write_duration, write_size},
};

/// Where errors gather, and what is known of where values came from.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: RefCell<Vec<ConfigError>>,
    /// The paths of all keys that were looked for.
    known: RefCell<BTreeSet<String>>,
    warnings: RefCell<Vec<String>>,
    outside: BTreeMap<String, String>,
}

impl Report {
    pub(super) fn new(errors: Vec<ConfigError>, outside: BTreeMap<String, String>) -> Self {
        Self {
            errors: RefCell::new(errors),
            known: RefCell::default(),
            warnings: RefCell::default(),
            outside,
        }
    }

    /// The paths of all keys that were looked for.
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }

    /// Notes of keys that are accepted and ignored.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.borrow().clone()
    }

    /// Notes an error of the value at a path.
    pub(super) fn error(&self, path: &str, message: impl Into<String>) {
        let path = match self.outside.get(path) {
            Some(from) => format!("{path} ({from})"),
            None => path.to_owned(),
        };
        let message = message.into();
        self.errors.borrow_mut().push(ConfigError { path, message });
    }

    /// The variable that sets the value at a path, or one below it.
    pub(super) fn variable_of(&self, path: &str) -> Option<String> {
        let below = format!("{path}.");
        let set = self
            .outside
            .iter()
            .find(|(of, _)| *of == path || of.starts_with(&below));
        set.map(|(_, from)| from.clone())
    }

    /// Whether the value at a path stands in the file.
    pub(super) fn is_in_file(&self, path: &str) -> bool {
        !self.outside.contains_key(path)
    }

    /// How many errors there are so far.
    pub(super) fn count(&self) -> usize {
        self.errors.borrow().len()
    }

    pub(super) fn into_errors(self) -> Vec<ConfigError> {
        self.errors.into_inner()
    }
}

/// A table under check.
pub(super) struct Section<'a> {
    pub(super) report: &'a Report,
    path: String,
    left: Table,
    known: Vec<&'static str>,
    /// Errors of the whole configuration before this table was begun.
    errors_before: usize,
    given: Cell<bool>,
}

impl<'a> Section<'a> {
    /// Begins with a table; a value that is none is an error, and reads as an empty one.
    pub(super) fn new(report: &'a Report, path: impl Into<String>, value: Option<Value>) -> Self {
        let path = path.into();
        let errors_before = report.count();
        let given = Cell::new(value.is_some());
        let left = match value {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                report.error(&path, format!("expected a table, found {}", kind(&other)));
                given.set(false);
                Table::new()
            }
        };
        Self {
            report,
            path,
            left,
            known: Vec::new(),
            errors_before,
            given,
        }
    }

    /// Whether the table stands in the configuration (and is a table).
    pub(super) fn is_given(&self) -> bool {
        self.given.get()
    }

    /// The path of a key here.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Notes an error of a key here.
    pub(super) fn error(&self, key: &str, message: impl Into<String>) {
        self.report.error(&self.path_of(key), message);
    }

    /// Whether nothing in this table was wrong so far: only then do checks of several values together make sense.
    pub(super) fn is_clean(&self) -> bool {
        self.report.count() == self.errors_before
    }

    /// The value of a key, whatever it is.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// A table; an empty one where there is none.
    pub(super) fn table(&mut self, key: &'static str) -> Table {
        match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                self.error(key, format!("expected a table, found {}", kind(&other)));
                Table::new()
            }
        }
    }

    /// Whether a key is there, before it is read.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.left.contains_key(key)
    }

    /// A key of an earlier release, whatever its value: accepted, and warned of.
    pub(super) fn ignored(&mut self, key: &'static str, reason: &str) {
        if self.take(key).is_some() {
            let warning = format!("{}: ignored, {reason}", self.path_of(key));
            self.report.warnings.borrow_mut().push(warning);
        }
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        self.report.text(&self.path_of(key), value)
    }

    /// A text that must be there and not be empty.
    pub(super) fn required_text(&mut self, key: &'static str, what: &str) -> Option<String> {
        if !self.holds(key) {
            self.known.push(key);
            self.error(key, format!("missing: {what}"));
            return None;
        }
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.error(key, format!("empty: {what}"));
            return None;
        }
        Some(text)
    }

    /// A whole number within bounds.
    pub(super) fn integer(&mut self, key: &'static str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
        let parse = |value: &Value, outside: bool| match value {
            Value::Integer(number) => u64::try_from(*number).map_err(|_| out_of(&bounds, u64::to_string)),
            Value::String(text) if outside => text.replace('_', "").parse().map_err(|_| not("an integer", text)),
            other => Err(format!("expected an integer, found {}", kind(other))),
        };
        self.bounded(key, &bounds, default, parse, u64::to_string)
    }

    /// A number within bounds.
    pub(super) fn number(&mut self, key: &'static str, bounds: RangeInclusive<f64>, default: f64) -> f64 {
        let parse = |value: &Value, outside: bool| match value {
            Value::Float(number) => Ok(*number),
            Value::Integer(number) => Ok(*number as f64),
            Value::String(text) if outside => text.parse().map_err(|_| not("a number", text)),
            other => Err(format!("expected a number, found {}", kind(other))),
        };
        self.bounded(key, &bounds, default, parse, f64::to_string)
    }

    /// A duration within bounds.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let parse = |value: &Value, _| match value {
            Value::String(text) => parse_duration(text),
            other => Err(format!("expected a duration like \"5s\", found {}", kind(other))),
        };
        self.bounded(key, &bounds, default, parse, |duration| write_duration(*duration))
    }

    /// A duration within bounds, where one is given.
    pub(super) fn optional_duration(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<Duration>,
        base: Option<Duration>,
    ) -> Option<Duration> {
        let is_given = self.holds(key);
        let least = *bounds.start();
        let duration = self.duration(key, bounds, base.unwrap_or(least));
        is_given.then_some(duration).or(base)
    }

    /// A size in bytes within bounds.
    pub(super) fn size(&mut self, key: &'static str, bounds: RangeInclusive<u64>, default: u64) -> u64 {
        let parse = |value: &Value, _| match value {
            Value::String(text) => parse_size(text),
            Value::Integer(bytes) => u64::try_from(*bytes).map_err(|_| out_of(&bounds, |size| write_size(*size))),
            other => Err(format!("expected a size like \"64MiB\", found {}", kind(other))),
        };
        self.bounded(key, &bounds, default, parse, |size| write_size(*size))
    }

    /// True or false.
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        let Some(value) = self.take(key) else { return default };
        let path = self.path_of(key);
        let outside = !self.report.is_in_file(&path);
        match value {
            Value::Boolean(value) => return value,
            Value::String(text) if outside => match text.as_str() {
                "true" => return true,
                "false" => return false,
                other => self.report.error(&path, not("true or false", other)),
            },
            other => self
                .report
                .error(&path, format!("expected true or false, found {}", kind(&other))),
        }
        default
    }

    /// An address to listen on.
    pub(super) fn address(&mut self, key: &'static str) -> Option<SocketAddr> {
        let text = self.text(key)?;
        parse_address(&text).map_err(|message| self.error(key, message)).ok()
    }

    /// A list of texts with the path of each. From outside the file: as in TOML, or separated by commas.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<(String, String)>> {
        let value = self.take(key)?;
        let path = self.path_of(key);
        match value {
            Value::String(text) if !self.report.is_in_file(&path) => Some(self.report.texts_from_outside(&path, &text)),
            value => self.report.texts(&path, value),
        }
    }

    /// Ends the reading: whatever is left is unknown.
    pub(super) fn finish(self) {
        let known = self.known.iter().map(|key| join(&self.path, key));
        self.report.known.borrow_mut().extend(known);
        for key in self.left.keys() {
            let path = join(&self.path, key);
            let suggestion = suggestion(key, self.known.iter().copied());
            self.report.error(&path, format!("unknown key{suggestion}"));
        }
    }

    fn bounded<T: PartialOrd>(
        &mut self,
        key: &'static str,
        bounds: &RangeInclusive<T>,
        default: T,
        parse: impl FnOnce(&Value, bool) -> Result<T, String>,
        write: impl Fn(&T) -> String,
    ) -> T {
        let Some(value) = self.take(key) else { return default };
        let path = self.path_of(key);
        match parse(&value, !self.report.is_in_file(&path)) {
            Ok(value) if bounds.contains(&value) => return value,
            Ok(_) => self.report.error(&path, out_of(bounds, write)),
            Err(message) => self.report.error(&path, message),
        }
        default
    }
}

impl Report {
    /// A text, or an error at its path.
    pub(super) fn text(&self, path: &str, value: Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text),
            other => {
                self.error(path, format!("expected a text, found {}", kind(&other)));
                None
            }
        }
    }

    /// A list of texts with the path of each; an element that is none is an error and left out.
    pub(super) fn texts(&self, path: &str, value: Value) -> Option<Vec<(String, String)>> {
        let Value::Array(values) = value else {
            self.error(path, format!("expected a list of texts, found {}", kind(&value)));
            return None;
        };
        let texts = values.into_iter().enumerate().filter_map(|(at, value)| {
            let path = format!("{path}[{at}]");
            let text = self.text(&path, value)?;
            Some((path, text))
        });
        Some(texts.collect())
    }

    fn texts_from_outside(&self, path: &str, text: &str) -> Vec<(String, String)> {
        if text.trim_start().starts_with('[') {
            return match text.trim().parse::<Value>() {
                Ok(value) => self.texts(path, value).unwrap_or_default(),
                Err(_) => {
                    self.error(path, "no list as in TOML, such as [\"a\", \"b\"]");
                    Vec::new()
                }
            };
        }
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| (path.to_owned(), part.to_owned())).collect()
    }
}

/// The kind of a value, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number",
        Value::Boolean(true) => "true",
        Value::Boolean(false) => "false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// The path of a key in a table, written as TOML writes it.
pub(super) fn join(path: &str, key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let key = if !key.is_empty() && key.bytes().all(is_bare) {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(format!("{key:?}"))
    };
    if path.is_empty() {
        key.into_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn out_of<T>(bounds: &RangeInclusive<T>, write: impl Fn(&T) -> String) -> String {
    format!("must lie between {} and {}", write(bounds.start()), write(bounds.end()))
}

fn not(what: &str, text: &str) -> String {
    format!("expected {what}, found `{text}`")
}
