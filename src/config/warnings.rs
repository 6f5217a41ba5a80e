//! What is allowed in a configuration and probably not meant: `check-config` tells of it.

use std::time::Duration;

use super::{Config, values::write_duration};
use crate::listing::Policy;

impl Config {
    /// A line each, with the path of what it is about.
    pub fn warnings(&self) -> Vec<String> {
        let listings = self.definitions.defined.iter().enumerate();
        let warnings = listings.filter_map(|(at, definition)| {
            let warning = links_end_early(&definition.policy)?;
            Some(format!("listings[{at}] ({}): {warning}", definition.pattern.as_str()))
        });
        warnings.collect()
    }
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
