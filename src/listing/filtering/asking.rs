//! What is asked for: values and ranges, checked against the filters that there are, in one spelling.

use std::{collections::BTreeSet, fmt::Write, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    FilterColumn, PREFIX,
    column::{Columns, Held},
    matches::{self, Matches},
    number::{parse_number, write_number},
};
use crate::listing::name::encode_query_value;

/// A selection of values. At least one filter narrows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Filtering {
    /// In the order in which filters are declared, each at most once.
    narrowed: Vec<Narrowed>,
    query: Arc<str>,
    hash: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Narrowed {
    /// The filter, by its place among the declared ones.
    filter: usize,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    /// One of these, in bytewise order.
    Values(BTreeSet<Box<str>>),
    /// In one of these.
    Ranges(Vec<NumberRange>),
}

/// A range of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct NumberRange {
    least: Option<f64>,
    most: Option<f64>,
    /// Whether `most` itself is outside.
    is_open: bool,
}

/// A filter that cannot be asked for so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFilter {
    /// The parameter: `f.brand`.
    pub parameter: String,
    /// Why.
    pub detail: String,
}

impl Filtering {
    /// What pairs of a filter's name, without [`PREFIX`], and a value ask for; `None` where there are none. At most `values_max` values.
    pub fn of<'q>(
        filters: &[FilterColumn],
        asked: impl IntoIterator<Item = (&'q str, &'q str)>,
        values_max: usize,
    ) -> Result<Option<Self>, Vec<BadFilter>> {
        let (mut wanted, mut bad): (Vec<Option<Wanted>>, _) = (vec![None; filters.len()], Vec::new());
        let mut count = 0;
        for (name, value) in asked {
            let parameter = || format!("{PREFIX}{name}");
            count += 1;
            if count > values_max {
                bad.push(BadFilter {
                    parameter: parameter(),
                    detail: format!("at most {values_max} values of filters may be asked for at once"),
                });
                break;
            }
            let found = filters.iter().position(|filter| *filter.name == *name);
            let Some(at) = found else {
                let detail = undeclared(filters);
                if !bad.iter().any(|bad: &BadFilter| bad.parameter == parameter()) {
                    bad.push(BadFilter {
                        parameter: parameter(),
                        detail,
                    });
                }
                continue;
            };
            let (Some(filter), Some(wanted)) = (filters.get(at), wanted.get_mut(at)) else {
                continue;
            };
            if let Err(detail) = add(wanted, filter, value) {
                bad.push(BadFilter {
                    parameter: parameter(),
                    detail,
                });
            }
        }
        if !bad.is_empty() {
            return Err(bad);
        }
        let narrowed: Vec<Narrowed> = wanted
            .into_iter()
            .enumerate()
            .filter_map(|(filter, wanted)| {
                Some(Narrowed {
                    filter,
                    wanted: wanted?,
                })
            })
            .collect();
        if narrowed.is_empty() {
            return Ok(None);
        }
        let query: Arc<str> = write(filters, &narrowed).into();
        let mut hashed = query.to_string();
        for filter in narrowed.iter().filter_map(|narrowed| filters.get(narrowed.filter)) {
            let _ = write!(hashed, "\n{}", filter.shape());
        }
        Ok(Some(Self {
            hash: xxh3_64(hashed.as_bytes()).max(1),
            narrowed,
            query,
        }))
    }

    /// Its one spelling, as it stands in a URL: `f.brand=A&f.brand=B&f.price_cents=1000..2000`.
    pub fn query(&self) -> &Arc<str> {
        &self.query
    }

    /// A hash of it, and of what its filters read: a filter that is declared otherwise matches other items. Never 0.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether a value of a filter is asked for.
    pub(super) fn is_wanted(&self, filter: usize, value: &str) -> bool {
        self.narrowed.iter().any(|narrowed| {
            let values = match &narrowed.wanted {
                Wanted::Values(values) => values,
                Wanted::Ranges(_) => return false,
            };
            narrowed.filter == filter && values.contains(value)
        })
    }

    /// The positions whose items have what is asked for.
    pub fn matches(&self, columns: &Columns) -> Matches {
        Matches::new(bits(&self.narrowed, columns, None))
    }

    /// The same as a bit a position, whatever is asked for of one filter.
    pub(super) fn bits_but(&self, columns: &Columns, filter: usize) -> Box<[u64]> {
        bits(&self.narrowed, columns, Some(filter))
    }
}

