//! `[origins.<name>]`: where items come from.

use std::{path::PathBuf, time::Duration};

use encoding_rs::Encoding;
use toml::{Table, Value};
use url::Url;

use super::{changes, http_origin};
use crate::config::{
    CsvConfig, OriginBounds, OriginConfig, OriginKind, Secret,
    nearest::suggestion,
    section::{Report, Section, join},
    values::holds_password,
};

const NAME_BYTES_MAX: usize = 32;
/// Ends of the names of files that hold rows.
const ROWS: [&str; 2] = [".csv", ".tsv"];
const CSV_KEYS: [&str; 2] = ["delimiter", "encoding"];

/// The origins that the file declares. One that is itself wrong is still known by its name, so that no listing's
/// `origin` is reported for it.
#[derive(Debug, Default)]
pub(super) struct DeclaredOrigins {
    declared: Vec<(Box<str>, Option<OriginConfig>)>,
}

/// The facts of an origin that its definitions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundOrigin {
    Sql,
    File {
        /// Whether its numbers have a comma for their decimal point.
        decimal_comma: bool,
    },
    Http(Requests),
    /// Declared, but wrong.
    Broken,
    No,
}

/// The facts of an API that its requests need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Requests {
    /// The value by which pages are read.
    pub value: Option<&'static str>,
    /// Whether there is a value `:session`.
    pub session: bool,
}

impl DeclaredOrigins {
    pub(super) fn find(&self, name: &str) -> FoundOrigin {
        let found = self.declared.iter().find(|(declared, _)| **declared == *name);
        match found {
            None => FoundOrigin::No,
            Some((_, None)) => FoundOrigin::Broken,
            Some((_, Some(origin))) => match &origin.kind {
                OriginKind::Sql { .. } => FoundOrigin::Sql,
                OriginKind::File { decimal_comma, .. } => FoundOrigin::File {
                    decimal_comma: *decimal_comma,
                },
                OriginKind::Http(api) => FoundOrigin::Http(Requests {
                    value: api.paging.value(),
                    session: api.session.is_some(),
                }),
            },
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.iter().map(|(name, _)| &**name)
    }

    pub(super) fn into_configs(self) -> Vec<OriginConfig> {
        self.declared.into_iter().filter_map(|(_, origin)| origin).collect()
    }
}

pub(super) fn check(report: &Report, value: Option<Value>) -> DeclaredOrigins {
    let table = match value {
        None => Table::new(),
        Some(Value::Table(table)) => table,
        Some(_) => {
            report.error("origins", "expected tables such as [origins.shop]");
            Table::new()
        }
    };
    let declared = table.into_iter().map(|(name, value)| {
        let path = join("origins", &name);
        if let Some(variable) = only_outside(report, &path, &value) {
            report.error(
                &path,
                format!("{variable} sets a key of it, and the file has no [{path}]: is the variable's name right?"),
            );
            return (name.into(), None);
        }
        if !is_origin_name(&name) {
            report.error(
                &path,
                format!("`{name}` is no name of an origin: 1 to {NAME_BYTES_MAX} of a-z, 0-9 and `_`, no `__`"),
            );
        }
        let origin = origin(Section::new(report, path, Some(value)), &name);
        (name.into(), origin)
    });
    DeclaredOrigins {
        declared: declared.collect(),
    }
}

/// A variable that sets a key of an origin of which nothing else is said.
fn only_outside(report: &Report, path: &str, origin: &Value) -> Option<String> {
    let keys = origin.as_table().filter(|keys| !keys.contains_key("kind"))?;
    let variables: Option<Vec<_>> = keys.keys().map(|key| report.variable_of(&join(path, key))).collect();
    variables?.into_iter().next()
}

/// The names that a variable can spell: `LISTCACHE_ORIGINS__SHOP__URL`.
fn is_origin_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits) && !name.contains("__")
}

fn origin(mut section: Section<'_>, name: &str) -> Option<OriginConfig> {
    const KINDS: [&str; 3] = ["sql", "file", "http"];
    const ONE_OF: &str = "\"sql\", \"file\" or \"http\"";
    if !section.is_given() {
        return None;
    }
    let timeout = section.duration(
        "timeout",
        Duration::from_millis(100)..=Duration::from_secs(3600),
        Duration::from_secs(30),
    );
    let bounds = bounds(&mut section);
    let kind = section.required_text("kind", ONE_OF);
    let is_kind = kind.as_deref().is_some_and(|kind| KINDS.contains(&kind));
    let kind = match kind.as_deref() {
        Some("sql") => sql(&mut section),
        Some("file") => file(&mut section),
        Some("http") => http_origin::check(&mut section).map(|api| OriginKind::Http(Box::new(api))),
        Some(other) => {
            let suggestion = suggestion(other, KINDS);
            section.error("kind", format!("`{other}` is no kind of origin: {ONE_OF}{suggestion}"));
            None
        }
        None => None,
    };
    if !is_kind {
        // Which of these belong here may not be known.
        for key in http_origin::KEYS
            .into_iter()
            .chain(["watch", "strict", "decimal"])
            .chain(CSV_KEYS)
        {
            let _ = section.take(key);
        }
    }
    let changes = changes::check(&mut section, kind.as_ref());
    let clean = section.is_clean();
    section.finish();
    kind.filter(|_| clean).map(|kind| OriginConfig {
        changes,
        name: name.into(),
        timeout,
        bounds,
        kind,
    })
}

