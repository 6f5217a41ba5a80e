mod database;
mod ending;
mod same_order;

use std::sync::Arc;

use super::*;
use crate::listing::{
    SortName, StoredSort,
    definition::{Variant, VariantProperty},
};
use crate::origin::{
    SortValue,
    testing::{TIMEOUT, TestDatabase, any_order, by, collect, definition, ids, lines, read, variant},
};

const SHOP: &str = "
    create table products (id integer primary key, name text, category text, brand text, price real, details JSON);
    insert into products values
        (10, 'Rye \"dark\"', 'BREAD', 'Hearth', 3.5, '{\"weight\": [1, 2]}'),
        (9, 'Baguette', 'BREAD', 'Alto', 2, null),
        (2, 'Rolls', 'BREAD', null, null, '7'),
        (1, 'It''s; a -- cake', 'CAKE/PIE', 'Alto', 12.25, '\"x\"');
";

const BY_CATEGORY: &str = "select id, name, price from products where category = :category";

fn message(error: OriginError) -> String {
    error.to_string()
}

#[tokio::test]
async fn rows_become_json_with_the_columns_in_the_querys_order() {
    let shop = TestDatabase::create(SHOP).await;
    let query = "select price, id, name, details, 1 + 1 as \"two \"\"2\"\"\" from products";
    let items = collect(
        &shop.origin(),
        read(definition("all", query), "all", &[], ReadOrder::By(by(&["price desc"]))),
    )
    .await
    .unwrap();
    assert_eq!(
        lines(&items),
        r#"{"price":12.25,"id":1,"name":"It's; a -- cake","details":"x","two \"2\"":2}
{"price":3.5,"id":10,"name":"Rye \"dark\"","details":{"weight": [1, 2]},"two \"2\"":2}
{"price":2.0,"id":9,"name":"Baguette","details":null,"two \"2\"":2}
{"price":null,"id":2,"name":"Rolls","details":7,"two \"2\"":2}
"#
    );
    assert_eq!(items[0].id, SortValue::Integer(1));
    assert_eq!(*items[0].keys, [SortValue::Real(12.25)]);
}

#[tokio::test]
async fn two_columns_of_one_name_are_an_error() {
    let shop = TestDatabase::create(SHOP).await;
    for query in [
        "select id, name, brand as name from products",
        "select a.*, b.price from products a join products b using (id) where a.category = :category",
    ] {
        let read = read(definition("{category}", query), "BREAD", &[], any_order(&[]));
        let error = message(collect(&shop.origin(), read).await.unwrap_err());
        let says = "the definition does not fit the origin: the query yields two columns `";
        assert!(error.starts_with(says), "{error}");
    }
}

#[tokio::test]
async fn json_of_a_column_is_as_readable_as_an_item_must_be() {
    const NESTED: &str = "create table t (id integer, details JSON);
        insert into t values (1, replace(hex(zeroblob(120)), '00', '[') || replace(hex(zeroblob(120)), '00', ']'))";
    const HALF: &str = r#"create table t (id integer, details JSON); insert into t values (1, '"Bread \ud83d"')"#;
    for (sql, says) in [
        (NESTED, "item 1: nested deeper than 120 levels"),
        (HALF, "item 1: half of a character stands alone"),
    ] {
        let shop = TestDatabase::create(sql).await;
        let read = read(definition("all", "select * from t"), "all", &[], any_order(&[]));
        let error = message(collect(&shop.origin(), read).await.unwrap_err());
        assert!(error.starts_with(says), "{error}");
    }
}

#[tokio::test]
async fn any_order_brings_the_values_to_sort_by() {
    let shop = TestDatabase::create(SHOP).await;
    let mut items = collect(
        &shop.origin(),
        read(
            definition("{category}", BY_CATEGORY),
            "BREAD",
            &[],
            any_order(&["price", "name"]),
        ),
    )
    .await
    .unwrap();
    items.sort_by_key(|item| item.item.id.clone());
    assert_eq!(ids(&items), ["10", "2", "9"]);
    assert_eq!(
        *items[0].keys,
        [SortValue::Real(3.5), SortValue::Text("Rye \"dark\"".into())]
    );
    assert_eq!(*items[1].keys, [SortValue::Null, SortValue::Text("Rolls".into())]);
}

