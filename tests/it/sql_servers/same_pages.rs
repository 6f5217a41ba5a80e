//! The same catalogue through every origin gives the same bytes, page for page.

use std::{collections::BTreeMap, io::Read as _, num::NonZeroU32, path::Path, sync::Arc};

use listcache::{
    config::{OriginConfig, OriginKind, Secret},
    engine::{Asked, Engine, EngineLimits, EngineParts, Place},
    listing::{ListingName, Order},
    origin::Origins,
    telemetry::Metrics,
};
use serde_json::Value;
use sqlx::{ConnectOptions, QueryBuilder, SqliteConnection, sqlite::SqliteConnectOptions};

use super::*;
use crate::support::{
    MariadbDatabase, PostgresDatabase, RedisServer,
    shop::{self, definitions, texts},
};

/// The columns of the sample's products, with what the sample does not have: a weight that is no integer, and nested JSON.
const COLUMNS: [&str; 15] = [
    "id",
    "name",
    "department",
    "category",
    "type",
    "brand",
    "manufacturer_id",
    "price_cents",
    "list_cents",
    "orders",
    "units",
    "stores",
    "first_sold",
    "weight",
    "details",
];
const INTEGERS: [&str; 7] = [
    "id",
    "manufacturer_id",
    "price_cents",
    "list_cents",
    "orders",
    "units",
    "stores",
];

const SORTS: [(&str, &[&str]); 7] = [
    ("price", &["price_cents"]),
    ("list_price", &["list_cents desc"]),
    ("name", &["name"]),
    ("brand", &["brand desc", "price_cents"]),
    ("weight", &["weight"]),
    ("newest", &["first_sold desc"]),
    ("type", &["type", "name desc"]),
];

/// Products that a catalogue of another shop would have: letters of all kinds, spaces, nulls, ties.
fn oddities() -> Vec<Value> {
    const NAMES: [&str; 14] = [
        "Äpfel",
        "apfel",
        "Apfel",
        "apfel ",
        "Öl",
        "Zwiebel",
        "éclair",
        "Éclair",
        "e\u{301}clair",
        "日本酒",
        "😀 Kekse",
        "\u{FFFD}",
        "it's \"new\" \\ 50%",
        "",
    ];
    let odd = |number: usize| {
        let or_null = |value: Value, every: usize| {
            if number.is_multiple_of(every) {
                Value::Null
            } else {
                value
            }
        };
        serde_json::json!({
            "id": 2_000_000_000 - number * 7919 % 1000,
            "name": or_null(NAMES[number % NAMES.len()].into(), 11),
            "department": "ODD",
            "category": "ODD",
            "type": or_null(NAMES[number * 5 % NAMES.len()].into(), 4),
            "brand": or_null(["ACME", "acme", "Acme "][number % 3].into(), 5),
            "manufacturer_id": number,
            "price_cents": or_null((100 + number % 4 * 50).into(), 6),
            "list_cents": or_null((number % 3).into(), 7),
            "orders": 1,
            "units": 1,
            "stores": 1,
            "first_sold": or_null(format!("2017-0{}-01T00:00:00", number % 9 + 1).into(), 8),
            "weight": or_null([0.5, -1.25, 1e-7, 3.0, 1e15, 12345.678][number % 6].into(), 9),
            "details": or_null(serde_json::json!({"b": [1, {"ä": null}], "a": number}), 3),
        })
    };
    (0..100).map(odd).collect()
}

fn products() -> Vec<Value> {
    let file = std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalogue.ndjson.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut products: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for product in &mut products {
        product["weight"] = Value::Null;
        product["details"] = Value::Null;
    }
    products.extend(oddities());
    products
}

/// The table, in types that each database calls its own way.
fn table(text: &str, double: &str, collation: &str) -> String {
    let columns = COLUMNS.map(|column| match column {
        "id" => "id bigint primary key".to_owned(),
        "weight" => format!("weight {double}"),
        "details" => "details json".to_owned(),
        _ if INTEGERS.contains(&column) => format!("{column} bigint"),
        _ => format!("{column} {text} {collation}"),
    });
    format!("create table products ({})", columns.join(", "))
}

macro_rules! fill {
    ($connection:expr, $products:expr, $table:expr, $json:expr) => {
        sqlx::raw_sql(sqlx::AssertSqlSafe($table))
            .execute(&mut *$connection)
            .await
            .unwrap();
        for chunk in $products.chunks(500) {
            let mut insert = QueryBuilder::new("insert into products ");
            insert.push_values(chunk, |mut row, product: &Value| {
                for column in COLUMNS {
                    let value = &product[column];
                    match column {
                        "weight" => row.push_bind(value.as_f64()),
                        "details" => {
                            row.push_bind((!value.is_null()).then(|| value.to_string()));
                            row.push_unseparated($json)
                        }
                        _ if INTEGERS.contains(&column) => row.push_bind(value.as_i64()),
                        _ => row.push_bind(value.as_str().map(str::to_owned)),
                    };
                }
            });
            insert.build().execute(&mut *$connection).await.unwrap();
        }
    };
}

/// An origin of the catalogue, under its name.
fn origin(name: &str, kind: OriginKind) -> OriginConfig {
    OriginConfig {
        changes: Default::default(),
        name: name.into(),
        timeout: TIMEOUT,
        bounds: Default::default(),
        kind,
    }
}

