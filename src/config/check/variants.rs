//! `[listings.variants]`: parameters of a closed list of values, with what queries need to know of each value.

use std::sync::Arc;

use toml::Value;

use crate::{
    config::section::{Report, Section, join, kind},
    listing::{
        Collate,
        collate::is_locale,
        definition::{Descending, Sort, SortColumn, Variant, VariantProperty},
        pattern::{PAGE_PARAMETERS, is_parameter_name},
    },
};

/// The longest value of a variant, in bytes: it stands in keys and URLs.
const VARIANT_VALUE_BYTES_MAX: usize = 128;

/// Each variant is a list of values, or a table of values with their properties: the first is the default.
pub(super) fn check(section: &mut Section<'_>, parameters: &mut Vec<String>) -> Vec<Variant> {
    let report = section.report;
    let variants = section.table("variants").into_iter().filter_map(|(parameter, value)| {
        let path = join(&section.path_of("variants"), &parameter);
        check_parameter(report, &path, &parameter, parameters);
        let mut properties = Vec::new();
        let is_empty =
            value.as_array().is_some_and(Vec::is_empty) || value.as_table().is_some_and(toml::Table::is_empty);
        let given = match value {
            Value::Table(table) => {
                properties = properties_of(report, &path, &table);
                table
                    .into_iter()
                    .map(|(value, _)| (join(&path, &value), value))
                    .collect()
            }
            list => report.texts(&path, list)?,
        };
        if is_empty {
            report.error(
                &path,
                "no values: the first is the default, the others may be asked for",
            );
        }
        let mut values: Vec<Arc<str>> = Vec::new();
        for (path, value) in given {
            if value.is_empty() || value.len() > VARIANT_VALUE_BYTES_MAX || value.chars().any(char::is_control) {
                report.error(
                    &path,
                    format!("a value has 1 to {VARIANT_VALUE_BYTES_MAX} bytes and no control characters"),
                );
            } else if values.iter().any(|before| **before == *value) {
                report.error(&path, format!("`{value}` stands twice"));
            } else {
                values.push(value.into());
            }
        }
        Some(Variant {
            parameter: parameter.into(),
            values,
            properties,
        })
    });
    variants.collect()
}

/// The properties of a variant's values: each value has all of them.
fn properties_of(report: &Report, path: &str, values: &toml::Table) -> Vec<VariantProperty> {
    let mut names: Vec<&str> = Vec::new();
    let given: Vec<_> = values
        .iter()
        .map(|(value, given)| {
            let path = join(path, value);
            let Value::Table(given) = given else {
                report.error(&path, format!("expected a table of properties, found {}", kind(given)));
                return None;
            };
            for name in given.keys() {
                if !is_parameter_name(name) {
                    report.error(
                        &join(&path, name),
                        format!("`{name}` is no name of a property: use [a-z_][a-z0-9_]*"),
                    );
                } else if !names.contains(&&**name) {
                    names.push(name);
                }
            }
            Some((path, given))
        })
        .collect();
    let of_name = |name: &&str| VariantProperty {
        name: (*name).into(),
        of_values: given
            .iter()
            .map(|given| match given {
                Some((path, given)) => property(report, path, name, given.get(*name)),
                None => "".into(),
            })
            .collect(),
    };
    names.iter().map(of_name).collect()
}

/// A value's property; empty after an error.
fn property(report: &Report, path: &str, name: &str, given: Option<&Value>) -> Arc<str> {
    match given {
        Some(Value::String(text)) => text.as_str().into(),
        Some(Value::Integer(number)) => number.to_string().into(),
        Some(Value::Boolean(flag)) => flag.to_string().into(),
        Some(other) => {
            report.error(
                &join(path, name),
                format!("expected a text or an integer, found {}", kind(other)),
            );
            "".into()
        }
        None => {
            report.error(path, format!("has no `{name}`: each value has all properties"));
            "".into()
        }
    }
}

/// Of a variant that is named by `collate`, every value is a locale.
pub(super) fn collated_by_variants(section: &Section<'_>, sorts: &[Sort], variants: &[Variant]) {
    for sort in sorts {
        let own: &[SortColumn] = match &sort.desc {
            Descending::Own(by) => by,
            _ => &[],
        };
        let keyed = |key: &'static str, by: &'_ [SortColumn]| (0..by.len()).map(move |at| format!("{key}[{at}]"));
        let keys = keyed("by", &sort.by).chain(keyed("desc_by", own));
        for (column, key) in sort.by.iter().chain(own).zip(keys) {
            let Some(Collate::OfVariant(named)) = &column.column.collate else {
                continue;
            };
            let path = format!("{}.{}.{key}.collate", section.path_of("sorts"), sort.name);
            let locales = variants.iter().find_map(|variant| match named.split_once('.') {
                None => (variant.parameter == *named).then_some(&variant.values),
                Some((parameter, name)) => {
                    let mut properties = variant.properties.iter().filter(|_| *variant.parameter == *parameter);
                    properties
                        .find(|property| *property.name == *name)
                        .map(|property| &property.of_values)
                }
            });
            let message = match locales.map(|locales| locales.iter().find(|locale| !is_locale(locale))) {
                None => format!("`collate` names `:{named}`, and there is no such variant and no such property of one"),
                Some(Some(other)) => format!("`collate` names `:{named}`, and its value `{other}` is no locale"),
                Some(None) => continue,
            };
            section.report.error(&path, message);
        }
    }
}

/// Properties that an SQL query names in braces are pasted into it, so they must be identifiers.
pub(super) fn identifiers(section: &Section<'_>, query: &str, variants: &[Variant]) {
    for variant in variants {
        for property in &variant.properties {
            if !query.contains(&format!("{{{}.{}}}", variant.parameter, property.name)) {
                continue;
            }
            let of_each = variant.values.iter().zip(&property.of_values);
            for (value, bad) in
                of_each.filter(|(_, of_value)| !of_value.is_empty() && !VariantProperty::is_identifier(of_value))
            {
                let path = format!(
                    "{}.{}.{value}.{}",
                    section.path_of("variants"),
                    variant.parameter,
                    property.name
                );
                section.report.error(
                    &path,
                    format!(
                        "`{bad}` is written into the query as it stands, so it may have A-Z, a-z, 0-9, `_` and `.` only"
                    ),
                );
            }
        }
    }
}

fn check_parameter(report: &Report, path: &str, parameter: &str, parameters: &mut Vec<String>) {
    if !is_parameter_name(parameter) {
        report.error(
            path,
            format!("`{parameter}` is no parameter name: use [a-z_][a-z0-9_]*"),
        );
    } else if PAGE_PARAMETERS.contains(&parameter) {
        // It could never be reached.
        report.error(
            path,
            format!("every listing has the query parameter `{parameter}` already: take another name"),
        );
    } else if parameters.iter().any(|before| before == parameter) {
        report.error(path, format!("the listing has a parameter `{parameter}` already"));
    } else {
        parameters.push(parameter.to_owned());
    }
}
