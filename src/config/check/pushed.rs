//! `[pushed]`: which names may be pushed, and how long they live.

use std::{sync::Arc, time::Duration};

use globset::{Glob, GlobMatcher, GlobSet, GlobSetBuilder};
use toml::Value;

use super::{
    filters,
    origins::FoundOrigin,
    policy::{check_keep, check_pin},
};
use crate::{
    config::section::{Section, join, kind},
    listing::{Filters, Policy, definition::Pushed},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn check(mut section: Section<'_>, defaults: &Policy, defaults_are_clean: bool) -> Pushed {
    let mut names = GlobSetBuilder::new();
    for (path, glob) in section.texts("names").unwrap_or_default() {
        if glob.is_empty() {
            section.report.error(&path, "an empty glob fits no name");
            continue;
        }
        match Glob::new(&glob) {
            Ok(glob) => {
                names.add(glob);
            }
            Err(error) => section.report.error(&path, format!("no glob: {}", error.kind())),
        }
    }
    let names = names.build().unwrap_or_else(|error| {
        section.error("names", format!("the globs are too much together: {error}"));
        GlobSet::empty()
    });
    let says_max_age = section.holds("max_age");
    let policy = Policy {
        keep_for: section.duration("keep_for", Duration::from_secs(1)..=366 * DAY, 30 * DAY),
        fresh_for: section.duration("max_age", Duration::from_secs(1)..=366 * DAY, Duration::from_secs(60)),
        // A push that shrinks a listing is somebody's wish.
        max_shrink: section.number("max_shrink", 0.0..=1.0, 1.0),
        ..defaults.clone()
    };
    if section.is_clean() && section.is_given() {
        check_keep(&section, "keep_for", "max_age", &policy);
        if defaults_are_clean && says_max_age {
            check_pin(&section, "max_age", "max_age", &policy);
        }
    }
    let filters = filters(&mut section);
    section.finish();
    Pushed {
        names,
        policy: Arc::new(policy),
        filters,
    }
}

/// Pushed items are JSON.
const JSON: FoundOrigin = FoundOrigin::File { decimal_comma: false };

/// `[pushed.filters."promo:*"]`: filters by globs of names, in the file's order.
fn filters(section: &mut Section<'_>) -> Vec<(GlobMatcher, Arc<Filters>)> {
    let (report, path) = (section.report, section.path_of("filters"));
    let of_glob = |(glob, value): (String, Value)| {
        let path = join(&path, &glob);
        let matcher = match Glob::new(&glob) {
            Ok(glob) => Some(glob.compile_matcher()),
            Err(error) => {
                report.error(&path, format!("no glob: {}", error.kind()));
                None
            }
        };
        let Value::Table(declared) = value else {
            report.error(&path, format!("expected a table of filters, found {}", kind(&value)));
            return None;
        };
        let declared = declared
            .into_iter()
            .filter_map(|(name, value)| filters::check(report, join(&path, &name), &name, value, JSON));
        Some((matcher?, Arc::new(Filters::new(declared.collect()))))
    };
    let filters: Vec<_> = section.table("filters").into_iter().filter_map(of_glob).collect();
    filters
}
