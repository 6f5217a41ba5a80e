//! `[listings.filters]`: the columns by which a listing's own items are filtered.

use toml::Value;

use super::{fields, origins::FoundOrigin};
use crate::{
    config::section::{Report, Section, kind},
    listing::{
        Field, Taken,
        filtering::{Each, FilterColumn, FilterKind},
        pattern::is_parameter_name,
    },
};

/// Numbers between which a filter with ranges is counted.
const STEPS_MAX: usize = 100;

/// One filter: `brand = {}`, `colour = { many = true }`, `price = { at = "/price/amount", as = "number", range = true }`.
pub(super) fn check(
    report: &Report,
    path: String,
    name: &str,
    value: Value,
    origin: FoundOrigin,
) -> Option<FilterColumn> {
    if !is_parameter_name(name) {
        report.error(
            &path,
            format!("`{name}` is no name of a filter: use [a-z_][a-z0-9_]*; `at` says where its values stand"),
        );
    }
    if let Value::String(_) = &value {
        report.error(
            &path,
            format!("the values of a filter come from the items, and need no query: write `{name} = {{}}`, and ask by `f.{name}`"),
        );
        return None;
    }
    let mut section = Section::new(report, path, Some(value));
    if !section.is_given() {
        return None;
    }
    let mut field = place(&mut section, "at", origin).unwrap_or_else(|| Field::new(name));
    let (taken, is_boolean) = taken(&mut section);
    let optional = section.boolean("optional", false);
    if optional && origin == FoundOrigin::Sql {
        section.error("optional", "is for files and APIs; a query always yields its columns");
    }
    let range = section.boolean("range", false);
    let many = section.boolean("many", false);
    let separator = section.text("separator");
    let (label, rank) = (
        place(&mut section, "label", origin),
        place(&mut section, "rank", origin),
    );
    let steps = steps(&mut section);
    if range {
        for (key, is_given) in [
            ("many", many),
            ("separator", separator.is_some()),
            ("label", label.is_some()),
            ("rank", rank.is_some()),
        ] {
            if is_given {
                section.error(key, "is for values, and `range = true` makes this a filter of numbers");
            }
        }
        if is_boolean || taken == Taken::Text {
            section.error("as", "ranges are of numbers: \"number\", or leave it out");
        }
    } else if steps.is_some() {
        section.error("steps", "are for numbers: say `range = true`");
    }
    if separator.as_deref() == Some("") {
        section.error(
            "separator",
            "empty: what stands between two values in a text, such as \"|\"",
        );
    }
    if !range && (many || separator.is_some()) && (label.is_some() || rank.is_some()) {
        section.error(
            if label.is_some() { "label" } else { "rank" },
            "is for filters of which an item has one value: which of several it would be of is not known",
        );
    }
    if many && separator.is_some() {
        section.error("many", "is for arrays, and `separator` for texts: one of them");
    }
    section.finish();
    field.optional = optional;
    let kind = match range {
        true => FilterKind::Numbers {
            steps: steps.unwrap_or_default(),
        },
        false => FilterKind::Values {
            each: match separator {
                Some(separator) => Each::Separated(separator.into()),
                None if many => Each::List,
                None => Each::One,
            },
            is_boolean,
            label,
            rank,
        },
    };
    Some(FilterColumn {
        name: name.into(),
        field: field.taken_for(taken),
        decimal_comma: origin == FoundOrigin::File { decimal_comma: true },
        kind,
    })
}

/// A column or member.
fn place(section: &mut Section<'_>, key: &'static str, origin: FoundOrigin) -> Option<Field> {
    let text = section.text(key)?;
    fields::named(section.report, &section.path_of(key), &text, origin)
}

/// `as`: for what values are taken, and whether they are true or false.
fn taken(section: &mut Section<'_>) -> (Taken, bool) {
    match section.text("as").as_deref() {
        None => (Taken::AsIs, false),
        Some("number") => (Taken::Number, false),
        Some("text") => (Taken::Text, false),
        Some("boolean") => (Taken::AsIs, true),
        Some(other) => {
            section.error(
                "as",
                format!("expected \"number\", \"text\" or \"boolean\", found `{other}`"),
            );
            (Taken::AsIs, false)
        }
    }
}

/// `steps`: numbers in their order.
fn steps(section: &mut Section<'_>) -> Option<Vec<f64>> {
    let values = match section.take("steps")? {
        Value::Array(values) => values,
        other => {
            let found = kind(&other);
            section.error("steps", format!("expected a list of numbers, found {found}"));
            return None;
        }
    };
    let number = |value: &Value| match value {
        // Steps are written by hand: far below 2^53, from where on a double rounds.
        Value::Integer(number) => Some(*number as f64),
        Value::Float(number) => Some(*number).filter(|number| number.is_finite()),
        _ => None,
    };
    let steps: Option<Vec<f64>> = values.iter().map(number).collect();
    let Some(steps) = steps else {
        section.error("steps", "expected a list of numbers, such as [0, 500, 1000]");
        return None;
    };
    if steps.len() > STEPS_MAX || !steps.is_sorted_by(|left, right| left < right) {
        section.error(
            "steps",
            format!("at most {STEPS_MAX} numbers, each more than the one before it"),
        );
    }
    Some(steps)
}
