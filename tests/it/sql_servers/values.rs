//! What is bound, and what becomes of each type of column.

use super::*;
use crate::support::{MariadbDatabase, PostgresDatabase};

const POSTGRES_TYPES: &str = r#"
    create type size as enum ('small', 'large');
    create type place as (x int, y numeric);
    create domain cents as bigint;
    create table t (
        id int, small smallint, big bigint, cents cents, exact numeric(30, 12), single real, double double precision,
        sold_out boolean, name text, label varchar(20), code char(5), size size, key uuid, details json, facts jsonb,
        day date, local timestamp, moment timestamptz, at time, tags text[], prices numeric[], place place, span int4range);
    insert into t values
        (1, -3, 9007199254740993, 250, 123456789012345678.123456789012, 0.1, 1e21, true, 'Käse "alt" 😀', 'a ', 'ab', 'large',
         '6F9619FF-8B86-D011-B42D-00CF4FC964FF', '{"a":  [1, 2.50]}', '{"b": 1.10}', '2024-02-29', '2024-02-29 23:59:59.5',
         '2024-02-29 23:59:59+02', '23:59:59', array['x', 'y"'], array[1.10, null], row(1, 2.50), '[1,5)'),
        (2, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null,
         null, null)"#;

#[tokio::test]
async fn every_type_of_postgresql_has_one_form() {
    let database = PostgresDatabase::create(POSTGRES_TYPES).await;
    let items = collect(&open(&database.url()), read("select * from t", ReadOrder::By(by(&[]))))
        .await
        .unwrap();
    let first = concat!(
        r#"{"id":1,"small":-3,"big":9007199254740993,"cents":250,"exact":123456789012345678.123456789012,"#,
        r#""single":0.1,"double":1e21,"sold_out":true,"name":"Käse \"alt\" 😀","label":"a ","code":"ab","size":"large","#,
        r#""key":"6f9619ff-8b86-d011-b42d-00cf4fc964ff","details":{"a":  [1, 2.50]},"facts":{"b": 1.10},"#,
        r#""day":"2024-02-29","local":"2024-02-29T23:59:59.5Z","moment":"2024-02-29T21:59:59Z","at":"23:59:59","#,
        r#""tags":["x","y\""],"prices":[1.10,null],"place":{"x":1,"y":2.50},"span":"[1,5)"}"#,
    );
    let lines = lines(&items);
    let (one, other) = lines.split_once('\n').unwrap();
    assert_eq!(one.replace("1e+21", "1e21"), first);
    assert!(
        other.starts_with(r#"{"id":2,"small":null,"#) && other.ends_with("\"span\":null}\n"),
        "{other}"
    );
}

const MARIADB_TYPES: &str = r#"
    create table t (
        id int, small smallint, big bigint unsigned, exact decimal(30, 12), single float, `double` double, sold_out boolean,
        name varchar(50), note text collate utf8mb4_bin, code char(5), size enum('small', 'large'), `sets` set('a', 'b'),
        details json, day date, local datetime(6), moment timestamp null, at time, year year, bits bit(9), medium mediumint);
    set time_zone = '+02:00';
    insert into t values
        (1, -3, 18446744073709551615, 123456789012345678.123456789012, 0.1, 1e21, true, 'Käse "alt" 😀', 'b ', 'ab', 'large',
         'a,b', '{"a":  [1, 2.50]}', '2024-02-29', '2024-02-29 23:59:59.5', '2024-02-29 23:59:59', '-26:03:04', 2024, 257, -5),
        (2, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null)"#;

#[tokio::test]
async fn every_type_of_mariadb_has_one_form() {
    let database = MariadbDatabase::create(MARIADB_TYPES).await;
    let items = collect(&open(&database.url()), read("select * from t", ReadOrder::By(by(&[]))))
        .await
        .unwrap();
    let first = concat!(
        r#"{"id":1,"small":-3,"big":18446744073709551615,"exact":123456789012345678.123456789012,"single":0.1,"#,
        r#""double":1e21,"sold_out":true,"name":"Käse \"alt\" 😀","note":"b ","code":"ab","size":"large","sets":"a,b","#,
        r#""details":{"a":  [1, 2.50]},"day":"2024-02-29","local":"2024-02-29T23:59:59.5Z","#,
        r#""moment":"2024-02-29T21:59:59Z","at":"-26:03:04","year":2024,"bits":257,"medium":-5}"#,
    );
    let lines = lines(&items);
    let (one, other) = lines.split_once('\n').unwrap();
    assert_eq!(one.replace("1e+21", "1e21"), first);
    assert!(
        other.starts_with(r#"{"id":2,"small":null,"#) && other.ends_with("\"medium\":null}\n"),
        "{other}"
    );
}

#[tokio::test]
async fn two_columns_of_one_name_are_an_error() {
    let postgres = PostgresDatabase::create("select 1").await;
    let mariadb = MariadbDatabase::create("select 1").await;
    for (origin, says) in [
        (open(&postgres.url()), "the query yields two columns `x`"),
        (open(&mariadb.url()), "Duplicate column name 'x'"),
    ] {
        let read = read("select 1 as id, 2 as x, 3 as x", any_order(&[]));
        let error = collect(&origin, read).await.unwrap_err();
        assert!(matches!(error, OriginError::Misdeclared(_)), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn json_of_a_column_is_as_readable_as_an_item_must_be() {
    // MariaDB and MySQL refuse such JSON themselves.
    let postgres = PostgresDatabase::create("select 1").await;
    let origin = open(&postgres.url());
    for (json, says) in [
        (r#"'"\ud83d"'::json"#, "item 1: half of a character"),
        ("(repeat('[', 120) || repeat(']', 120))::json", "item 1: nested deeper"),
    ] {
        let read = read(&format!("select 1 as id, {json} as x"), any_order(&[]));
        let error = collect(&origin, read).await.unwrap_err();
        assert!(error.to_string().starts_with(says), "{error}");
    }
}

#[tokio::test]
async fn what_has_no_json_is_a_bad_item() {
    let postgres = PostgresDatabase::create("select 1").await;
    let postgres = open(&postgres.url());
    for (column, expect) in [
        ("decode('00', 'hex')", "column `x`: bytes have no JSON"),
        (
            "repeat('x', 300000)",
            "an item may have 262144 bytes, and this one has 300017",
        ),
    ] {
        let error = collect(
            &postgres,
            read(&format!("select 'a' as id, {column} as x"), any_order(&[])),
        )
        .await;
        assert_eq!(error.unwrap_err().to_string(), format!("item 1: {expect}"));
    }
    for id in ["null::int", "1.5", "''", "true", "now()"] {
        let error = collect(&postgres, read(&format!("select {id} as id"), any_order(&[]))).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "item 1: the id must be an integer or a text of 1 to 256 bytes",
            "{id}"
        );
    }
    let mariadb = MariadbDatabase::create("select 1").await;
    let error = collect(
        &open(&mariadb.url()),
        read("select 1 as id, x'00' as x", any_order(&[])),
    )
    .await;
    assert_eq!(error.unwrap_err().to_string(), "item 1: column `x`: bytes have no JSON");
}

const BOUND: &str = "
    create table t (id int primary key, big bigint, exact numeric(10, 2), name varchar(50), maybe int);
    insert into t values (7, 9007199254740993, 12.50, 'it''s; -- 7', null), (8, 9007199254740992, 12.5, 'other', 1);";

#[tokio::test]
async fn a_value_is_what_it_is_compared_with() {
    let mut postgres = PostgresDatabase::create(BOUND).await;
    postgres
        .run(
            "create type size as enum ('small', 'large');
             alter table t add key uuid, add size size, add code char(5), add day date, add sold boolean;
             update t set key = '6f9619ff-8b86-d011-b42d-00cf4fc964ff', size = 'small', code = 'ab', day = '2024-02-29', sold = true
             where id = 7",
        )
        .await;
    let mariadb = MariadbDatabase::create(BOUND).await;
    let (postgres, mariadb) = (open(&postgres.url()), open(&mariadb.url()));
    let both = [("postgres", &postgres), ("mariadb", &mariadb)];
    for (condition, value, expect) in [
        ("id = :value", "7", &["7"][..]),
        ("id = :value and :value = :value", "9", &[]),
        ("big = :value", "9007199254740993", &["7"]),
        ("exact = :value", "12.50", &["7", "8"]),
        ("name = :value", "it's; -- 7", &["7"]),
        ("name = :value", "' or 1=1 --", &[]),
        ("name like :value", "%7", &["7"]),
        ("id < :value and maybe is null", "8", &["7"]),
        ("(:value is null or id = :value)", "8", &["8"]),
        ("id in (:value, 8)", "7", &["7", "8"]),
    ] {
        for (database, origin) in both {
            let query = format!("select id from t where {condition}");
            let items = collect(
                origin,
                read_of(definition("{value}", &query), value, &[], ReadOrder::By(by(&[]))),
            )
            .await;
            assert_eq!(ids(&items.unwrap()), expect, "{database}: {condition} with {value}");
        }
    }
    for (condition, value, expect) in [
        ("key = :value", "6F9619FF-8B86-D011-B42D-00CF4FC964FF", &["7"][..]),
        (
            "key in (:value, :value)",
            "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
            &["7"],
        ),
        (
            "key = any(array[:value, :value]::uuid[])",
            "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
            &["7"],
        ),
        ("size = :value", "small", &["7"]),
        ("code = :value", "ab", &["7"]),
        ("day = :value", "2024-02-29", &["7"]),
        ("sold = :value", "true", &["7"]),
        // What cannot be such a value is in no row.
        ("id = :value", "abc", &[]),
        ("id = :value", "99999999999", &[]),
        ("key = :value", "abc", &[]),
        ("size = :value", "medium", &[]),
        ("day = :value", "2023-02-29", &[]),
    ] {
        let query = format!("select id from t where {condition}");
        let items = collect(
            &postgres,
            read_of(definition("{value}", &query), value, &[], any_order(&[])),
        )
        .await;
        assert_eq!(ids(&items.unwrap()), expect, "{condition} with {value}");
    }
    // An error of the query is none of the value, and must not look like an empty listing.
    let query = "select id, cast(name as integer) from t where id = :value";
    let error = collect(
        &postgres,
        read_of(definition("{value}", query), "7", &[], any_order(&[])),
    )
    .await
    .unwrap_err();
    assert!(matches!(error, OriginError::Misdeclared(_)), "{error:?}");
}

#[tokio::test]
async fn names_are_texts() {
    const SHOP: &str = "
        create table products (id int, brand varchar(20), price numeric(8, 2), shelf int);
        insert into products values (1, 'Alto', 3.50, 1), (2, 'alto', 3.50, 2), (3, 'Alto ', 12, 1), (4, null, 2, 1)";
    let postgres = PostgresDatabase::create(SHOP).await;
    let mariadb = MariadbDatabase::create(SHOP).await;
    for url in [postgres.url(), mariadb.url()] {
        let origin = open(&url);
        let parameters: Vec<listcache::listing::Field> = vec!["brand".into(), "price".into()];
        let names = origin
            .names("select brand, price from products order by id;", &parameters)
            .await
            .unwrap();
        assert_eq!(names, [["Alto", "3.50"], ["alto", "3.50"], ["Alto ", "12.00"]]);
        let error = origin
            .names("select id from products where 1 = 0", &parameters)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("`names` yields 1 columns"), "{error}");
    }
}

#[tokio::test]
async fn a_definition_that_does_not_fit_says_why() {
    let table = "create table products (id int, price int)";
    let postgres = PostgresDatabase::create(table).await;
    let mariadb = MariadbDatabase::create(table).await;
    let both = [open(&postgres.url()), open(&mariadb.url())];
    for (query, order, expect) in [
        (
            "select id from nowhere",
            any_order(&[]),
            ["relation \"nowhere\" does not exist", "doesn't exist"],
        ),
        (
            "select id, price form products",
            any_order(&[]),
            ["syntax error at or near \"products\"", "error in your SQL syntax"],
        ),
        (
            "select id from products",
            ReadOrder::By(by(&["cost"])),
            ["the query yields no column `cost`"; 2],
        ),
        (
            "select id from products",
            any_order(&["cost"]),
            ["the query yields no column `cost`"; 2],
        ),
        (
            "select price from products",
            any_order(&[]),
            ["the query yields no column `id`"; 2],
        ),
        (
            "delete from products",
            any_order(&[]),
            ["syntax error", "error in your SQL syntax"],
        ),
        (
            "select id from products where price > :price",
            any_order(&[]),
            ["`:price` stands for no value"; 2],
        ),
    ] {
        for (origin, expect) in both.iter().zip(expect) {
            let error = collect(origin, read(query, order.clone())).await.unwrap_err();
            assert!(matches!(error, OriginError::Misdeclared(_)), "{query}: {error:?}");
            assert!(error.to_string().contains(expect), "{query}: {error}");
        }
    }
    let writes = "select nextval('numbers') as id";
    let mut numbers = PostgresDatabase::create("create sequence numbers").await;
    let error = collect(&open(&numbers.url()), read(writes, any_order(&[])))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("cannot execute nextval() in a read-only transaction"),
        "{error}"
    );
    assert_eq!(
        numbers
            .number("select last_value from numbers where not is_called")
            .await,
        1
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_no_error_holds_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    for url in [
        format!("postgres://shop:hunter2@localhost/shop?host={path}"),
        format!("mysql://shop:hunter2@localhost/shop?socket={path}/none.sock"),
    ] {
        let error = collect(&open(&url), read("select 1 as id", any_order(&[])))
            .await
            .unwrap_err();
        assert!(matches!(error, OriginError::Unavailable(_)), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
    for url in [
        "postgres://shop:hunter2@localhost:port/shop",
        "postgres://shop:hunter2@localhost/shop?passwort=hunter2",
        "postgres://shop:hunter2@localhost/shop?sslmode=hunter2",
        "mysql://shop:hunter2@localhost:port/shop",
        "mysql://shop@localhost/shop?ssl-mode=hunter2",
    ] {
        let error = SqlOrigin::open(url, TIMEOUT).err().unwrap();
        assert!(matches!(error, OriginError::Misdeclared(_)));
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error}");
    }
}

/// The row of a `version_query`, whose types each server has its own of.
#[tokio::test]
async fn a_version_is_a_row_of_values_and_tells_of_a_deletion() {
    const SCHEMA: &str = "
        create table products (id int, updated_at timestamp null);
        insert into products values (1, '2024-05-01 10:00:00'), (2, '2024-05-01 12:00:00'), (3, '2024-05-01 09:00:00')";
    const DELETE: &str = "delete from products where id = 3";
    let version = async |url: String| {
        let definition = Definition {
            version_query: Some("select count(*), max(updated_at), sum(id) from products".into()),
            ..definition("all", "select id from products")
        };
        let read = read_of(definition, "all", &[], ReadOrder::By(by(&[])));
        open(&url).version(&read.defined, &read.choices).await.unwrap().unwrap()
    };
    let mut postgres = PostgresDatabase::create(SCHEMA).await;
    let mut mariadb = MariadbDatabase::create(SCHEMA).await;
    let urls = [postgres.url(), mariadb.url()];
    let before = [version(urls[0].clone()).await, version(urls[1].clone()).await];
    postgres.run(DELETE).await;
    mariadb.run(DELETE).await;
    for (url, before) in urls.into_iter().zip(before) {
        let after = version(url.clone()).await;
        assert_ne!(after, before);
        assert_eq!(after, version(url).await);
    }
}
