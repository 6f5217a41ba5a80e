//! Sorting in the database and in the process cannot be told apart.

use listcache::origin::{ordering::order_by, sort_key::SortKeys};

use super::*;
use crate::support::{MariadbDatabase, PostgresDatabase};

/// Nasty neighbours of each type, shuffled by the ids they get.
const TEXTS: [&str; 16] = [
    "", " ", "a", "A", "a ", "a\t", "ä", "b", "B", "10", "9", "é", "e\u{301}", "\u{FFFD}", "😀", "a b",
];
const DECIMALS: [&str; 8] = [
    "1.5",
    "-1.5",
    "1.499999999999999999",
    "1.500000000000000001",
    "10",
    "9",
    "9007199254740993.000000000000000001",
    "0",
];

/// One insertion that both servers understand. Each value stands twice, so that the id must decide; one in five is null.
fn rows() -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let rows: Vec<String> = (0..64)
        .map(|number: usize| {
            let or_null = |value: String, at: usize| if at % 5 == 4 { "null".to_owned() } else { value };
            let text = quoted(TEXTS[number * 7 % 16]);
            let decimal = DECIMALS[number * 3 % 8].to_owned();
            let moment = quoted(&format!(
                "2024-01-01 00:00:0{}{}",
                number % 3,
                ["", ".5", ".25"][number % 7 % 3]
            ));
            format!(
                "({}, {}, {}, {}, {}, {}, {})",
                number * 37 % 64,
                or_null(text, number),
                or_null(decimal, number + 1),
                or_null(moment, number + 2),
                or_null(["1.5", "0.1", "-2", "1e20"][number % 4].to_owned(), number + 3),
                or_null(["true", "false"][number % 2].to_owned(), number),
                or_null(["'small'", "'large'", "'big'"][number % 3].to_owned(), number + 2),
            )
        })
        .collect();
    format!("insert into t values {}", rows.join(", "))
}

const COLUMNS: [&str; 7] = ["id", "text", "exact", "moment", "inexact", "flag", "size"];

async fn check(origin: &SqlOrigin, query: &str) {
    check_columns(origin, query, &COLUMNS, "flag desc", 64, &[]).await;
}

/// The keys of items, or none where an item has none.
fn keys_of<'i>(items: impl IntoIterator<Item = &'i OriginItem>, keys: &SortKeys) -> Option<Vec<Vec<u8>>> {
    let key = |item| keys.write(item, &mut Vec::new()).map(<[u8]>::to_vec);
    items.into_iter().map(key).collect()
}

/// `without_keys`: the columns whose order only the server knows.
async fn check_columns(
    origin: &SqlOrigin,
    query: &str,
    names: &[&str],
    other: &str,
    items: usize,
    without_keys: &[&str],
) {
    let unsorted = collect(origin, read(query, any_order(names))).await.unwrap();
    assert_eq!(unsorted.len(), items);
    let columns: Vec<_> = names
        .iter()
        .map(|name| listcache::listing::Field::from(*name))
        .collect();
    for column in names {
        for sort in [
            vec![(*column).to_owned()],
            vec![format!("{column} desc")],
            vec![other.to_owned(), (*column).to_owned()],
        ] {
            let sort = by(&sort.iter().map(String::as_str).collect::<Vec<_>>());
            let here = order_by(&unsorted, &columns, &sort);
            let here: Vec<&OriginItem> = here.iter().map(|at| &unsorted[*at as usize]).collect();
            let there = collect(origin, read(query, ReadOrder::By(sort.clone()))).await.unwrap();
            let ids_here: Vec<&str> = here.iter().map(|item| item.item.id.as_str()).collect();
            assert_eq!(ids_here, ids(&there), "{sort:?} of {query}");

            let keys = keys_of(&there, &SortKeys::of_order(&sort));
            let has_keys = |column: &str| !without_keys.contains(&column);
            let expected = sort.iter().all(|sort| has_keys(sort.column.as_str())) && has_keys("id");
            assert_eq!(keys.is_some(), expected, "{sort:?} of {query}");
            assert_eq!(
                keys,
                keys_of(here, &SortKeys::of_columns(&columns, &sort)),
                "{sort:?} of {query}"
            );
            assert!(keys.is_none_or(|keys| keys.is_sorted()), "{sort:?} of {query}");
        }
    }
}

