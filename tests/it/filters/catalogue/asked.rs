//! Random combinations: filters, values and ranges, a sort, an order and a size.

use std::ops::Range;

use fastrand::Rng;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::rows::{Catalogue, RANGES, Row, SORTS, VALUES};

const SIZES: [usize; 3] = [7, 24, 250];
/// The reach of a range on either side of some row's number, at most.
const REACHES: [i64; 4] = [0, 10, 100, 1000];
/// Filters that a combination has.
const FILTERS: Range<usize> = 1..5;

/// One combination.
pub struct Asked {
    /// Filters of [`VALUES`], each with values of which a row has one.
    pub values: Vec<(usize, Vec<String>)>,
    /// Filters of [`RANGES`], each with ranges of which a row's number lies in one.
    pub ranges: Vec<(usize, Vec<NumberRange>)>,
    pub sort: usize,
    pub is_desc: bool,
    pub size: usize,
    /// Filters of [`VALUES`], then of [`RANGES`], whose values are counted.
    pub facets: Vec<usize>,
}

/// A range as it is asked for.
pub struct NumberRange {
    least: Option<i64>,
    most: Option<i64>,
    /// Whether `most` itself is outside.
    is_open: bool,
}

impl NumberRange {
    fn any(number: i64, rng: &mut Rng) -> Self {
        let reach = *rng.choice(&REACHES).unwrap();
        let (least, most) = (number - rng.i64(0..=reach), number + rng.i64(0..=reach));
        let (has_least, has_most) = *rng
            .choice(&[(true, true), (true, true), (true, false), (false, true)])
            .unwrap();
        Self {
            least: has_least.then_some(least),
            most: has_most.then_some(most),
            is_open: has_most && rng.bool(),
        }
    }

    pub fn holds(&self, number: i64) -> bool {
        let is_above = self.least.is_none_or(|least| least <= number);
        let is_below = match (self.most, self.is_open) {
            (Some(most), true) => number < most,
            (Some(most), false) => number <= most,
            (None, _) => true,
        };
        is_above && is_below
    }

    fn text(&self) -> String {
        let text = |bound: Option<i64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        let open = if self.is_open { "<" } else { "" };
        format!("{}..{open}{}", text(self.least), text(self.most))
    }
}

impl Asked {
    /// Any combination for a listing of some rows.
    pub fn any(catalogue: &Catalogue, members: &[usize], rng: &mut Rng) -> Self {
        let mut filters: Vec<usize> = (0..VALUES.len() + RANGES.len()).collect();
        rng.shuffle(&mut filters);
        let (mut values, mut ranges) = (Vec::new(), Vec::new());
        // Most combinations of unrelated values match nothing; one row has nearly all of these.
        let row = |rng: &mut Rng| &catalogue.rows[*rng.choice(members).unwrap()];
        let fitting = row(rng);
        for filter in &filters[..rng.usize(FILTERS)] {
            let mut rows = vec![if rng.u8(0..8) > 0 { fitting } else { row(rng) }];
            rows.extend((0..rng.usize(0..3)).map(|_| row(rng)));
            match filter.checked_sub(VALUES.len()) {
                None => values.push((*filter, values_of(*filter, &rows, rng))),
                Some(range) => {
                    let of_row = |row: &&Row| NumberRange::any(row.numbers[range].unwrap_or(0), rng);
                    ranges.push((range, rows.iter().map(of_row).collect()));
                }
            }
        }
        rng.shuffle(&mut filters);
        Self {
            values,
            ranges,
            sort: rng.usize(0..SORTS.len()),
            is_desc: rng.bool(),
            size: rng.choice(SIZES).unwrap(),
            facets: filters[..rng.usize(1..4)].to_vec(),
        }
    }

    /// The query of its first page, which is of `size` from `offset` on.
    pub fn query(&self, offset: usize) -> String {
        let order = if self.is_desc { "desc" } else { "asc" };
        let facets: Vec<&str> = self.facets.iter().map(|facet| name_of(*facet)).collect();
        let mut query = format!(
            "sort={}&order={order}&offset={offset}&limit={}&facets={}",
            SORTS[self.sort].0,
            self.size,
            facets.join(",")
        );
        let mut push = |name: &str, value: &str| query.push_str(&format!("&f.{name}={}", encoded(value)));
        for (filter, values) in &self.values {
            values.iter().for_each(|value| push(VALUES[*filter].0, value));
        }
        for (filter, ranges) in &self.ranges {
            ranges.iter().for_each(|range| push(RANGES[*filter].0, &range.text()));
        }
        query
    }
}

/// The name of a filter, by its place among those of values, then those of ranges.
pub fn name_of(filter: usize) -> &'static str {
    match filter.checked_sub(VALUES.len()) {
        None => VALUES[filter].0,
        Some(range) => RANGES[range].0,
    }
}

/// A text as a segment or a value of a URL.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A value of each row. Sometimes a value is added that no row has; without any other value it stands alone.
fn values_of(filter: usize, rows: &[&Row], rng: &mut Rng) -> Vec<String> {
    let mut values: Vec<String> = rows
        .iter()
        .filter_map(|row| rng.choice(&row.values[filter]).cloned())
        .collect();
    let is_boolean = VALUES[filter].0 == "on_sale";
    if values.is_empty() || !is_boolean && rng.u8(0..20) == 0 {
        values.push("nothing has this, 50 % & more".to_owned());
    }
    values
}
