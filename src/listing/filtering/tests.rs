//! Matches, pages and counts, held against a plain filter of rows.

mod listed;

use std::{borrow::Cow, collections::BTreeMap};

use proptest::prelude::*;

use super::*;
use crate::listing::window::Direction;

fn column(name: &str, kind: FilterKind) -> FilterColumn {
    FilterColumn {
        name: name.into(),
        decimal_comma: false,
        field: Field::new(name),
        kind,
    }
}

fn values(each: Each) -> FilterKind {
    FilterKind::Values {
        each,
        is_boolean: false,
        label: None,
        rank: None,
    }
}

fn filters() -> Vec<FilterColumn> {
    vec![
        column("brand", values(Each::One)),
        column("colour", values(Each::List)),
        column(
            "price",
            FilterKind::Numbers {
                steps: vec![10.0, 20.0],
            },
        ),
    ]
}

/// A row of brand, colours and price.
#[derive(Clone, Debug)]
struct Row {
    brand: Option<u8>,
    colours: Vec<u8>,
    price: Option<i16>,
}

impl Row {
    fn cells(&self) -> [Cell<'static>; 3] {
        let valued = |text: String| Valued {
            text: Cow::Owned(text),
            label: None,
            rank: None,
        };
        [
            self.brand
                .map_or(Cell::Nothing, |brand| Cell::One(valued(format!("b{brand}")))),
            Cell::Many(
                self.colours
                    .iter()
                    .map(|colour| Cow::Owned(format!("c{colour}")))
                    .collect(),
            ),
            self.price
                .map_or(Cell::Nothing, |price| Cell::Number(f64::from(price) / 2.0)),
        ]
    }
}

fn columns_of(rows: &[Row]) -> Columns {
    let mut builders: Vec<ColumnBuilder> = filters().iter().map(ColumnBuilder::new).collect();
    for row in rows {
        for (builder, cell) in builders.iter_mut().zip(row.cells()) {
            builder.push(&cell);
        }
    }
    Columns {
        total: rows.len(),
        columns: builders.into_iter().map(ColumnBuilder::finish).collect(),
    }
}

fn filtering(asked: &[(&str, &str)]) -> Option<Filtering> {
    Filtering::of(&filters(), asked.iter().copied(), 50).unwrap()
}

#[track_caller]
fn refused(asked: &[(&str, &str)], values_max: usize) -> Vec<(String, String)> {
    let bad = Filtering::of(&filters(), asked.iter().copied(), values_max).unwrap_err();
    bad.into_iter().map(|bad| (bad.parameter, bad.detail)).collect()
}

#[test]
fn a_selection_has_one_spelling() {
    for (asked, query) in [
        (
            &[("brand", "A&B"), ("price", "1.50..<2")][..],
            "f.brand=A%26B&f.price=1.5..%3C2",
        ),
        (
            &[("price", "..5"), ("brand", "b"), ("brand", "a"), ("brand", "b")],
            "f.brand=a&f.brand=b&f.price=..5",
        ),
        (
            &[("price", "5.."), ("price", "-1..0"), ("price", "5.0..")],
            "f.price=-1..0&f.price=5..",
        ),
    ] {
        let filtering = filtering(asked).unwrap();
        assert_eq!(&**filtering.query(), query);
        let reversed: Vec<_> = asked.iter().rev().copied().collect();
        assert_eq!(
            super::Filtering::of(&filters(), reversed, 50).unwrap().unwrap().query(),
            filtering.query()
        );
    }
    assert_eq!(filtering(&[]), None);
}

#[test]
fn what_cannot_be_asked_for_is_told_all_at_once() {
    let bad = refused(
        &[
            ("size", "1"),
            ("price", "7"),
            ("size", "2"),
            ("price", "5..3"),
            ("brand", "x"),
        ],
        50,
    );
    assert_eq!(bad.len(), 3, "{bad:?}");
    assert_eq!(bad[0].0, "f.size");
    assert!(bad[0].1.contains("f.brand, f.colour, f.price"), "{bad:?}");
    assert!(bad[1].1.contains("1000..2000"), "{bad:?}");
    assert!(bad[2].1.contains("5 is more than 3"), "{bad:?}");
    for range in [
        "", "..", "..<", "1..<", "a..b", "1...2", "1..2..3", "1e3..", "..inf", "NaN..",
    ] {
        assert_eq!(refused(&[("price", range)], 50).len(), 1, "{range}");
    }
    let many = refused(&[("brand", "a"), ("brand", "b"), ("brand", "c")], 2);
    assert!(many[0].1.contains("at most 2"), "{many:?}");
    let none = Filtering::of(&[], [("brand", "a")], 50).unwrap_err();
    assert_eq!(none[0].detail, "this listing has no filters");
}