#[tokio::test]
async fn sorting_in_postgresql_and_in_the_process_is_the_same() {
    // A collation that is nothing like the order of bytes, and an enum in an order of its own.
    let mut database = PostgresDatabase::create(
        "create type size as enum ('small', 'large', 'big');
         create table t (id bigint, text text collate \"en-x-icu\", exact numeric, moment timestamptz, inexact double precision,
             flag boolean, size size)",
    )
    .await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(rows()))
        .execute(&mut database.writer)
        .await
        .unwrap();
    let origin = open(&database.url());
    check(&origin, "select * from t").await;
    // Ids that are texts sort as texts.
    check(
        &origin,
        "select 'x' || id as id, text, exact, moment, inexact, flag, size from t",
    )
    .await;
}

#[tokio::test]
async fn sorting_in_mariadb_and_in_the_process_is_the_same() {
    let mut database = MariadbDatabase::create(
        "create table t (id bigint, text varchar(20), exact decimal(40, 18), moment datetime(6), inexact double, flag boolean,
             size enum('small', 'large', 'big'))",
    )
    .await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(rows()))
        .execute(&mut database.writer)
        .await
        .unwrap();
    let origin = open(&database.url());
    check(&origin, "select * from t").await;
    check(
        &origin,
        "select concat('x', id) as id, text, exact, moment, inexact, flag, size from t",
    )
    .await;
}

/// Each column's values ascend with the id, their texts do not; the last two are equal.
const ORDERED: &str = "
    create table t (id int, cost money, span interval, range int4range, host inet, at timetz, bits varbit, exact numeric,
        inexact float8, day date, moment timestamptz);
    insert into t values
        (3, '-2', '-1 day', 'empty', '9.0.0.1', '10:00+02', B'0', '-inf', '-inf', '-infinity', '-infinity'),
        (4, '9', '9 days', '[9,10)', '10.0.0.9', '09:00+00', B'1', '9', '9', '0044-03-15 bc', '0044-03-15 bc'),
        (5, '10', '10 days', '[10,11)', '10.0.0.10', '10:00+00', B'10', '10', '10', '9999-12-31', '9999-12-31 23:59:59.5'),
        (8, '1000.5', '1 month', '[10,100)', '10.0.0.128/25', '10:00-02', B'101', 'inf', 'inf', '12024-05-01', '12024-05-01'),
        (9, null, null, null, null, null, null, null, null, null, null),
        (6, '99999', '30 days 1 hour', '[10,)', '::1', '11:00-02', B'11', 'nan', 'nan', 'infinity', 'infinity'),
        (7, '99999', '1 month 1 hour', '[10,)', '::1', '11:00-02', B'11', 'nan', 'nan', 'infinity', 'infinity');
    update t set id = case id when 8 then 6 when 6 then 7 when 7 then 8 else id end";

#[tokio::test]
async fn types_of_postgresql_sort_by_their_values() {
    let database = PostgresDatabase::create(ORDERED).await;
    let origin = open(&database.url());
    let columns = [
        "cost", "span", "range", "host", "at", "bits", "exact", "inexact", "day", "moment",
    ];
    for column in columns {
        let sorted = collect(&origin, read("select * from t", ReadOrder::By(by(&[column])))).await;
        assert_eq!(ids(&sorted.unwrap()), ["3", "4", "5", "6", "7", "8", "9"], "{column}");
    }
    let without_keys = &columns[..6];
    check_columns(&origin, "select * from t", &columns, "bits desc", 7, without_keys).await;
    check_columns(&origin, "select * from t", &columns, "exact desc", 7, without_keys).await;
    // An id has such an order too.
    let query = "select host as id, cost from t where host is not null and id < 8";
    check_columns(&origin, query, &["cost"], "cost", 5, &["cost", "id"]).await;
    let query_of_exact = "select host as id, exact from t where host is not null and id < 8";
    check_columns(&origin, query_of_exact, &["exact"], "exact", 5, &["id"]).await;
    let sorted = collect(&origin, read(query, ReadOrder::By(by(&[])))).await.unwrap();
    assert_eq!(
        ids(&sorted),
        ["9.0.0.1", "10.0.0.9", "10.0.0.10", "10.0.0.128/25", "::1"]
    );
}

#[tokio::test]
async fn dates_of_mariadb_sort_by_their_values_though_json_has_no_form_for_them() {
    let database = MariadbDatabase::create(
        "set sql_mode = ''; create table t (id int, day date, moment datetime(1) not null);
         insert into t values (1, '2024-05-01', '2024-05-01 10:00'), (2, '0000-00-00', '0000-00-00'), (3, '2024-00-00', '2024-05-01 10:00:00.5'),
             (4, null, '2024-05-00 09:00'), (5, '2024-05-00', '2023-01-01')",
    )
    .await;
    check_columns(
        &open(&database.url()),
        "select * from t",
        &["day", "moment"],
        "day desc",
        5,
        &[],
    )
    .await;
}
