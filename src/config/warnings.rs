//! Warnings of `check-config`: settings that are allowed and probably not meant.

use super::Config;
use crate::listing::{Collate, Definition};

impl Config {
    /// A line each, with the path of what it is about.
    pub fn warnings(&self) -> Vec<String> {
        let listings = self.definitions.defined.iter().enumerate();
        let unnamed = listings.flat_map(|(at, definition)| {
            let warnings = unnamed_parameters(definition).into_iter();
            warnings.map(move |warning| format!("listings[{at}] ({}): {warning}", definition.pattern.as_str()))
        });
        self.ignored.iter().cloned().chain(unnamed).collect()
    }
}

/// A parameter that the query does not name selects nothing: all of its values have the same items.
fn unnamed_parameters(definition: &Definition) -> Vec<String> {
    let Some(query) = &definition.query else {
        return Vec::new();
    };
    let of_pattern = definition.pattern.parameters();
    let parameters = of_pattern.chain(definition.variants.iter().map(|variant| &variant.parameter));
    let collating: Vec<&str> = definition
        .streams()
        .flat_map(|stream| stream.by)
        .filter_map(|sort| match &sort.column.collate {
            Some(Collate::OfVariant(named)) => named.split('.').next(),
            _ => None,
        })
        .collect();
    let is_named = |parameter: &str| {
        names(query, parameter) || query.contains(&format!("{{{parameter}.")) || collating.contains(&parameter)
    };
    let unnamed = parameters.filter(|parameter| !is_named(parameter));
    let warning = |parameter| {
        format!("query does not name `:{parameter}`: all names that differ in `{parameter}` only have the same items")
    };
    unnamed.map(warning).collect()
}

/// Whether `:parameter` stands anywhere in a query, perhaps in a comment: this is a warning's guess, and no reading of SQL.
fn names(query: &str, parameter: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
    let named = format!(":{parameter}");
    query
        .match_indices(&named)
        .any(|(at, _)| !goes_on(&query[at + named.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_named_by_its_whole_name() {
        for (query, expect) in [
            ("select 1 where a = :cat", true),
            ("select 1 where a=:cat;", true),
            ("select 1 where a = :category", false),
            ("select 1 where a = cat", false),
            ("select :category, :cat", true),
        ] {
            assert_eq!(names(query, "cat"), expect, "{query}");
        }
    }
}
