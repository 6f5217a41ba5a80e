//! Statements are kept with their connection, and what they were described by is not believed for longer than it is true.

use std::collections::HashMap;

use futures_util::future::join_all;

use super::*;
use crate::support::MariadbDatabase;

/// More than there are connections.
const AT_ONCE: usize = 20;

/// What all connections read, each of which has a description of its own.
async fn all_read(origin: &SqlOrigin, query: &str, order: ReadOrder) -> String {
    let reads = (0..AT_ONCE).map(|_| collect(origin, read(query, order.clone())));
    let mut read: Vec<String> = join_all(reads)
        .await
        .into_iter()
        .map(|items| items.map_or_else(|error| error.to_string(), |items| lines(&items)))
        .collect();
    read.dedup();
    assert_eq!(read.len(), 1, "{read:?}");
    read.remove(0)
}

#[tokio::test]
async fn a_table_that_has_changed_is_read_as_it_is() {
    let mut database = MariadbDatabase::create(
        "create table t (id int, price int, name text); insert into t values (1, 10, 'a'), (2, 9, 'b')",
    )
    .await;
    let origin = open(&database.url());
    for (change, expect) in [
        (
            "select 1",
            [r#"{"id":2,"price":9,"name":"b"}"#, r#"{"id":1,"price":10,"name":"a"}"#],
        ),
        // Another column, and values of another kind, which sort as texts now.
        (
            "alter table t add facts json default '[1]', modify price varchar(10)",
            [
                r#"{"id":1,"price":"10","name":"a","facts":[1]}"#,
                r#"{"id":2,"price":"9","name":"b","facts":[1]}"#,
            ],
        ),
        // As many columns as before, of the same kinds.
        (
            "alter table t rename column name to title",
            [
                r#"{"id":1,"price":"10","title":"a","facts":[1]}"#,
                r#"{"id":2,"price":"9","title":"b","facts":[1]}"#,
            ],
        ),
        (
            "drop table t; create table t (price float, id int); insert into t values (0.5, 1), (0.1, 2)",
            [r#"{"price":0.1,"id":2}"#, r#"{"price":0.5,"id":1}"#],
        ),
    ] {
        database.run(change).await;
        let expect = expect.map(|line| format!("{line}\n")).concat();
        for order in [ReadOrder::By(by(&["price"])), any_order(&["price"])] {
            let read = all_read(&origin, "select * from t", order.clone()).await;
            match order {
                ReadOrder::By(_) => assert_eq!(read, expect, "{change}"),
                // In the order of the rows.
                ReadOrder::Any { .. } => assert_eq!(read.len(), expect.len(), "{change}"),
            }
        }
    }
    let names = async || {
        origin
            .names("select * from t where id = 1", &["a".into(), "b".into()])
            .await
    };
    assert_eq!(names().await.unwrap(), [["0.5", "1"]]);
    database.run("alter table t rename column price to cost").await;
    assert_eq!(
        all_read(&origin, "select * from t", ReadOrder::By(by(&["price"]))).await,
        "the definition does not fit the origin: the query yields no column `price`"
    );
    for _ in 0..AT_ONCE {
        assert_eq!(names().await.unwrap(), [["0.5", "1"]]);
    }
}

#[tokio::test]
async fn a_bound_value_is_a_column_of_its_own_kind() {
    let database = MariadbDatabase::create("create table t (id int, name text); insert into t values (1, 'a')").await;
    let origin = open(&database.url());
    let query = "select id, :label as label, coalesce(:label, name) as either, null as none from t";
    for _ in 0..2 {
        let read = read_of(definition("{label}", query), "x", &[], ReadOrder::By(by(&["label"])));
        let expect = "{\"id\":1,\"label\":\"x\",\"either\":\"x\",\"none\":null}\n";
        assert_eq!(lines(&collect(&origin, read).await.unwrap()), expect);
    }
}

#[tokio::test]
async fn a_connection_keeps_statements_up_to_a_bound() {
    let database = MariadbDatabase::create("select 1").await;
    let origin = open(&database.url());
    let mut reads_by = HashMap::new();
    for number in 0..200 {
        let query = format!("select connection_id() from (select {number}) as x");
        let connection = origin.names(&query, &["id".into()]).await.unwrap();
        *reads_by.entry(connection).or_insert(0) += 1;
    }
    // Of each query two statements: that which is described, and that whose columns are texts.
    assert!(reads_by.values().all(|reads| *reads <= 32), "{reads_by:?}");
}