fn bounds(section: &mut Section<'_>) -> OriginBounds {
    let default = OriginBounds::default();
    let at_once = section.integer("refreshes_at_once", 1..=1000, default.refreshes_at_once as u64);
    let per_second = section.holds("refreshes_per_second");
    let per_second = per_second.then(|| section.number("refreshes_per_second", 0.01..=100_000.0, 1.0));
    let bytes = section.holds("bytes_per_second");
    // A stream that is being written must be added to before it expires.
    let bytes = bytes.then(|| section.size("bytes_per_second", 64 << 10..=1 << 40, 1 << 20));
    OriginBounds {
        refreshes_at_once: usize::try_from(at_once).unwrap_or(default.refreshes_at_once),
        refreshes_per_second: per_second,
        bytes_per_second: bytes,
    }
}

fn sql(section: &mut Section<'_>) -> Option<OriginKind> {
    if section.take("path").is_some() {
        section.error("path", "a `sql` origin has a `url`, no `path`");
    }
    let url = section.required_text("url", "such as \"sqlite:catalogue.db\"");
    let is_postgres = url
        .as_ref()
        .is_some_and(|url| url.starts_with("postgres:") || url.starts_with("postgresql:"));
    if section.holds("max_transaction_time") && !is_postgres {
        section.error("max_transaction_time", "is for PostgreSQL only");
    }
    let is_given = section.holds("max_transaction_time");
    let max_transaction_time = section.duration(
        "max_transaction_time",
        Duration::from_secs(1)..=Duration::from_secs(24 * 3600),
        Duration::from_secs(600),
    );
    let max_transaction_time = is_given.then_some(max_transaction_time);
    let strict = section.boolean("strict", false);
    let url = url?;
    // Says nothing of the URL's text, for it may hold a password.
    match url.split_once(':') {
        Some(("sqlite", rest)) => {
            if rest.trim_start_matches('/').is_empty() || rest.contains(":memory:") {
                section.error("url", "names no file; write \"sqlite:catalogue.db\"");
            }
        }
        Some(("postgres" | "postgresql" | "mysql" | "mariadb", _)) => server(section, &url),
        Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            section.error(
                "url",
                format!("`{scheme}:` is no database; write \"sqlite:catalogue.db\""),
            );
        }
        _ => section.error("url", "names no database; write \"sqlite:catalogue.db\""),
    }
    let in_file = section.report.is_in_file(&section.path_of("url"));
    if in_file && Url::parse(&url).is_ok_and(|url| holds_password(&url)) {
        section.error(
            "url",
            "holds a password, and secrets do not stand in the file: set LISTCACHE_ORIGINS__<NAME>__URL or …__URL_FILE",
        );
    }
    Some(OriginKind::Sql {
        url: Secret::new(url),
        max_transaction_time,
        strict,
    })
}

/// A database of a server: everything but the host has a default.
fn server(section: &mut Section<'_>, url: &str) {
    let path = Url::parse(url).ok().filter(|url| !url.cannot_be_a_base());
    match path.as_ref().map(|url| url.path().trim_start_matches('/')) {
        Some("") if !url.contains("dbname=") => {
            section.error("url", "names no database; write \"postgres://user@host/database\"")
        }
        Some(_) => {}
        None => section.error("url", "is no URL of a server; write \"postgres://user@host/database\""),
    }
}

fn file(section: &mut Section<'_>) -> Option<OriginKind> {
    const FORMATS: [&str; 5] = [".ndjson", ".jsonl", ".json", ROWS[0], ROWS[1]];
    if section.take("url").is_some() {
        section.error("url", "a `file` origin has a `path`, no `url`");
    }
    let watch = section.boolean("watch", false);
    let decimal_comma = match section.text("decimal").as_deref() {
        None | Some(".") => false,
        Some(",") => true,
        Some(other) => {
            section.error("decimal", format!("`{other}` is no decimal point: \",\" or \".\""));
            false
        }
    };
    let path = section.required_text("path", "such as \"products.ndjson.gz\"")?;
    let plain = path.strip_suffix(".gz").unwrap_or(&path);
    if !FORMATS.iter().any(|format| plain.ends_with(format)) {
        section.error(
            "path",
            "the name must end in .ndjson, .jsonl, .json, .csv or .tsv, with or without .gz: it tells the format",
        );
    }
    let csv = csv(section, ROWS.iter().any(|format| plain.ends_with(format)));
    Some(OriginKind::File {
        path: PathBuf::from(path),
        watch,
        csv,
        decimal_comma,
    })
}

/// The keys that only a file of rows has.
fn csv(section: &mut Section<'_>, has_rows: bool) -> CsvConfig {
    for key in CSV_KEYS {
        if section.holds(key) && !has_rows {
            section.error(
                key,
                "is for .csv and .tsv; NDJSON and JSON are UTF-8 by their standards",
            );
        }
    }
    let delimiter = section.text("delimiter");
    let encoding = section.text("encoding");
    CsvConfig {
        delimiter: delimiter.and_then(|text| match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => Some(*byte),
            _ => {
                section.error("delimiter", "one character of ASCII, such as \";\" or \"\\t\"; no quote and no line's end");
                None
            }
        }),
        encoding: encoding.and_then(|label| {
            let encoding = Encoding::for_label_no_replacement(label.as_bytes());
            if encoding.is_none() {
                let known = "\"utf-8\", \"utf-16le\", \"windows-1252\", \"iso-8859-15\", \"shift_jis\" and the other names of https://encoding.spec.whatwg.org/#names-and-labels";
                section.error("encoding", format!("`{label}` is no encoding that is known; known are {known}"));
            }
            encoding
        }),
    }
}
