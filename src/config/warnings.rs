//! Warnings of `check-config`: settings that are allowed and probably not meant.

use std::time::Duration;

use super::{Config, values::write_duration};
use crate::listing::{Definition, Policy};

impl Config {
    /// A line each, with the path of what it is about.
    pub fn warnings(&self) -> Vec<String> {
        let listings = self.definitions.defined.iter().enumerate();
        let warnings = listings.flat_map(|(at, definition)| {
            let early = links_end_early(&definition.policy);
            let warnings = early.into_iter().chain(unnamed_parameters(definition));
            warnings.map(move |warning| format!("listings[{at}] ({}): {warning}", definition.pattern.as_str()))
        });
        warnings.collect()
    }
}

/// A parameter that the query does not name selects nothing: all of its values have the same items.
fn unnamed_parameters(definition: &Definition) -> Vec<String> {
    let Some(query) = &definition.query else {
        return Vec::new();
    };
    let of_pattern = definition.pattern.parameters();
    let parameters = of_pattern.chain(definition.variants.iter().map(|variant| &variant.parameter));
    let unnamed = parameters.filter(|parameter| !names(query, parameter));
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

/// Where a listing is replaced as often as it may be, its links end when `pinned_generations_max` generations have replaced theirs.
fn links_end_early(policy: &Policy) -> Option<String> {
    let (key, every) = match policy.coalesce_for {
        Duration::ZERO => ("fresh_for", policy.fresh_for),
        coalesce_for => ("coalesce_for", coalesce_for),
    };
    let kept = policy.pinned_generations_max;
    let kept_for = every.saturating_mul(kept);
    (kept_for < policy.pin_for).then(|| {
        format!(
            "{key} ({}) x pinned_generations_max ({kept}) = {} is less than pin_for ({}): where every refresh finds a change, a page's \
             links are gone (410) after that time. Raise pinned_generations_max or {key}, or lower pin_for",
            write_duration(every),
            write_duration(kept_for),
            write_duration(policy.pin_for),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(policy: Policy, expect: Option<&str>) {
        let warning = links_end_early(&policy);
        match expect {
            None => assert_eq!(warning, None),
            Some(part) => assert!(
                warning.as_ref().is_some_and(|warning| warning.contains(part)),
                "{warning:?}"
            ),
        }
    }

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

    #[test]
    fn links_that_end_before_pin_for_are_told() {
        let seconds = Duration::from_secs;
        check(Policy::default(), None);
        let often = |coalesce_for, pinned_generations_max| Policy {
            coalesce_for,
            pinned_generations_max,
            ..Policy::default()
        };
        check(
            often(seconds(1), 16),
            Some("coalesce_for (1s) x pinned_generations_max (16) = 16s"),
        );
        check(often(seconds(1), 599), Some("= 9m 59s"));
        check(often(seconds(1), 600), None);
        let seldom = Policy {
            pin_for: seconds(961),
            ..Policy::default()
        };
        check(seldom, Some("fresh_for (1m) x pinned_generations_max (16) = 16m"));
    }
}
