//! `[listings.sorts]`: the orders of a listing.

use toml::Value;

use super::{fields, origins::FoundOrigin};
use crate::{
    config::section::{Report, Section, join, kind},
    listing::{
        Collate, SortName,
        definition::{Descending, Sort, SortColumn},
    },
};

/// The sorts in the file's order: the first is the default.
pub(super) fn check(report: &Report, path: &str, value: Option<Value>, origin: FoundOrigin) -> Vec<Sort> {
    let table = match value {
        Some(Value::Table(table)) => table,
        Some(other) => {
            report.error(path, format!("expected a table, found {}", kind(&other)));
            return Vec::new();
        }
        None => {
            report.error(
                path,
                "missing: a listing has at least one sort, such as price = { by = [\"price_cents\"] }",
            );
            return Vec::new();
        }
    };
    if table.is_empty() {
        report.error(
            path,
            "empty: a listing has at least one sort, such as price = { by = [\"price_cents\"] }",
        );
    }
    table
        .into_iter()
        .filter_map(|(name, value)| sort(report, join(path, &name), &name, value, origin))
        .collect()
}

fn sort(report: &Report, path: String, name: &str, value: Value, origin: FoundOrigin) -> Option<Sort> {
    let parsed = SortName::parse(name);
    if parsed.is_none() {
        report.error(&path, format!("`{name}` is no name of a sort: {}", SortName::RULE));
    }
    let mut section = Section::new(report, path, Some(value));
    if !section.is_given() {
        return None;
    }
    if !section.holds("by") {
        section.error(
            "by",
            "missing: a list of columns, such as [\"price_cents\", \"name desc\"]",
        );
    }
    let by = columns(&mut section, "by", origin).unwrap_or_default();
    let own = columns(&mut section, "desc_by", origin);
    let has_desc = section.boolean("desc", true);
    if own.is_some() && !has_desc {
        section.error("desc", "false, and yet there is a desc_by: one of them");
    }
    section.finish();
    Some(Sort {
        name: parsed?,
        by,
        desc: match own {
            _ if !has_desc => Descending::Refused,
            Some(own) => Descending::Own(own),
            None => Descending::Mirrored,
        },
    })
}

fn columns(section: &mut Section<'_>, key: &'static str, origin: FoundOrigin) -> Option<Vec<SortColumn>> {
    let report = section.report;
    let path = section.path_of(key);
    let elements = match section.take(key)? {
        Value::Array(elements) => elements,
        other => {
            report.error(&path, format!("expected a list of columns, found {}", kind(&other)));
            return None;
        }
    };
    if elements.is_empty() {
        report.error(&path, "empty: name at least one column");
    }
    let mut columns: Vec<SortColumn> = Vec::with_capacity(elements.len());
    for (at, element) in elements.into_iter().enumerate() {
        let path = format!("{path}[{at}]");
        let Some(column) = element_of(report, &path, element, origin) else {
            continue;
        };
        let place = column.column.as_str();
        if columns.iter().any(|before| before.column.as_str() == place) {
            report.error(&path, format!("the column `{place}` stands twice"));
        } else {
            columns.push(column);
        }
    }
    Some(columns)
}

/// A text such as `price_cents desc`, or a table such as `{ field = "/attributes/price", as = "number", desc = true }`.
fn element_of(report: &Report, path: &str, element: Value, origin: FoundOrigin) -> Option<SortColumn> {
    match element {
        Value::String(text) => match column(&text) {
            Ok((name, descending)) => Some(SortColumn {
                column: fields::named(report, path, name, origin)?,
                descending,
            }),
            Err(message) => {
                report.error(path, message);
                None
            }
        },
        Value::Table(_) => {
            let mut section = Section::new(report, path, Some(element));
            let field = fields::of_table(&mut section, origin);
            let collate = collate(&mut section);
            let descending = section.boolean("desc", false);
            section.finish();
            let mut column = field?;
            column.collate = collate;
            Some(SortColumn { column, descending })
        }
        other => {
            report.error(path, format!("expected a text or a table, found {}", kind(&other)));
            None
        }
    }
}

/// `collate = "de"`, or `":lang"`.
fn collate(section: &mut Section<'_>) -> Option<Collate> {
    let text = section.text("collate")?;
    let collate = Collate::parse(&text);
    if collate.is_none() {
        section.error(
            "collate",
            format!("`{text}` is no locale: write one such as \"de\", or a variant whose values are locales, such as \":lang\""),
        );
    }
    collate
}

/// `price_cents`, `price_cents asc`, `price_cents desc`.
fn column(text: &str) -> Result<(&str, bool), String> {
    let text = text.trim();
    let (column, descending) = match text.rsplit_once(char::is_whitespace) {
        Some((column, last)) if last.eq_ignore_ascii_case("desc") => (column.trim_end(), true),
        Some((column, last)) if last.eq_ignore_ascii_case("asc") => (column.trim_end(), false),
        Some((_, last)) if last.eq_ignore_ascii_case("descending") || last.eq_ignore_ascii_case("ascending") => {
            return Err(format!("`{text}`: write `asc` or `desc` after the column"));
        }
        _ => (text, false),
    };
    if column.is_empty() {
        return Err("empty: name a column, and `desc` if its greatest value comes first".to_owned());
    }
    // Neither may stand in a quoted identifier of any database; a comma is most likely two columns in one text.
    if !column.starts_with('/') && column.chars().any(|c| c.is_control() || matches!(c, '"' | '`' | ',')) {
        return Err(format!("`{text}`: one column a text, without quotes and commas"));
    }
    Ok((column, descending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_may_be_descending() {
        for (text, name, descending) in [
            ("price_cents", "price_cents", false),
            ("price_cents desc", "price_cents", true),
            (" price_cents  DESC ", "price_cents", true),
            ("price_cents asc", "price_cents", false),
            ("list price desc", "list price", true),
            ("desc", "desc", false),
        ] {
            assert_eq!(column(text), Ok((name, descending)), "{text}");
        }
        for bad in ["", "  ", "a, b", "\"a\" desc", "price descending"] {
            assert!(column(bad).is_err(), "{bad}");
        }
    }
}
