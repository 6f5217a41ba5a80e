//! Which values are listed with their counts, and what makes two filters one.

use super::*;

#[test]
fn values_are_listed_by_rank_or_by_count_and_selected_ones_always() {
    let ranked = FilterColumn {
        kind: FilterKind::Values {
            each: Each::One,
            is_boolean: false,
            label: Some(Field::new("name")),
            rank: Some(Field::new("rank")),
        },
        ..column("brand", values(Each::One))
    };
    let mut builder = ColumnBuilder::new(&ranked);
    for (text, label, rank) in [("a", "A", 2.0), ("b", "B", 1.0), ("b", "Bee", 1.0)] {
        builder.push(&Cell::One(Valued {
            text: text.into(),
            label: Some(label.into()),
            rank: Some(rank),
        }));
    }
    builder.push(&Cell::One(Valued {
        text: "c".into(),
        label: None,
        rank: None,
    }));
    let columns = Columns {
        total: 4,
        columns: vec![builder.finish()],
    };
    let of = |asked: &[(&str, &str)], max| {
        let filtering = Filtering::of(std::slice::from_ref(&ranked), asked.iter().copied(), 50).unwrap();
        match Facet::count(std::slice::from_ref(&ranked), 0, &columns, filtering.as_ref(), max) {
            Some(Facet::Values { values, more }) => {
                let values = values.into_iter();
                let shown = values.map(|value| {
                    (
                        value.value.to_string(),
                        value.label.map(|label| label.to_string()),
                        value.count,
                        value.is_selected,
                    )
                });
                (shown.collect::<Vec<_>>(), more)
            }
            other => panic!("{other:?}"),
        }
    };
    let value = |text: &str, label: Option<&str>, count, is_selected| {
        (text.to_owned(), label.map(str::to_owned), count, is_selected)
    };
    // The label that came last.
    let (b, a, c) = (
        value("b", Some("Bee"), 2, false),
        value("a", Some("A"), 1, false),
        value("c", None, 1, false),
    );
    assert_eq!(of(&[], 9), (vec![b.clone(), a.clone(), c.clone()], 0));
    assert_eq!(of(&[], 2), (vec![b.clone(), a.clone()], 1));
    // Counted without its own selection.
    assert_eq!(
        of(&[("brand", "a")], 9),
        (vec![b, value("a", Some("A"), 1, true), c], 0)
    );
    assert_eq!(Facet::count(std::slice::from_ref(&ranked), 1, &columns, None, 9), None);
}

#[test]
fn what_is_asked_for_is_listed_however_few_may_be() {
    let brand = column("brand", values(Each::One));
    let mut builder = ColumnBuilder::new(&brand);
    for text in ["a", "a", "a", "b", "b", "c"] {
        builder.push(&Cell::One(Valued {
            text: text.into(),
            label: None,
            rank: None,
        }));
    }
    let columns = Columns {
        total: 6,
        columns: vec![builder.finish()],
    };
    let filters = std::slice::from_ref(&brand);
    let filtering = Filtering::of(filters, [("brand", "c")], 50).unwrap();
    let Some(Facet::Values { values, more }) = Facet::count(filters, 0, &columns, filtering.as_ref(), 1) else {
        panic!("no values");
    };
    let listed: Vec<(&str, u64)> = values.iter().map(|value| (&*value.value, value.count)).collect();
    assert_eq!((listed, more), (vec![("a", 3), ("c", 1)], 1));
}

#[test]
fn a_filter_that_reads_something_else_is_another_one() {
    let hash_of = |filter: FilterColumn| {
        let filtering = Filtering::of(&[filter], [("brand", "true")], 50).unwrap();
        filtering.unwrap().hash()
    };
    let brand = || column("brand", values(Each::One));
    let with = |label: Option<Field>, is_boolean| FilterColumn {
        kind: FilterKind::Values {
            each: Each::One,
            is_boolean,
            label,
            rank: None,
        },
        ..brand()
    };
    assert_eq!(hash_of(brand()), hash_of(with(Some(Field::new("label")), false)));
    let elsewhere = FilterColumn {
        field: Field::new("maker"),
        ..brand()
    };
    for other in [elsewhere, with(None, true), column("brand", values(Each::List))] {
        assert_ne!(hash_of(brand()), hash_of(other));
    }
}

#[test]
fn a_boolean_is_asked_for_by_its_two_words() {
    let sale = column(
        "sale",
        FilterKind::Values {
            each: Each::One,
            is_boolean: true,
            label: None,
            rank: None,
        },
    );
    for (value, is_good) in [
        ("true", true),
        ("false", true),
        ("1", false),
        ("TRUE", false),
        ("", false),
    ] {
        let asked = Filtering::of(std::slice::from_ref(&sale), [("sale", value)], 50);
        assert_eq!(asked.is_ok(), is_good, "{value}");
    }
}