#[tokio::test]
async fn values_are_bound_and_never_pasted() {
    let shop = TestDatabase::create(SHOP).await;
    let origin = shop.origin();
    for (name, expect) in [
        ("BREAD", vec!["2", "9", "10"]),
        ("CAKE/PIE", vec!["1"]),
        ("' or 1=1 --", vec![]),
    ] {
        let query = format!("{BY_CATEGORY} -- :nothing\n;");
        let items = collect(
            &origin,
            read(definition("{category}", &query), name, &[], ReadOrder::By(vec![])),
        )
        .await
        .unwrap();
        assert_eq!(ids(&items), expect, "{name}");
    }
    // The text of a parameter is converted for a numeric column.
    let query = "select id from products where id = :id and :id = :id";
    let items = collect(
        &origin,
        read(definition("{id}", query), "10", &[], ReadOrder::By(vec![])),
    )
    .await
    .unwrap();
    assert_eq!(ids(&items), ["10"]);
}

#[tokio::test]
async fn variants_are_bound() {
    let shop = TestDatabase::create(SHOP).await;
    let origin = shop.origin();
    let query =
        "select id, brand, length(brand) as letters, :currency as currency from products where category = :category";
    let declared = || {
        let mut definition = definition("{category}", query);
        definition.variants.push(variant("currency", &["EUR", "USD"]));
        definition
    };
    let all = collect(&origin, read(declared(), "BREAD", &[], ReadOrder::By(by(&["brand"]))))
        .await
        .unwrap();
    assert_eq!(
        lines(&all),
        r#"{"id":9,"brand":"Alto","letters":4,"currency":"EUR"}
{"id":10,"brand":"Hearth","letters":6,"currency":"EUR"}
{"id":2,"brand":null,"letters":null,"currency":"EUR"}
"#
    );
    let chosen = collect(
        &origin,
        read(declared(), "BREAD", &[("currency", "USD")], any_order(&[])),
    )
    .await
    .unwrap();
    assert!(lines(&chosen).contains(r#""currency":"USD""#));
}

#[tokio::test]
async fn properties_of_a_variant_are_bound_or_name_tables() {
    let shop = TestDatabase::create(
        "create table index_1 (id integer, website integer); create table index_2 (id integer, website integer);
         insert into index_1 values (1, 10), (2, 11); insert into index_2 values (3, 20), (4, 20)",
    )
    .await;
    let origin = shop.origin();
    let declared = |tables: [&str; 2]| {
        let query = "select id, '{store.table} :store.website' as text from {store.table} where website = cast(:store.website as integer)";
        let mut definition = definition("all", query);
        let property = |name: &str, of_values: [&str; 2]| VariantProperty {
            name: name.into(),
            of_values: of_values.map(Arc::from).to_vec(),
        };
        definition.variants.push(Variant {
            properties: vec![property("website", ["10", "20"]), property("table", tables)],
            ..variant("store", &["de", "at"])
        });
        definition
    };
    let tables = ["index_1", "main.index_2"];
    let of = async |store: &str| {
        collect(
            &origin,
            read(declared(tables), "all", &[("store", store)], any_order(&[])),
        )
        .await
    };
    assert_eq!(ids(&of("de").await.unwrap()), ["1"]);
    let at = of("at").await.unwrap();
    assert_eq!(ids(&at), ["3", "4"]);
    assert!(lines(&at).contains(":store.website"), "what stands in a string is left");
    for hostile in [
        "index_1; drop table index_2",
        "index_1 --",
        "(select 1)",
        "\"index_1\"",
        "",
    ] {
        let read = read(declared([hostile, "index_2"]), "all", &[], any_order(&[]));
        let error = message(collect(&origin, read).await.unwrap_err());
        assert!(error.contains("`{store.table}` is"), "{error}");
    }
    let unknown = definition("all", "select id from {store.table}");
    let error = message(
        collect(&origin, read(unknown, "all", &[], any_order(&[])))
            .await
            .unwrap_err(),
    );
    assert!(error.contains("is no property of a variant"), "{error}");
    // A change of a property is a change of the definition.
    let stored = StoredSort::ascending(SortName::default_sort());
    assert_ne!(
        declared(tables).hash_of(&stored),
        declared(["index_2", "index_1"]).hash_of(&stored)
    );
}

#[tokio::test]
async fn names_are_rows_without_nulls() {
    let shop = TestDatabase::create(SHOP).await;
    let origin = shop.origin();
    let parameters = |names: &[&str]| names.iter().map(|name| Field::new(name)).collect::<Vec<_>>();

    let names = origin
        .names(
            "select distinct category from products order by 1;",
            &parameters(&["category"]),
        )
        .await;
    assert_eq!(names.unwrap(), [["BREAD"], ["CAKE/PIE"]]);
    let names = origin
        .names(
            "select id, price, brand from products order by id",
            &parameters(&["a", "b", "c"]),
        )
        .await;
    assert_eq!(
        names.unwrap(),
        [["1", "12.25", "Alto"], ["9", "2.0", "Alto"], ["10", "3.5", "Hearth"]]
    );

    let error = origin
        .names("select id, brand from products where 1 = 0", &parameters(&["id"]))
        .await
        .unwrap_err();
    assert_eq!(
        message(error),
        "the definition does not fit the origin: `names` yields 2 columns, and the pattern has 1 parameters (id)"
    );
    let error = origin.names("select :id", &parameters(&["id"])).await.unwrap_err();
    assert!(message(error).contains("`:id` stands for no value"));
}

#[tokio::test]
async fn a_definition_that_does_not_fit_says_why() {
    let shop = TestDatabase::create(SHOP).await;
    let origin = shop.origin();
    let order = || ReadOrder::By(by(&["price"]));
    for (query, order, expect) in [
        ("", order(), "the listings `{category}` need a `query`"),
        (
            "select id from products where category = :kategory",
            order(),
            "`query`: `:kategory` stands for no value that is known there",
        ),
        ("select id from nowhere", order(), "no such table: nowhere"),
        (
            "select id, price form products",
            order(),
            "near \"products\": syntax error",
        ),
        (
            "select id, price from products",
            ReadOrder::By(by(&["cost"])),
            "no such column: items.cost",
        ),
        (
            "select id, price from products",
            any_order(&["cost"]),
            "the query yields no column `cost`",
        ),
        (
            "select price from products",
            any_order(&["price"]),
            "the query yields no column `id`",
        ),
        (
            "select price from products where 1 = 0",
            any_order(&["price"]),
            "the query yields no column `id`",
        ),
        (
            "select id from products where price > ?",
            order(),
            "`query`: `?` cannot be bound: a value is named as in `:category`",
        ),
        ("delete from products", order(), "near \"delete\": syntax error"),
    ] {
        let error = collect(&origin, read(definition("{category}", query), "BREAD", &[], order))
            .await
            .unwrap_err();
        assert!(matches!(error, OriginError::Misdeclared(_)), "{query}: {error:?}");
        assert_eq!(
            message(error),
            format!("the definition does not fit the origin: {expect}"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_row_that_has_no_json_is_a_bad_item() {
    let shop = TestDatabase::create(
        "create table t (id, value, details json);
         insert into t values (1, x'00', null), (2, 9e999, null), (3, cast(x'ff' as text), null), (4, 1, '{]'), (null, 1, null), (1.5, 1, null), ('', 1, null);",
    )
    .await;
    let origin = shop.origin();
    for (condition, expect) in [
        ("id = 1", "item 1: column `value`: a BLOB has no JSON"),
        (
            "id = 3",
            "item 1: column `value`: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        (
            "id = 4",
            "item 1: column `details`, declared JSON: key must be a string at line 1 column 2",
        ),
        (
            "id is null",
            "item 1: the id must be an integer or a text of 1 to 256 bytes",
        ),
        (
            "id = 1.5",
            "item 1: the id must be an integer or a text of 1 to 256 bytes",
        ),
        (
            "id = ''",
            "item 1: the id must be an integer or a text of 1 to 256 bytes",
        ),
    ] {
        let query = format!("select * from t where {condition}");
        let error = collect(&origin, read(definition("t", &query), "t", &[], any_order(&[])))
            .await
            .unwrap_err();
        assert_eq!(message(error), expect);
    }
    let query = "select 'x' as id, printf('%.*c', 300000, 'x') as value";
    let error = collect(&origin, read(definition("t", query), "t", &[], any_order(&[])))
        .await
        .unwrap_err();
    assert!(message(error).contains("an item may have 262144 bytes"));

    // One that JSON has no form for does not take the others down; the database sorts by it, and so does the process.
    let query = "select id, value from t where id in (2, 4)";
    let infinite = "column `value`: an infinite number has no JSON";
    for order in [ReadOrder::By(by(&["value desc"])), any_order(&["value"])] {
        let lax = collect(&origin, read(definition("t", query), "t", &[], order.clone())).await;
        assert_eq!(
            lines(&lax.unwrap()),
            "{\"id\":2,\"value\":null}\n{\"id\":4,\"value\":1}\n"
        );
        let strict = shop
            .origin()
            .with_formless(Formless::new("shop", true, Default::default()));
        let error = collect(&strict, read(definition("t", query), "t", &[], order))
            .await
            .unwrap_err();
        assert_eq!(message(error), format!("item 1: {infinite}"));
    }
}
