//! Sorting in the database and in the process cannot be told apart.

use listcache::origin::ordering::order_by;

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
    let unsorted = collect(origin, read(query, any_order(&COLUMNS))).await.unwrap();
    assert_eq!(unsorted.len(), 64);
    let columns = COLUMNS.map(Box::from);
    for column in COLUMNS {
        for sort in [
            vec![column.to_owned()],
            vec![format!("{column} desc")],
            vec!["flag desc".to_owned(), column.to_owned()],
        ] {
            let sort = by(&sort.iter().map(String::as_str).collect::<Vec<_>>());
            let here = order_by(&unsorted, &columns, &sort);
            let here: Vec<&str> = here.iter().map(|at| unsorted[*at as usize].item.id.as_str()).collect();
            let there = collect(origin, read(query, ReadOrder::By(sort.clone()))).await.unwrap();
            assert_eq!(here, ids(&there), "{sort:?} of {query}");
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
