//! `[[listings]]`: the definitions.

use std::sync::Arc;

use toml::Value;

use super::{
    fields, filters, names,
    origins::{DeclaredOrigins, FoundOrigin},
    policy, requests, sorts, variants,
};
use crate::{
    config::{
        nearest::suggestion,
        section::{Report, Section, join, kind},
    },
    listing::{Definition, Field, Filters, ListingName, Policy, definition::Links, pattern::NamePattern},
};

pub(super) fn check(
    report: &Report,
    value: Option<Value>,
    origins: &DeclaredOrigins,
    defaults: &Policy,
) -> Vec<Arc<Definition>> {
    let listings = match value {
        None => Vec::new(),
        Some(Value::Array(listings)) => listings,
        Some(other) => {
            report.error(
                "listings",
                format!("expected tables such as [[listings]], found {}", kind(&other)),
            );
            Vec::new()
        }
    };
    let mut patterns: Vec<Option<NamePattern>> = Vec::new();
    let mut defined = Vec::new();
    for (at, listing) in listings.into_iter().enumerate() {
        let section = Section::new(report, format!("listings[{at}]"), Some(listing));
        if !section.is_given() {
            patterns.push(None);
            continue;
        }
        let (pattern, definition) = definition(section, &patterns, origins, defaults);
        patterns.push(pattern);
        defined.extend(definition.map(Arc::new));
    }
    defined
}

fn definition(
    mut section: Section<'_>,
    before: &[Option<NamePattern>],
    origins: &DeclaredOrigins,
    defaults: &Policy,
) -> (Option<NamePattern>, Option<Definition>) {
    let pattern = pattern(&mut section, before);
    let origin = section.required_text("origin", "the name of one of [origins]");
    let found = origin.as_deref().map_or(FoundOrigin::Broken, |name| origins.find(name));
    if let (FoundOrigin::No, Some(name)) = (found, &origin) {
        let suggestion = suggestion(name, origins.names());
        section.error("origin", format!("there is no [origins.{name}]{suggestion}"));
    }
    let names = names::check(&mut section, pattern.as_ref(), found);
    let query = query(&mut section, found);
    let version_query = version_query(&mut section, found);
    let names_of = names_of(&mut section, found);
    let next_change_query = next_change_query(&mut section, found);
    let item_query = item_query(&mut section, found);
    let id = match section.take("id") {
        Some(value) => fields::check(section.report, &section.path_of("id"), value, found),
        None => Some(Field::new("id")),
    };
    if id.as_ref().is_some_and(|id| id.optional) {
        section.error("id", "every item has an id: leave out `optional`");
    }
    let links = links(&mut section);
    let sorts_path = section.path_of("sorts");
    let sorts = sorts::check(section.report, &sorts_path, section.take("sorts"), found);
    let mut parameters: Vec<String> = pattern
        .iter()
        .flat_map(|pattern| pattern.parameters().map(|name| name.to_string()))
        .collect();
    let variants = variants::check(&mut section, &mut parameters);
    variants::collated_by_variants(&section, &sorts, &variants);
    if found == FoundOrigin::Sql {
        variants::identifiers(&section, query.as_deref().unwrap_or_default(), &variants);
    }
    let filters = filters(&mut section, found);
    if let FoundOrigin::Http(of_origin) = found {
        let named = requests::NamedByListing {
            pattern: pattern.as_ref(),
            variants: &variants,
        };
        requests::check(&section, &of_origin, &named, query.as_deref(), names.as_ref());
        if let Some(item_query) = &item_query {
            requests::check_item_query(&section, &of_origin, &named, item_query);
        }
    }
    let bound = fields::Parameters {
        pattern: pattern.as_ref(),
        variants: &variants,
        names: names.as_ref(),
    };
    let fields = fields::of_parameters(&mut section, found, &bound);
    let hidden = hidden(&mut section, id.as_ref(), &filters);
    let policy = policy::read(&mut section, defaults);
    section.finish();

    let definition = pattern.clone().zip(origin).map(|(pattern, origin)| Definition {
        pattern,
        origin: origin.into(),
        query: query.map(Into::into),
        version_query: version_query.map(Into::into),
        id: id.unwrap_or_else(|| Field::new("id")),
        names,
        names_of: names_of.map(Into::into),
        next_change_query: next_change_query.map(Into::into),
        item_query: item_query.map(Into::into),
        sorts,
        variants,
        filters: Arc::new(filters),
        hidden: hidden.into(),
        fields,
        policy: Arc::new(policy),
        hashes: Default::default(),
        links,
    });
    (pattern, definition)
}

fn pattern(section: &mut Section<'_>, before: &[Option<NamePattern>]) -> Option<NamePattern> {
    let text = section.required_text("name", "such as \"category:{category}\"")?;
    let pattern = match NamePattern::parse(&text) {
        Ok(pattern) => pattern,
        Err(error) => {
            section.error("name", format!("`{text}`: {error}"));
            return None;
        }
    };
    // A name as short as any: if this is none, no name that fits is.
    let values = vec!["x"; pattern.parameters().count()];
    let shortest = pattern.fill(&values).unwrap_or_default();
    if let Err(error) = ListingName::parse(&shortest) {
        section.error("name", format!("no name can fit: {error}"));
        return None;
    }
    for (at, earlier) in before.iter().enumerate() {
        let Some(earlier) = earlier else { continue };
        let same = earlier.as_str() == pattern.as_str();
        let hidden = values.is_empty() && earlier.matches(&shortest).is_some();
        if same || hidden {
            section.error(
                "name",
                format!(
                    "listings[{at}] fills these names already, with `{}`: the first that fits is used",
                    earlier.as_str()
                ),
            );
            break;
        }
    }
    Some(pattern)
}

