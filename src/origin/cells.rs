//! What an item has in the columns of filters, read from its JSON: the same whichever origin it came from.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    SortValue,
    members::{Member, WantedFields, members_of},
    number,
};
use crate::listing::{
    Field, Taken,
    filtering::{Cell, Each, FilterColumn, FilterKind, Valued},
};

/// Bytes of a value or of what is shown for it. A longer one is no value that anybody chooses among.
const VALUE_BYTES_MAX: usize = 512;
/// Values of one filter that an item may have; the others are left out.
const VALUES_AN_ITEM_MAX: usize = 1000;

/// Reads the cells of items.
#[derive(Debug)]
pub struct CellReader {
    wanted: WantedFields,
    /// One a filter.
    places: Vec<Places>,
}

/// Where the parts of a cell stand among the wanted fields.
#[derive(Debug)]
struct Places {
    value: usize,
    taken: Taken,
    decimal_comma: bool,
    label: Option<usize>,
    rank: Option<usize>,
    kind: FilterKind,
}

impl CellReader {
    /// For these filters.
    pub fn new(filters: &[FilterColumn]) -> Self {
        let mut fields: Vec<Field> = Vec::new();
        let mut place_of = |field: &Field| {
            fields
                .iter()
                .position(|one| one.steps() == field.steps())
                .unwrap_or_else(|| {
                    fields.push(field.clone());
                    fields.len() - 1
                })
        };
        let places = filters
            .iter()
            .map(|filter| {
                let (label, rank) = match &filter.kind {
                    FilterKind::Values { label, rank, .. } => (label.as_ref(), rank.as_ref()),
                    FilterKind::Numbers { .. } => (None, None),
                };
                Places {
                    value: place_of(&filter.field),
                    taken: filter.field.taken,
                    decimal_comma: filter.decimal_comma,
                    label: label.map(&mut place_of),
                    rank: rank.map(&mut place_of),
                    kind: filter.kind.clone(),
                }
            })
            .collect();
        Self {
            wanted: WantedFields::new(fields),
            places,
        }
    }

    /// The cells of an item, one a filter. One that is no JSON has none.
    pub fn read(&self, json: &[u8]) -> Vec<Cell<'static>> {
        let members = members_of(json, &self.wanted).unwrap_or_default();
        self.places.iter().map(|places| places.cell(&members)).collect()
    }
}

impl Places {
    fn cell(&self, members: &[Member]) -> Cell<'static> {
        let Some(member) = members.get(self.value) else {
            return Cell::Nothing;
        };
        let with_comma = self.decimal_comma.then(|| member.clone().with_comma(self.taken));
        let member = with_comma.as_ref().unwrap_or(member);
        let (each, is_boolean) = match &self.kind {
            FilterKind::Numbers { .. } => return number_of(member, self.taken).map_or(Cell::Nothing, Cell::Number),
            FilterKind::Values { each, is_boolean, .. } => (each, *is_boolean),
        };
        let text_of = |member: &Member| text_of(member, self.taken, is_boolean);
        match (each, member) {
            (Each::One, member) => text_of(member).map_or(Cell::Nothing, |text| Cell::One(self.valued(text, members))),
            (Each::List, Member::Nested(json)) => {
                let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
                let texts = elements.into_iter().take(VALUES_AN_ITEM_MAX);
                let texts = texts.filter_map(|element| text_of(&Member::of_json(element.get()).ok()?));
                Cell::Many(texts.map(Cow::Owned).collect())
            }
            (Each::Separated(separator), Member::Text(text)) => {
                let parts = text.split(&**separator).map(str::trim).filter(|part| !part.is_empty());
                let texts = parts
                    .take(VALUES_AN_ITEM_MAX)
                    .filter_map(|part| text_of(&Member::Text(part.into())));
                Cell::Many(texts.map(Cow::Owned).collect())
            }
            (Each::List | Each::Separated(_), member) => {
                text_of(member).map_or(Cell::Nothing, |text| Cell::Many(vec![Cow::Owned(text)]))
            }
        }
    }

    fn valued(&self, text: String, members: &[Member]) -> Valued<'static> {
        let member = |place: Option<usize>| place.and_then(|place| members.get(place));
        let label = member(self.label).and_then(|member| text_of(member, Taken::AsIs, false));
        Valued {
            text: Cow::Owned(text),
            label: label.map(Cow::Owned),
            rank: member(self.rank).and_then(|member| number_of(member, Taken::Number)),
        }
    }
}

/// The text by which a value is asked for. A number has one, however it is written: `7.5` for `7.50`, `2` for `2.0`.
fn text_of(member: &Member, taken: Taken, is_boolean: bool) -> Option<String> {
    let text = match (member, taken) {
        (Member::Number(text), Taken::AsIs) => number::canonical(text)?,
        (member, taken) => member.text(taken).ok()??.into_owned(),
    };
    let text = match is_boolean {
        false => text,
        true => match &*text {
            "true" | "t" | "1" | "yes" | "y" => "true".to_owned(),
            "false" | "f" | "0" | "no" | "n" => "false".to_owned(),
            _ => return None,
        },
    };
    (1..=VALUE_BYTES_MAX).contains(&text.len()).then_some(text)
}

