//! Counts: how many matches have each value of a filter, whatever is asked for of that filter itself.

use std::sync::Arc;

use super::{
    FilterColumn, FilterKind,
    asking::{Filtering, range_text},
    column::{Columns, Held, Value},
    matches,
};

/// What the matches have of one filter.
#[derive(Clone, Debug, PartialEq)]
pub enum Facet {
    /// Of values.
    Values {
        /// At most as many as are asked for, and beyond them those that are selected. By rank where the filter has ranks, else the most frequent first; then by their texts. Values that no match has are
        /// left out, unless they are asked for.
        values: Vec<FacetValue>,
        /// Values beyond the most that are listed.
        more: u64,
    },
    /// Of numbers.
    Numbers {
        /// How many matches have one.
        count: u64,
        /// The least and the greatest; `None` where no match has one.
        bounds: Option<(f64, f64)>,
        /// For each part between two steps, those at the ends among them, how many lie there.
        steps: Vec<FacetStep>,
    },
}

/// A value, and how many have it.
#[derive(Clone, Debug, PartialEq)]
pub struct FacetValue {
    /// As it is asked for.
    pub value: Arc<str>,
    /// What is shown for it.
    pub label: Option<Arc<str>>,
    /// How many matches have it.
    pub count: u64,
    /// Whether it is asked for.
    pub is_selected: bool,
}

/// A range, and how many lie in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetStep {
    /// As it is asked for: `1000..<2000`.
    pub range: String,
    /// How many matches lie in it.
    pub count: u64,
}

impl Facet {
    /// What the items of a generation have of a filter, among those that are selected by all other filters. At most so many values.
    /// `None` where there is no such filter.
    pub fn count(
        filters: &[FilterColumn],
        filter: usize,
        columns: &Columns,
        filtering: Option<&Filtering>,
        values_max: usize,
    ) -> Option<Self> {
        let (declared, column) = (filters.get(filter)?, columns.columns.get(filter)?);
        let words = match filtering {
            Some(filtering) => filtering.bits_but(columns, filter),
            None => matches::all(columns.total),
        };
        let (values, counts) = match &column.0 {
            Held::Numbers(numbers) => {
                let of_matches = matches::kept(&words, numbers).filter(|number| !number.is_nan());
                let steps = match &declared.kind {
                    FilterKind::Numbers { steps } => &**steps,
                    FilterKind::Values { .. } => &[],
                };
                return Some(count_numbers(of_matches.copied(), steps));
            }
            Held::One(values, numbers) => (&values.all, tally(values.all.len(), matches::kept(&words, numbers))),
            Held::Many(values, numbers, ends) => {
                let end = |at: Option<usize>| at.and_then(|at| ends.get(at)).map_or(0, |end| *end as usize);
                let of_position = |at: usize| numbers.get(end(at.checked_sub(1))..end(Some(at)));
                let of_matches = matches::positions(&words).filter_map(of_position).flatten();
                (&values.all, tally(values.all.len(), of_matches))
            }
        };
        let is_selected = |value: &str| filtering.is_some_and(|asked| asked.is_wanted(filter, value));
        Some(listed(values, &counts, is_selected, values_max))
    }
}

/// How often each value's number comes.
fn tally<'n>(values: usize, numbers: impl Iterator<Item = &'n u32>) -> Vec<u64> {
    let mut counts = vec![0; values];
    for number in numbers {
        // No value has a number that is beyond them all.
        if let Some(count) = counts.get_mut(*number as usize) {
            *count += 1;
        }
    }
    counts
}

fn count_numbers(numbers: impl Iterator<Item = f64>, steps: &[f64]) -> Facet {
    let (mut count, mut bounds): (u64, Option<(f64, f64)>) = (0, None);
    let mut counts = vec![0_u64; steps.len() + 1];
    for number in numbers {
        count += 1;
        bounds = Some(bounds.map_or((number, number), |(least, most)| (least.min(number), most.max(number))));
        let at = steps.partition_point(|step| *step <= number);
        if let Some(count) = counts.get_mut(at) {
            *count += 1;
        }
    }
    let step = |at: usize| steps.get(at).copied();
    let steps = match steps.is_empty() {
        true => Vec::new(),
        false => (0..)
            .zip(counts)
            .map(|(at, count): (usize, u64)| FacetStep {
                range: range_text(at.checked_sub(1).and_then(step), step(at)),
                count,
            })
            .collect(),
    };
    Facet::Numbers { count, bounds, steps }
}

fn listed(values: &[Value], counts: &[u64], is_selected: impl Fn(&str) -> bool, values_max: usize) -> Facet {
    let mut listed: Vec<(&Value, u64, bool)> = values
        .iter()
        .zip(counts)
        .map(|(value, count)| (value, *count, is_selected(&value.text)))
        .filter(|(_, count, is_selected)| *count > 0 || *is_selected)
        .collect();
    let in_order = |(left, left_count, _): &(&Value, u64, bool), (right, right_count, _): &(&Value, u64, bool)| {
        // Without a rank behind those that have one.
        let rank = |value: &Value| value.rank.unwrap_or(f64::INFINITY);
        let by_rank = rank(left).total_cmp(&rank(right));
        by_rank
            .then(right_count.cmp(left_count))
            .then_with(|| left.text.cmp(&right.text))
    };
    let found = listed.len();
    // Only what is listed is sorted: there may be many more values.
    if found > values_max {
        listed.select_nth_unstable_by(values_max, in_order);
        let mut at = 0;
        // Whoever asked for a value must see it, to take it back.
        listed.retain(|(_, _, is_selected)| {
            at += 1;
            at <= values_max || *is_selected
        });
    }
    listed.sort_unstable_by(in_order);
    let more = found - listed.len();
    Facet::Values {
        values: listed
            .into_iter()
            .map(|(value, count, is_selected)| FacetValue {
                value: value.text.clone(),
                label: value.label.clone(),
                count,
                is_selected,
            })
            .collect(),
        more: more as u64,
    }
}
