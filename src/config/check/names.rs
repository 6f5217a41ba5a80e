//! `names` and `names_file` of a listing: the enumeration of the names that exist.

use std::{collections::HashSet, path::Path};

use toml::Value;

use super::origins::FoundOrigin;
use crate::{
    config::{files::read_names_file, section::Section},
    listing::{ListingName, definition::Names, pattern::NamePattern},
};

/// Reads both keys. Without a pattern (it was wrong) values are not checked against it.
pub(super) fn check(section: &mut Section<'_>, pattern: Option<&NamePattern>, origin: FoundOrigin) -> Option<Names> {
    let parameters = pattern.map_or(1, |pattern| pattern.parameters().count());
    let key = if section.holds("names") { "names" } else { "names_file" };
    if section.holds("names") && section.holds("names_file") {
        section.error("names_file", "there are `names` already: one of them");
    }
    let names = section.take("names");
    let file = section.text("names_file");
    if parameters == 0 && (names.is_some() || file.is_some()) {
        section.error(
            key,
            "the listing's name has no parameter, so there is one name: leave this out",
        );
        return None;
    }
    let path = section.path_of(key);
    let values = match (names, &file) {
        (Some(Value::String(query)), _) if query.trim().is_empty() => {
            section.error(key, "empty: a query, a list of values, or leave it out");
            return None;
        }
        (Some(Value::String(query)), _) => {
            if let (FoundOrigin::File { .. }, Some(pattern)) = (origin, pattern) {
                check_members(section, pattern, &query);
            }
            return Some(Names::Query(query.into()));
        }
        (Some(list @ Value::Array(_)), _) => section.report.texts(&path, list)?,
        (Some(_), _) => {
            section.error(key, "expected a query or a list of values");
            return None;
        }
        (None, Some(file)) => match read_names_file(Path::new(file)) {
            Ok(text) => with_paths(&path, &text),
            Err(error) => {
                section.error(key, format!("cannot read `{file}`: {error}"));
                return None;
            }
        },
        (None, None) => return None,
    };
    if parameters > 1 {
        section.error(
            key,
            format!("a list gives values of one parameter, and the listing's name has {parameters}: use a query"),
        );
        return None;
    }
    if values.is_empty() && section.is_clean() {
        section.error(key, "no values: no name could ever exist");
    }
    check_values(section, pattern?, &values);
    if let Some(file) = file.filter(|_| key == "names_file") {
        return Some(Names::File(file.into()));
    }
    Some(Names::List(values.into_iter().map(|(_, value)| value.into()).collect()))
}

/// The values of a names file with the path of each.
fn with_paths(path: &str, text: &str) -> Vec<(String, String)> {
    Names::lines(text)
        .map(|(at, line)| (format!("{path} line {at}"), line.to_owned()))
        .collect()
}

/// A file has no queries: `names` gives the members that hold the parameters' values.
fn check_members(section: &Section<'_>, pattern: &NamePattern, members: &str) {
    let parameters: Vec<_> = pattern.parameters().map(|parameter| &**parameter).collect();
    let is_query = members.trim_start().to_ascii_lowercase().starts_with("select ");
    let count = members.split(',').filter(|member| !member.trim().is_empty()).count();
    if is_query || count != parameters.len() {
        section.error(
            "names",
            format!(
                "a file takes no query: name the member that holds each parameter's value, separated by commas ({})",
                parameters.join(", ")
            ),
        );
    }
}

fn check_values(section: &Section<'_>, pattern: &NamePattern, values: &[(String, String)]) {
    let mut seen = HashSet::new();
    for (path, value) in values {
        let name = pattern.fill(&[value]).unwrap_or_default();
        let shown = value.escape_debug();
        if value.is_empty() {
            section
                .report
                .error(path, "empty: a parameter has at least one character");
        } else if !seen.insert(value) {
            section.report.error(path, format!("`{shown}` stands twice"));
        } else if let Err(error) = ListingName::parse(&name) {
            section.report.error(path, format!("`{shown}` makes no name: {error}"));
        }
    }
}
