//! `[warm]`: the listings and the pace of a warm-up, and whether a service begins with one.

use std::{num::NonZeroU32, time::Duration};

use crate::{
    config::{WarmConfig, section::Section},
    listing::{Definitions, NameGlobs, VariantsOf, WarmScope},
};

/// Families at once: more is a load test of the origin.
const CONCURRENCY_MAX: u64 = 1000;
const RATE_MAX: u64 = 1_000_000;

pub(super) fn check(mut section: Section<'_>, definitions: &Definitions) -> WarmConfig {
    let seconds = Duration::from_secs;
    let number = |number: u64| u32::try_from(number).ok().and_then(NonZeroU32::new);
    let on_start = section.boolean("on_start", false);
    let deadline = section.duration("deadline", Duration::ZERO..=seconds(24 * 3600), seconds(120));
    let concurrency = number(section.integer("concurrency", 1..=CONCURRENCY_MAX, 4)).unwrap_or(NonZeroU32::MIN);
    let rate = match section.holds("rate") {
        true => number(section.integer("rate", 1..=RATE_MAX, 1)),
        false => section.take("rate").and(None),
    };
    let origin_latency_max = match section.holds("max_origin_latency") {
        true => Some(section.duration(
            "max_origin_latency",
            Duration::from_millis(1)..=seconds(3600),
            seconds(1),
        )),
        false => section.take("max_origin_latency").and(None),
    };
    let include = globs(&mut section, "include");
    let exclude = globs(&mut section, "exclude");
    let variants = match section.text("variants") {
        None => VariantsOf::Default,
        Some(given) => match VariantsOf::WORDS.iter().find(|(word, _)| *word == given) {
            Some((_, variants)) => *variants,
            None => {
                let words = VariantsOf::WORDS.map(|(word, _)| word).join(", ");
                section.error("variants", format!("`{given}` is none of {words}"));
                VariantsOf::Default
            }
        },
    };
    let scope = WarmScope {
        include,
        exclude,
        variants,
        chosen: Default::default(),
    };
    if let Some(reason) = scope.misfit(definitions) {
        section.error("variants", reason);
    }
    section.finish();
    WarmConfig {
        on_start,
        deadline,
        concurrency,
        rate,
        origin_latency_max,
        scope,
    }
}

fn globs(section: &mut Section<'_>, key: &'static str) -> NameGlobs {
    let mut good = Vec::new();
    for (path, glob) in section.texts(key).unwrap_or_default() {
        if glob.is_empty() {
            section.report.error(&path, "an empty glob fits no name");
            continue;
        }
        match NameGlobs::parse([glob.as_str()]) {
            Ok(_) => good.push(glob),
            Err((_, reason)) => section.report.error(&path, format!("no glob: {reason}")),
        }
    }
    NameGlobs::parse(good.iter().map(String::as_str)).unwrap_or_else(|(_, reason)| {
        section.error(key, format!("the globs are too much together: {reason}"));
        NameGlobs::default()
    })
}