#[test]
fn ranges_have_both_kinds_of_bounds() {
    let rows: Vec<Row> = (0..10)
        .map(|price| Row {
            brand: None,
            colours: Vec::new(),
            price: (price != 9).then_some(price * 2),
        })
        .collect();
    let columns = columns_of(&rows);
    for (range, found) in [
        ("2..5", &[2, 3, 4, 5][..]),
        ("2..<5", &[2, 3, 4]),
        ("..2", &[0, 1, 2]),
        ("..<2", &[0, 1]),
        ("7..", &[7, 8]),
        ("3..3", &[3]),
        ("3..<3", &[]),
        ("-5..0", &[0]),
    ] {
        let matches = filtering(&[("price", range)]).unwrap().matches(&columns);
        assert_eq!(matches.iter().collect::<Vec<_>>(), found, "{range}");
    }
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        prop::option::of(0u8..4),
        prop::collection::vec(0u8..4, 0..4),
        prop::option::of(-10i16..60),
    )
        .prop_map(|(brand, colours, price)| Row { brand, colours, price })
}

fn any_asked() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let brand = (0u8..5).prop_map(|brand| ("brand", format!("b{brand}")));
    let colour = (0u8..5).prop_map(|colour| ("colour", format!("c{colour}")));
    let price = (-5i16..20, 0i16..15, any::<bool>()).prop_map(|(least, more, is_open)| {
        (
            "price",
            format!("{least}..{}{}", if is_open { "<" } else { "" }, least + more),
        )
    });
    prop::collection::vec(prop_oneof![brand, colour, price], 0..5)
}

