//! The expected answers: a plain filter, sort and group-by of the rows, without any code of the service.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Value, json};

use super::{
    asked::{Asked, name_of},
    rows::{Catalogue, RANGES, Row, VALUES},
};

/// The ids of all matches, in the order that is asked for.
pub fn matches(catalogue: &Catalogue, members: &[usize], asked: &Asked) -> Vec<i64> {
    let matching = selected(catalogue, members, asked, None);
    let sorted = catalogue.sorted(matching, asked.sort);
    let mut ids: Vec<i64> = sorted.into_iter().map(|row| catalogue.rows[row].id).collect();
    if asked.is_desc {
        ids.reverse();
    }
    ids
}

/// The rows that have all that is asked for, but for one filter.
fn selected(catalogue: &Catalogue, members: &[usize], asked: &Asked, but: Option<usize>) -> Vec<usize> {
    let is_selected = |row: &Row| {
        let has_values = asked.values.iter().all(|(filter, wanted)| {
            but == Some(*filter) || row.values[*filter].iter().any(|value| wanted.contains(value))
        });
        let lies_in_ranges = asked.ranges.iter().all(|(filter, ranges)| {
            but == Some(VALUES.len() + filter)
                || row.numbers[*filter].is_some_and(|number| ranges.iter().any(|range| range.holds(number)))
        });
        has_values && lies_in_ranges
    };
    let members = members.iter().copied();
    members.filter(|row| is_selected(&catalogue.rows[*row])).collect()
}

/// Holds the counts of a page against those of the rows.
pub fn check_facets(catalogue: &Catalogue, members: &[usize], asked: &Asked, page: &Value, said: &str) {
    let facets = page["facets"].as_object().unwrap();
    let names: BTreeSet<&str> = facets.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        asked.facets.iter().map(|facet| name_of(*facet)).collect(),
        "{said}"
    );
    for facet in &asked.facets {
        let rows = selected(catalogue, members, asked, Some(*facet));
        let rows = rows.into_iter().map(|row| &catalogue.rows[row]);
        let (found, said) = (&facets[name_of(*facet)], format!("{} of {said}", name_of(*facet)));
        match facet.checked_sub(VALUES.len()) {
            None => check_values(asked, *facet, rows, found, &said),
            Some(range) => check_range(range, rows, found, &said),
        }
    }
}

fn check_values<'r>(asked: &Asked, filter: usize, rows: impl Iterator<Item = &'r Row>, found: &Value, said: &str) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        for value in &row.values[filter] {
            *counts.entry(value).or_default() += 1;
        }
    }
    let wanted = asked.values.iter().find(|(asked, _)| *asked == filter);
    let is_wanted = |value: &str| wanted.is_some_and(|(_, wanted)| wanted.iter().any(|wanted| wanted == value));
    let listed: Vec<(&str, u64)> = found["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let (value, count) = (entry["value"].as_str().unwrap(), entry["count"].as_u64().unwrap());
            assert_eq!(entry["selected"], is_wanted(value), "{value} in {said}");
            assert!(count > 0 || is_wanted(value), "{value} in {said}");
            (value, count)
        })
        .collect();
    assert!(
        listed.is_sorted_by_key(|(value, count)| (Reverse(*count), *value)),
        "{said}: {listed:?}"
    );
    let found_counts: BTreeMap<&str, u64> = listed.iter().copied().filter(|(_, count)| *count > 0).collect();
    assert_eq!(found_counts, counts, "{said}");
    assert_eq!(found["more"], 0, "{said}");
}

fn check_range<'r>(filter: usize, rows: impl Iterator<Item = &'r Row>, found: &Value, said: &str) {
    let numbers: Vec<i64> = rows.filter_map(|row| row.numbers[filter]).collect();
    let steps = RANGES[filter].2;
    let mut ends: Vec<Option<i64>> = vec![None];
    ends.extend(steps.iter().copied().map(Some));
    ends.push(None);
    let parts = ends.windows(2).map(|part| {
        let (least, most) = (part[0], part[1]);
        let text = |bound: Option<i64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        let open = if most.is_some() { "<" } else { "" };
        let lies_here =
            |number: &&i64| least.is_none_or(|least| **number >= least) && most.is_none_or(|most| **number < most);
        json!({
            "range": format!("{}..{open}{}", text(least), text(most)),
            "count": numbers.iter().filter(lies_here).count(),
        })
    });
    let expected = json!({
        "count": numbers.len(),
        "min": numbers.iter().min(),
        "max": numbers.iter().max(),
        "steps": parts.collect::<Vec<_>>(),
    });
    assert_eq!(*found, expected, "{said}");
}
