//! Sorting in the database and in the process cannot be told apart.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::origin::{
    OriginItem, ReadOrder, SortValue,
    ordering::order_by,
    sort_key::SortKeys,
    testing::{TestDatabase, any_order, by, collect, definition, ids, keys_of, read},
};

fn any_value() -> impl Strategy<Value = SortValue> {
    let real = prop_oneof![
        prop::num::f64::NORMAL,
        prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            2.5,
            -2.5,
            9_007_199_254_740_992.0,
            9.3e18,
            -9.3e18,
            9_223_372_036_854_775_808.0
        ]),
    ];
    let integer = prop_oneof![
        any::<i64>(),
        -3..3i64,
        prop::sample::select(vec![
            i64::MIN,
            i64::MAX,
            i64::MAX - 1,
            9_007_199_254_740_993,
            9_007_199_254_740_992
        ]),
    ];
    let text = prop_oneof![
        prop::sample::select(vec![
            "", "a", "A", "ä", "b", "10", "9", "a ", "é", "\u{FFFD}", "😀", "e\u{301}"
        ])
        .prop_map(str::to_owned),
        "[a-cA-C0-9é\u{0}]{0,4}",
    ];
    prop_oneof![
        2 => Just(SortValue::Null),
        3 => integer.prop_map(SortValue::Integer),
        3 => real.prop_map(SortValue::Real),
        3 => text.prop_map(|text| SortValue::Text(text.into())),
    ]
}

fn any_id() -> impl Strategy<Value = SortValue> {
    prop_oneof![
        (-20..200i64).prop_map(SortValue::Integer),
        "[a-c0-9]{1,3}".prop_map(|text| SortValue::Text(text.into())),
    ]
}

type Rows = Vec<(SortValue, SortValue, SortValue)>;

/// Rows with distinct ids: rows that are equal in all columns and in the id have no order of their own.
fn any_rows() -> impl Strategy<Value = Rows> {
    prop::collection::vec((any_id(), any_value(), any_value()), 0..40).prop_map(|rows| {
        let distinct: BTreeMap<String, _> = rows.into_iter().map(|row| (format!("{:?}", row.0), row)).collect();
        distinct.into_values().collect()
    })
}

async fn insert(shop: &mut TestDatabase, rows: &Rows) {
    for (id, x, y) in rows {
        let mut query = sqlx::query("insert into t values (?1, ?2, ?3)");
        for value in [id, x, y] {
            query = match value {
                SortValue::Null => query.bind(None::<i64>),
                SortValue::Integer(number) | SortValue::Rank(number) => query.bind(*number),
                SortValue::Real(number) => query.bind(*number),
                SortValue::Decimal(text) | SortValue::Text(text) => query.bind(text.to_string()),
            };
        }
        query.execute(&mut shop.writer).await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sorting_in_the_database_and_in_the_process_is_the_same(rows in any_rows()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut shop = TestDatabase::create("pragma synchronous = off; create table t (id, x, y collate nocase)").await;
            insert(&mut shop, &rows).await;
            let origin = shop.origin();
            let of_t = |order| read(definition("t", "select * from t"), "t", &[], order);
            let unsorted: Vec<OriginItem> = collect(&origin, of_t(any_order(&["x", "y"]))).await.unwrap();
            assert_eq!(unsorted.len(), rows.len());
            for sort in [&[][..], &["x"], &["x desc"], &["y", "x desc"], &["y desc", "x"], &["x desc", "y desc"]] {
                let sort = by(sort);
                let here = order_by(&unsorted, &["x".into(), "y".into()], &sort);
                let here: Vec<&OriginItem> = here.iter().map(|at| &unsorted[*at as usize]).collect();
                let there = collect(&origin, of_t(ReadOrder::By(sort.clone()))).await.unwrap();
                let ids_here: Vec<&str> = here.iter().map(|item| item.item.id.as_str()).collect();
                assert_eq!(ids_here, ids(&there), "{sort:?}");
                let keys = keys_of(&there, &SortKeys::of_order(&sort));
                assert!(keys.is_sorted(), "{sort:?}");
                assert_eq!(keys, keys_of(here, &SortKeys::of_columns(&["x".into(), "y".into()], &sort)), "{sort:?}");
            }
        });
    }
}