fn sql(url: String) -> OriginKind {
    OriginKind::Sql {
        url: Secret::new(url),
        max_transaction_time: None,
        strict: false,
    }
}

/// The listings `<origin>:{category}` of an origin.
fn listings(origin: &str, query: Option<&str>, sort_in_memory_max: u64) -> Definition {
    let mut definition = definition(&format!("{origin}:{{category}}"), "");
    definition.origin = origin.into();
    definition.query = query.map(Into::into);
    definition.sorts = SORTS
        .iter()
        .map(|(name, columns)| Sort {
            name: SortName::parse(name).unwrap(),
            by: by(columns),
            desc: Descending::Mirrored,
        })
        .collect();
    definition.policy = Arc::new(Policy {
        fresh_for: Duration::from_secs(3600),
        keep_for: Duration::from_secs(7200),
        sort_in_memory_max,
        ..Policy::default()
    });
    definition
}

/// The items of every page of a listing, in one sort and order.
async fn pages(engine: &Arc<Engine>, name: &str, sort: &str, order: Order) -> Vec<Vec<String>> {
    let asked = Asked {
        sort: Some(sort),
        order,
        ..Asked::default()
    };
    let selection = engine
        .pages
        .selector
        .select(&ListingName::parse(name).unwrap(), asked)
        .await
        .unwrap();
    let mut pages: Vec<Vec<String>> = Vec::new();
    loop {
        let place = Place::Offset {
            offset: pages.iter().map(|page| page.len() as u64).sum(),
            limit: NonZeroU32::new(25).unwrap(),
            pinned: None,
        };
        let page = shop::read(engine, &selection, &place).await.unwrap();
        pages.push(texts(&page));
        if page.count < 25 {
            return pages;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_catalogue_through_every_origin_gives_the_same_bytes() {
    let products = products();
    let directory = tempfile::tempdir().unwrap();

    let mut postgres = PostgresDatabase::create("select 1").await;
    let icu = "collate \"en-x-icu\"";
    fill!(
        &mut postgres.writer,
        products,
        table("text", "double precision", icu),
        "::json"
    );
    let mut mariadb = MariadbDatabase::create("set sql_mode = 'STRICT_ALL_TABLES'").await;
    fill!(&mut mariadb.writer, products, table("varchar(200)", "double", ""), "");
    let sqlite = directory.path().join("catalogue.db");
    let mut writer: SqliteConnection = SqliteConnectOptions::new()
        .filename(&sqlite)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    fill!(&mut writer, products, table("text", "real", "collate nocase"), "");
    let file = directory.path().join("products.ndjson");
    let lines: String = products.iter().map(|product| format!("{product}\n")).collect();
    std::fs::write(&file, lines).unwrap();

    // A further origin is a line here.
    let api = apis::start(&products);
    let mut origins = vec![
        origin(
            "file",
            OriginKind::File {
                path: file,
                watch: false,
                csv: Default::default(),
                decimal_comma: false,
            },
        ),
        origin("sqlite", sql(format!("sqlite:{}", sqlite.display()))),
        origin("postgres", sql(postgres.url())),
        origin("mariadb", sql(mariadb.url())),
    ];
    origins.extend(apis::origins(&api));
    let mut categories: BTreeMap<&str, usize> = BTreeMap::new();
    for product in &products {
        *categories.entry(product["category"].as_str().unwrap()).or_default() += 1;
    }
    // Small ones, and the largest.
    let mut chosen: Vec<&str> = categories
        .iter()
        .filter(|(_, count)| **count < 100)
        .map(|(name, _)| *name)
        .take(8)
        .collect();
    chosen.extend(["ODD", "SOFT DRINKS", "BREAD"]);

    let mut compared = 0;
    // Sorted in the process, and by each database.
    for sort_in_memory_max in [50_000, 0] {
        let redis = RedisServer::start();
        let defined = origins.iter().map(|origin| {
            let query = match origin.kind {
                OriginKind::Sql { .. } => Some("select * from products where category = :category"),
                OriginKind::File { .. } => None,
                OriginKind::Http(_) => {
                    let style = apis::STYLES.iter().find(|(name, ..)| *name == &*origin.name);
                    style.map(|(.., request)| *request)
                }
            };
            listings(&origin.name, query, sort_in_memory_max)
        });
        let engine = Engine::start(EngineParts {
            cdns: Vec::new(),
            store: shop::store(&redis.url()).await,
            origins: Origins::open(&origins).unwrap(),
            definitions: definitions(defined.collect()),
            l1: shop::l1(),
            limits: EngineLimits {
                fill_wait: TIMEOUT,
                ..EngineLimits::default()
            },
            metrics: Arc::new(Metrics::new()),
            refreshes_due: false,
        });
        for category in &chosen {
            for (sort, _) in SORTS {
                for order in [Order::Asc, Order::Desc] {
                    let expect = pages(&engine, &format!("file:{category}"), sort, order).await;
                    assert_eq!(expect.iter().map(Vec::len).sum::<usize>(), categories[category]);
                    for other in &origins[1..] {
                        let name = format!("{}:{category}", other.name);
                        let found = pages(&engine, &name, sort, order).await;
                        assert_eq!(found, expect, "{name} by {sort} {}", order.as_str());
                        compared += found.len();
                    }
                }
            }
        }
    }
    eprintln!("{} products: {compared} pages are the same bytes", products.len());
}
