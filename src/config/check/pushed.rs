//! `[pushed]`: which names may be pushed, and how long they live.

use std::{sync::Arc, time::Duration};

use globset::{Glob, GlobSet, GlobSetBuilder};

use super::policy::{check_keep, check_pin};
use crate::{
    config::section::Section,
    listing::{Policy, definition::Pushed},
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
    section.finish();
    Pushed {
        names,
        policy: Arc::new(policy),
    }
}