/// Whether a row has what is asked for, but for one filter.
fn has(row: &Row, asked: &[(&'static str, String)], but: &str) -> bool {
    let of = |name: &str| {
        asked
            .iter()
            .filter(|(of, _)| *of == name)
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
    };
    let brand = row.brand.map(|brand| format!("b{brand}"));
    let colours: Vec<String> = row.colours.iter().map(|colour| format!("c{colour}")).collect();
    let in_range = |range: &str| {
        let Some(price) = row.price.map(|price| f64::from(price) / 2.0) else {
            return false;
        };
        let (least, most) = range.split_once("..").unwrap();
        let above = price >= least.parse().unwrap();
        match most.strip_prefix('<') {
            Some(most) => above && price < most.parse().unwrap(),
            None => above && price <= most.parse().unwrap(),
        }
    };
    let holds = |name: &str, is_one: &dyn Fn(&str) -> bool| {
        let asked = of(name);
        name == but || asked.is_empty() || asked.iter().any(|value| is_one(value))
    };
    holds("brand", &|value| brand.as_deref() == Some(value))
        && holds("colour", &|value| colours.iter().any(|colour| colour == value))
        && holds("price", &in_range)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any selection of any rows: matches, any page in either direction, and counts are those of a plain filter.
    #[test]
    fn a_selection_is_a_filter_of_rows(
        rows in prop::collection::vec(any_row(), 0..600), asked in any_asked(), offset in 0u64..80, limit in 1u32..40,
    ) {
        let columns = columns_of(&rows);
        let pairs: Vec<(&str, &str)> = asked.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let filtering = filtering(&pairs);
        let matching = |but: &str| -> Vec<u64> {
            (0..).zip(&rows).filter(|(_, row)| has(row, &asked, but)).map(|(at, _)| at).collect()
        };
        let expected = matching("");
        if let Some(filtering) = &filtering {
            let matches = filtering.matches(&columns);
            prop_assert_eq!(matches.count(), expected.len() as u64);
            prop_assert_eq!(&matches.iter().collect::<Vec<_>>(), &expected);
            let page = |positions: &[u64]| -> Vec<u64> {
                positions.iter().copied().skip(offset as usize).take(limit as usize).collect()
            };
            prop_assert_eq!(matches.window(offset, limit, Direction::Forward), page(&expected));
            let mut reversed = expected.clone();
            reversed.reverse();
            let mut backwards = matches.window(offset, limit, Direction::Reverse);
            backwards.reverse();
            prop_assert_eq!(backwards, page(&reversed));
        }
        for (at, name) in ["brand", "colour"].into_iter().enumerate() {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for position in matching(name) {
                let row = &rows[position as usize];
                let mut own: Vec<String> = match name {
                    "brand" => row.brand.iter().map(|brand| format!("b{brand}")).collect(),
                    _ => row.colours.iter().map(|colour| format!("c{colour}")).collect(),
                };
                own.sort();
                own.dedup();
                own.into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
            }
            let Some(Facet::Values { values, more: 0 }) = Facet::count(&filters(), at, &columns, filtering.as_ref(), 99) else {
                return Err(TestCaseError::fail("no counts"));
            };
            let found: BTreeMap<String, u64> = values
                .iter()
                .filter(|value| value.count > 0)
                .map(|value| (value.value.to_string(), value.count))
                .collect();
            prop_assert_eq!(found, counts);
        }
        let prices: Vec<f64> = matching("price")
            .into_iter()
            .filter_map(|at| rows[at as usize].price.map(|price| f64::from(price) / 2.0))
            .collect();
        let Some(Facet::Numbers { count, bounds, steps }) = Facet::count(&filters(), 2, &columns, filtering.as_ref(), 99) else {
            return Err(TestCaseError::fail("no counts"));
        };
        prop_assert_eq!(count, prices.len() as u64);
        let least = prices.iter().copied().reduce(f64::min);
        prop_assert_eq!(bounds, least.zip(prices.iter().copied().reduce(f64::max)));
        let expected: Vec<(String, u64)> = [("..<10", f64::MIN, 10.0), ("10..<20", 10.0, 20.0), ("20..", 20.0, f64::MAX)]
            .into_iter()
            .map(|(range, from, to)| (range.to_owned(), prices.iter().filter(|price| **price >= from && **price < to).count() as u64))
            .collect();
        prop_assert_eq!(steps.into_iter().map(|step| (step.range, step.count)).collect::<Vec<_>>(), expected);
    }

    /// A column that takes parts over from another has what both were made of.
    #[test]
    fn a_column_takes_over_parts_of_another(rows in prop::collection::vec(any_row(), 1..300), new in prop::collection::vec(any_row(), 1..40), at in 0usize..300) {
        let at = at.min(rows.len());
        let end = rows.len().min(at + 50);
        let before = columns_of(&rows);
        let mut builders: Vec<ColumnBuilder> = filters().iter().map(ColumnBuilder::new).collect();
        for (builder, from) in builders.iter_mut().zip(&before.columns) {
            prop_assert!(builder.take_over(from, 0..at));
        }
        for row in &new {
            for (builder, cell) in builders.iter_mut().zip(row.cells()) {
                builder.push(&cell);
            }
        }
        for (builder, from) in builders.iter_mut().zip(&before.columns) {
            prop_assert!(builder.take_over(from, at..end));
            let length = builder.len();
            prop_assert!(!builder.take_over(from, 0..rows.len() + 1));
            prop_assert_eq!(builder.len(), length);
        }
        let all: Vec<Row> = rows[..at].iter().chain(&new).chain(&rows[at..end]).cloned().collect();
        let (expected, taken) = (columns_of(&all), Columns {
            total: all.len(),
            columns: builders.into_iter().map(ColumnBuilder::finish).collect(),
        });
        for asked in [&[("brand", "b1")][..], &[("colour", "c2"), ("colour", "c0")], &[("price", "3..9")]] {
            let filtering = filtering(asked).unwrap();
            prop_assert_eq!(filtering.matches(&taken), filtering.matches(&expected));
        }
        for at in 0..3 {
            prop_assert_eq!(
                Facet::count(&filters(), at, &taken, None, 99),
                Facet::count(&filters(), at, &expected, None, 99)
            );
        }
    }
}