fn number_of(member: &Member, taken: Taken) -> Option<f64> {
    let number = match member.sort_value(taken).ok()? {
        // Prices and counts are far below 2^53, from where on a double rounds.
        SortValue::Integer(number) => number as f64,
        SortValue::Real(number) => number,
        SortValue::Decimal(digits) => digits.parse().ok()?,
        SortValue::Null | SortValue::Text(_) | SortValue::Rank(_) => return None,
    };
    Some(number).filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(place: &str, kind: FilterKind) -> FilterColumn {
        FilterColumn {
            name: "x".into(),
            decimal_comma: false,
            field: Field::new(place),
            kind,
        }
    }

    fn values(each: Each, is_boolean: bool) -> FilterKind {
        FilterKind::Values {
            each,
            is_boolean,
            label: None,
            rank: None,
        }
    }

    #[track_caller]
    fn check(filter: FilterColumn, json: &str, expect: &[&str]) {
        let cells = CellReader::new(&[filter]).read(json.as_bytes());
        let found: Vec<&str> = match &cells[..] {
            [Cell::One(value)] => vec![&value.text],
            [Cell::Many(texts)] => texts.iter().map(|text| &**text).collect(),
            [Cell::Nothing] => Vec::new(),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expect, "{json}");
    }

    #[test]
    fn a_value_has_one_text() {
        for (json, expect) in [
            (r#"{"b":"A \u00e9"}"#, &["A é"][..]),
            (r#"{"b":12}"#, &["12"]),
            (r#"{"b":12.50}"#, &["12.5"]),
            (r#"{"b":2.0}"#, &["2"]),
            (r#"{"b":"0012"}"#, &["0012"]),
            (r#"{"b":true}"#, &["true"]),
            (r#"{"b":null}"#, &[]),
            (r#"{"b":""}"#, &[]),
            (r#"{"b":["A"]}"#, &[]),
            ("{}", &[]),
            ("[]", &[]),
        ] {
            check(filter("b", values(Each::One, false)), json, expect);
        }
        let long = format!(r#"{{"b":"{}"}}"#, "x".repeat(VALUE_BYTES_MAX + 1));
        check(filter("b", values(Each::One, false)), &long, &[]);
        check(filter("/a/b", values(Each::One, false)), r#"{"a":{"b":"x"}}"#, &["x"]);
    }

    #[test]
    fn several_values_come_as_an_array_or_in_one_text() {
        let list = || filter("c", values(Each::List, false));
        check(
            list(),
            r#"{"c":["red", 7, true, null, {"a":1}, "blue"]}"#,
            &["red", "7", "true", "blue"],
        );
        check(list(), r#"{"c":"red"}"#, &["red"]);
        check(list(), r#"{"c":[]}"#, &[]);
        let parts = || filter("c", values(Each::Separated("|".into()), false));
        check(parts(), r#"{"c":"red| blue||green "}"#, &["red", "blue", "green"]);
        check(parts(), r#"{"c":"red"}"#, &["red"]);
    }

    #[test]
    fn a_boolean_is_true_or_false_however_it_is_spelt() {
        for (json, expect) in [
            ("1", &["true"][..]),
            ("0", &["false"]),
            ("true", &["true"]),
            ("\"f\"", &["false"]),
            ("\"yes\"", &["true"]),
            ("2", &[]),
        ] {
            check(
                filter("s", values(Each::One, true)),
                &format!("{{\"s\":{json}}}"),
                expect,
            );
        }
    }

    #[test]
    fn labels_ranks_and_numbers_stand_beside() {
        let ranked = filter(
            "b",
            FilterKind::Values {
                each: Each::One,
                is_boolean: false,
                label: Some(Field::new("n")),
                rank: Some(Field::new("r")),
            },
        );
        let price = filter("/p/amount", FilterKind::Numbers { steps: Vec::new() });
        let text_price = FilterColumn {
            field: Field::new("t").taken_for(Taken::Number),
            ..price.clone()
        };
        let reader = CellReader::new(&[ranked, price, text_price]);
        let cells = reader.read(br#"{"b":3,"n":"Three","r":"2.5","p":{"amount":12.50},"t":"7.25"}"#);
        assert_eq!(
            cells,
            [
                Cell::One(Valued {
                    text: "3".into(),
                    label: Some("Three".into()),
                    rank: Some(2.5),
                }),
                Cell::Number(12.5),
                Cell::Number(7.25),
            ]
        );
        let with_comma = FilterColumn {
            decimal_comma: true,
            field: Field::new("t").taken_for(Taken::Number),
            ..filter("t", FilterKind::Numbers { steps: Vec::new() })
        };
        assert_eq!(
            CellReader::new(&[with_comma]).read(br#"{"t":"7,25"}"#),
            [Cell::Number(7.25)]
        );
        assert_eq!(
            reader.read(br#"{"p":{"amount":"x"},"t":"n/a"}"#),
            [Cell::Nothing, Cell::Nothing, Cell::Nothing]
        );
    }
}
