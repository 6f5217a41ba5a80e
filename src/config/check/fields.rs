//! Columns and members that a listing names: by a name, by a JSON pointer, and what their values are taken for.

use std::sync::Arc;

use toml::Value;

use super::origins::FoundOrigin;
use crate::{
    config::{
        nearest::suggestion,
        section::{Report, Section, join, kind},
    },
    listing::{
        Field, Taken,
        definition::{Names, Variant},
        json_pointer::JsonPointer,
        pattern::NamePattern,
    },
};

/// A field as a text or as a table.
pub(super) fn check(report: &Report, path: &str, value: Value, origin: FoundOrigin) -> Option<Field> {
    match value {
        Value::String(text) => named(report, path, &text, origin),
        table @ Value::Table(_) => {
            let mut section = Section::new(report, path, Some(table));
            let field = of_table(&mut section, origin);
            section.finish();
            field
        }
        other => {
            let found = kind(&other);
            report.error(
                path,
                format!("expected a text, or a table such as {{ field = \"/attributes/price\", as = \"number\" }}, found {found}"),
            );
            None
        }
    }
}

/// The keys of a table that say a field.
pub(super) fn of_table(section: &mut Section<'_>, origin: FoundOrigin) -> Option<Field> {
    let place = section.required_text("field", "the name of a column or member, or a JSON pointer");
    if origin == FoundOrigin::Sql {
        for (key, instead) in [
            (
                "as",
                "a column has a type: convert it in the query, such as `cast(price as decimal(12, 2)) as price`",
            ),
            ("optional", "a query always yields its columns"),
        ] {
            if section.holds(key) {
                section.error(key, format!("is for files and APIs; {instead}"));
            }
        }
    }
    let taken = match section.text("as").as_deref() {
        None => Taken::AsIs,
        Some("number") => Taken::Number,
        Some("text") => Taken::Text,
        Some(other) => {
            section.error("as", format!("expected \"number\" or \"text\", found `{other}`"));
            Taken::AsIs
        }
    };
    let optional = section.boolean("optional", false);
    let mut field = named(section.report, &section.path_of("field"), &place?, origin)?;
    field.optional = optional;
    Some(field.taken_for(taken))
}

/// A field by its name or pointer.
pub(super) fn named(report: &Report, path: &str, text: &str, origin: FoundOrigin) -> Option<Field> {
    let message = if text.trim().is_empty() {
        "empty: the name of a column or member, or a JSON pointer".to_owned()
    } else if text.len() > Field::BYTES_MAX {
        format!("longer than {} bytes", Field::BYTES_MAX)
    } else {
        match JsonPointer::parse(text) {
            Err(error) if text.starts_with('/') && origin != FoundOrigin::Sql => error.to_string(),
            _ => return Some(Field::new(text)),
        }
    };
    report.error(path, message);
    None
}

/// The parameters that a definition has, by what they are.
pub(super) struct Parameters<'d> {
    pub pattern: Option<&'d NamePattern>,
    pub variants: &'d [Variant],
    pub names: Option<&'d Names>,
}

/// `[listings.fields]`, and what `names` says of members: the fields of parameters that are spelt otherwise.
pub(super) fn of_parameters(
    section: &mut Section<'_>,
    origin: FoundOrigin,
    parameters: &Parameters<'_>,
) -> Vec<(Arc<str>, Field)> {
    let report = section.report;
    let path = section.path_of("fields");
    let mut fields = Vec::new();
    for (parameter, value) in section.table("fields") {
        let path = join(&path, &parameter);
        if let Some(message) = parameters.why_not(&parameter, origin) {
            report.error(&path, message);
        }
        fields.extend(check(report, &path, value, origin).map(|field| (Arc::from(parameter), field)));
    }
    let mut bind = |path: &str, parameter: &Arc<str>, member: &str| match fields.iter().find(|(of, _)| of == parameter)
    {
        Some((_, field)) if field.as_str() != member => report.error(
            path,
            format!("says that `{parameter}` is `{member}`, and `fields` says `{field}`: one of them"),
        ),
        Some(_) => {}
        None if **parameter == *member => {}
        None => fields.extend(named(report, path, member, origin).map(|field| (parameter.clone(), field))),
    };
    if let (FoundOrigin::File { .. }, Some(Names::Query(members)), Some(pattern)) =
        (origin, parameters.names, parameters.pattern)
    {
        let path = section.path_of("names");
        for (parameter, member) in pattern.parameters().zip(members.split(',')) {
            bind(&path, parameter, member.trim());
        }
    }
    fields
}

impl Parameters<'_> {
    /// Why a parameter has no field.
    fn why_not(&self, parameter: &str, origin: FoundOrigin) -> Option<String> {
        let of_pattern = self.pattern.iter().flat_map(|pattern| pattern.parameters());
        let variants = self.variants.iter().map(|variant| &variant.parameter);
        let known: Vec<&str> = of_pattern.chain(variants.clone()).map(|of| &**of).collect();
        let is_among = |mut those: Box<dyn Iterator<Item = &Arc<str>> + '_>| those.any(|of| **of == *parameter);
        if !known.contains(&parameter) {
            return Some(format!(
                "the listing has no parameter `{parameter}`{}",
                suggestion(parameter, known)
            ));
        }
        match origin {
            FoundOrigin::Sql => Some(format!("the query names `:{parameter}`; no column is compared with it")),
            FoundOrigin::Http(_) if is_among(Box::new(variants)) => Some(format!(
                "the request names `:{parameter}`; variants are compared with no member"
            )),
            _ => None,
        }
    }
}