fn bits(narrowed: &[Narrowed], columns: &Columns, but: Option<usize>) -> Box<[u64]> {
    let mut words = matches::all(columns.total);
    for Narrowed { filter, wanted } in narrowed {
        if but == Some(*filter) {
            continue;
        }
        match (columns.columns.get(*filter).map(|column| &column.0), wanted) {
            (Some(Held::One(values, numbers)), Wanted::Values(wanted)) => {
                // A column may have tens of thousands of values, and each position is looked at: a table of them, no search.
                let mut is_wanted = vec![false; values.all.len()];
                for number in wanted.iter().filter_map(|value| values.number_of(value)) {
                    if let Some(is_wanted) = is_wanted.get_mut(number as usize) {
                        *is_wanted = true;
                    }
                }
                let is_wanted = |number: &u32| is_wanted.get(*number as usize).copied().unwrap_or(false);
                matches::keep(&mut words, numbers, is_wanted);
            }
            (Some(Held::Many(values, numbers, ends)), Wanted::Values(wanted)) => {
                let wanted: Vec<u32> = wanted.iter().filter_map(|value| values.number_of(value)).collect();
                let mut start = 0;
                let has_one: Vec<bool> = ends
                    .iter()
                    .map(|end| {
                        let own = numbers.get(start..*end as usize).unwrap_or_default();
                        start = *end as usize;
                        own.iter().any(|number| wanted.contains(number))
                    })
                    .collect();
                matches::keep(&mut words, &has_one, |has| *has);
            }
            (Some(Held::Numbers(numbers)), Wanted::Ranges(ranges)) => {
                matches::keep(&mut words, numbers, |number| {
                    ranges.iter().any(|range| range.holds(*number))
                });
            }
            // A column of another definition: nothing is known of it.
            _ => words.fill(0),
        }
    }
    words
}

fn add(wanted: &mut Option<Wanted>, filter: &FilterColumn, value: &str) -> Result<(), String> {
    if filter.is_range() {
        let range = NumberRange::parse(value)?;
        match wanted {
            Some(Wanted::Ranges(ranges)) if ranges.contains(&range) => {}
            Some(Wanted::Ranges(ranges)) => ranges.push(range),
            _ => *wanted = Some(Wanted::Ranges(vec![range])),
        }
    } else if filter.is_boolean() && !["true", "false"].contains(&value) {
        return Err("the values are `true` and `false`".to_owned());
    } else {
        match wanted {
            Some(Wanted::Values(values)) => {
                values.insert(value.into());
            }
            _ => *wanted = Some(Wanted::Values(BTreeSet::from([value.into()]))),
        }
    }
    Ok(())
}

/// What is said of a filter that there is not.
fn undeclared(filters: &[FilterColumn]) -> String {
    if filters.is_empty() {
        return "this listing has no filters".to_owned();
    }
    let names: Vec<String> = filters.iter().map(FilterColumn::parameter).collect();
    format!("this listing has no such filter; it has {}", names.join(", "))
}

fn write(filters: &[FilterColumn], narrowed: &[Narrowed]) -> String {
    let mut query = String::new();
    for Narrowed { filter, wanted } in narrowed {
        let Some(filter) = filters.get(*filter) else { continue };
        let mut push = |value: &str| {
            let separator = if query.is_empty() { "" } else { "&" };
            // Writing to a String does not fail.
            let _ = write!(query, "{separator}{PREFIX}{}={value}", filter.name);
        };
        match wanted {
            Wanted::Values(values) => values.iter().for_each(|value| push(&encode_query_value(value))),
            Wanted::Ranges(ranges) => {
                let mut texts: Vec<String> = ranges.iter().map(|range| range.to_text()).collect();
                texts.sort_unstable();
                texts.iter().for_each(|text| push(&encode_query_value(text)));
            }
        }
    }
    query
}

impl NumberRange {
    /// Reads `1000..2000`, `1000..<2000`, `..500`, `..<500` or `100..`.
    fn parse(text: &str) -> Result<Self, String> {
        const FORMS: &str = "a range is written as `1000..2000`, `1000..<2000`, `..500` or `100..`";
        let (least, most) = text.split_once("..").ok_or(FORMS)?;
        let (most, is_open) = match most.strip_prefix('<') {
            Some(most) => (most, true),
            None => (most, false),
        };
        let number = |text: &str| match text {
            "" => Ok(None),
            text => parse_number(text)
                .map(Some)
                .ok_or_else(|| format!("`{text}` is no number; {FORMS}")),
        };
        let (least, most) = (number(least)?, number(most)?);
        match (least, most) {
            (None, None) => Err(FORMS.to_owned()),
            (_, None) if is_open => Err(FORMS.to_owned()),
            (Some(least), Some(most)) if least > most => Err(format!(
                "{} is more than {}: no number lies between",
                write_number(least),
                write_number(most)
            )),
            _ => Ok(Self { least, most, is_open }),
        }
    }

    fn to_text(self) -> String {
        let bound = |bound: Option<f64>| bound.map(write_number).unwrap_or_default();
        let open = if self.is_open { "<" } else { "" };
        format!("{}..{open}{}", bound(self.least), bound(self.most))
    }

    /// Whether a number lies in it. NaN lies nowhere.
    fn holds(self, number: f64) -> bool {
        let above = self.least.is_none_or(|least| number >= least);
        let below = self
            .most
            .is_none_or(|most| if self.is_open { number < most } else { number <= most });
        above && below && !number.is_nan()
    }
}

/// The text of a range between two numbers, the upper one outside.
pub(super) fn range_text(least: Option<f64>, most: Option<f64>) -> String {
    let is_open = most.is_some();
    NumberRange { least, most, is_open }.to_text()
}