fn query(section: &mut Section<'_>, origin: FoundOrigin) -> Option<String> {
    match origin {
        FoundOrigin::Sql => section.required_text("query", "a `sql` origin needs the query that reads a name's items"),
        FoundOrigin::File { .. } => {
            if section.take("query").is_some() {
                section.error(
                    "query",
                    "a `file` origin takes no query: its items are those whose members have the parameters' values",
                );
            }
            None
        }
        FoundOrigin::Http(_) => {
            section.required_text("query", "an `http` origin needs the request that reads a name's items")
        }
        FoundOrigin::Broken | FoundOrigin::No => section.text("query"),
    }
}

fn version_query(section: &mut Section<'_>, origin: FoundOrigin) -> Option<String> {
    let query = section.text("version_query")?;
    match origin {
        FoundOrigin::Sql if query.trim().is_empty() => section.error("version_query", "empty"),
        FoundOrigin::Sql | FoundOrigin::Broken | FoundOrigin::No => {}
        FoundOrigin::File { .. } => section.error(
            "version_query",
            "a `file` origin takes no query: a file that did not change is noticed by itself",
        ),
        FoundOrigin::Http(_) => section.error("version_query", "an `http` origin cannot be asked for a version"),
    }
    Some(query)
}

fn names_of(section: &mut Section<'_>, origin: FoundOrigin) -> Option<String> {
    let query = section.text("names_of")?;
    match origin {
        FoundOrigin::Sql if query.trim().is_empty() => section.error("names_of", "empty"),
        FoundOrigin::Sql | FoundOrigin::Broken | FoundOrigin::No => {}
        FoundOrigin::File { .. } | FoundOrigin::Http(_) => {
            section.error(
                "names_of",
                "only a `sql` origin can be asked which names an item belongs to",
            );
        }
    }
    Some(query)
}

fn next_change_query(section: &mut Section<'_>, origin: FoundOrigin) -> Option<String> {
    let query = section.text("next_change_query")?;
    match origin {
        FoundOrigin::Sql if query.trim().is_empty() => section.error("next_change_query", "empty"),
        FoundOrigin::Sql | FoundOrigin::Broken | FoundOrigin::No => {}
        FoundOrigin::File { .. } | FoundOrigin::Http(_) => {
            section.error(
                "next_change_query",
                "only a `sql` origin can be asked when something begins or ends next: report a change at that time, or lower `fresh_for`",
            );
        }
    }
    Some(query)
}

fn item_query(section: &mut Section<'_>, origin: FoundOrigin) -> Option<String> {
    let query = section.text("item_query")?;
    match origin {
        FoundOrigin::Http(_) | FoundOrigin::Broken | FoundOrigin::No => {}
        FoundOrigin::Sql => section.error(
            "item_query",
            "a `sql` origin needs none: rows of some items are read by `query`",
        ),
        FoundOrigin::File { .. } => section.error("item_query", "a `file` origin takes no query"),
    }
    Some(query)
}

fn links(section: &mut Section<'_>) -> Links {
    match section.text("links").as_deref() {
        None | Some("pinned") => Links::Pinned,
        Some("plain") => Links::Plain,
        Some(other) => {
            section.error("links", format!("expected \"pinned\" or \"plain\", found `{other}`"));
            Links::Pinned
        }
    }
}

/// `[listings.filters]`, in the file's order.
fn filters(section: &mut Section<'_>, origin: FoundOrigin) -> Filters {
    let report = section.report;
    let path = section.path_of("filters");
    let filters = section
        .table("filters")
        .into_iter()
        .filter_map(|(name, value)| filters::check(report, join(&path, &name), &name, value, origin));
    Filters::new(filters.collect())
}

/// `hidden`: members, sorted, each once. Columns that filters read cannot be among them: they are read again from stored items.
fn hidden(section: &mut Section<'_>, id: Option<&Field>, filters: &Filters) -> Vec<Box<str>> {
    let report = section.report;
    let given = section.texts("hidden");
    let mut hidden: Vec<Box<str>> = Vec::new();
    for (path, name) in given.unwrap_or_default() {
        let is_at = |field: &Field| field.steps().first().is_some_and(|step| **step == *name);
        let filter = filters.iter().find(|filter| filter.fields().any(is_at));
        if name.is_empty() || name.starts_with('/') {
            report.error(
                &path,
                "expected the name of a column or of a member of the item itself; a pointer cannot be hidden",
            );
        } else if id.is_some_and(is_at) {
            report.error(&path, format!("`{name}` is the id: every item is served with it"));
        } else if let Some(filter) = filter {
            let name = &filter.name;
            report.error(
                &path,
                format!("the filter `{name}` reads it from the stored items, which do not have what is hidden"),
            );
        } else if hidden.iter().any(|before| **before == *name) {
            report.error(&path, format!("`{name}` twice"));
        } else {
            hidden.push(name.into());
        }
    }
    hidden.sort();
    hidden
}
