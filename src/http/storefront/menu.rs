//! The listings that the shop shows in its menu.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    engine::{Engine, EngineError, ListingState},
    listing::ListingName,
};

/// A listing in the storefront's menu.
#[derive(Debug, Serialize)]
pub(super) struct Category<'a> {
    pub listing: &'a str,
    pub label: &'a str,
    pub total: u64,
}

/// Sorts of listings that are looked through for the menu; the rest is not in it.
const LOOKED_THROUGH_MAX: usize = 20_000;
const LOOKED_THROUGH_AT_ONCE: usize = 1000;

/// The listings that there are, with their totals.
pub(super) async fn totals(engine: &Engine) -> Result<BTreeMap<ListingName, u64>, EngineError> {
    let mut totals = BTreeMap::new();
    let mut after = None;
    for _ in 0..LOOKED_THROUGH_MAX / LOOKED_THROUGH_AT_ONCE {
        let entries = engine
            .inspector
            .listings("", after.as_ref(), LOOKED_THROUGH_AT_ONCE)
            .await?;
        let goes_on = entries.len() == LOOKED_THROUGH_AT_ONCE;
        after = entries.last().map(|last| last.listing.clone());
        for entry in entries {
            let is_there = !matches!(entry.state, ListingState::Absent | ListingState::Deleted);
            // A filtered listing is part of one that is in the menu.
            if is_there && entry.listing.family.choices.is_empty() {
                totals.insert(entry.listing.family.name, entry.total);
            }
        }
        if !goes_on {
            break;
        }
    }
    Ok(totals)
}

/// By label.
pub(super) fn menu(totals: &BTreeMap<ListingName, u64>) -> Vec<Category<'_>> {
    let mut categories: Vec<Category<'_>> = totals
        .iter()
        .map(|(name, total)| Category {
            listing: name.as_str(),
            label: label(name.as_str()),
            total: *total,
        })
        .collect();
    categories.sort_by_key(|category| category.label);
    categories
}

/// `category:BREAD` is labelled `BREAD`.
pub(super) fn label(name: &str) -> &str {
    match name.split_once(':') {
        Some((_, label)) if !label.is_empty() => label,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_what_follows_the_kind() {
        for (name, expect) in [
            ("category:BREAD", "BREAD"),
            ("a:b:c", "b:c"),
            ("promo", "promo"),
            ("x:", "x:"),
        ] {
            assert_eq!(label(name), expect);
        }
    }
}
