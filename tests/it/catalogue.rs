//! A real catalogue, every category in six sorts: all pages of every size, in both orders, against an independent sort.
//!
//! With the full catalogue beside the project (68,167 products) that is used; else the sample in `fixtures/`.

mod over_http;

use std::{
    collections::BTreeMap,
    io::Read as _,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use listcache::{
    config::{OriginConfig, OriginKind, Secret},
    engine::{Asked, Engine, EngineLimits, EngineParts, Place},
    listing::{
        Definition, ListingName, Order, Policy, SortName,
        definition::{Descending, Links, Names, Sort, SortColumn},
        pattern::NamePattern,
    },
    origin::{Origins, SampleCatalogue},
    telemetry::Metrics,
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{
    RedisServer,
    shop::{self, definitions, texts},
};

const SIZES: [u32; 12] = [1, 5, 7, 10, 12, 24, 25, 36, 48, 96, 100, 250];
const SORTS: [(&str, &str); 6] = [
    ("price", "price_cents"),
    ("list_price", "list_cents"),
    ("name", "name"),
    ("popularity", "orders desc"),
    ("newest", "first_sold desc"),
    ("discount", "discount desc"),
];

/// The catalogue's NDJSON, gzipped: the full one where it lies beside the project.
pub fn catalogue_file() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let full = root.join("../shared/data/grocery-products.ndjson.gz");
    if full.exists() {
        full
    } else {
        root.join("fixtures/catalogue.ndjson.gz")
    }
}

fn products(file: &Path) -> Vec<Value> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(file).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The products of each category.
fn by_category_members(products: &[Value]) -> BTreeMap<&str, Vec<&Value>> {
    let mut categories: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for product in products {
        if let Some(category) = product["category"].as_str() {
            categories.entry(category).or_default().push(product);
        }
    }
    categories
}

pub fn sorts() -> Vec<Sort> {
    let sort = |(name, by): (&str, &str)| {
        let (column, descending) = match by.strip_suffix(" desc") {
            Some(column) => (column, true),
            None => (by, false),
        };
        Sort {
            name: SortName::parse(name).unwrap(),
            by: vec![SortColumn {
                column: column.into(),
                descending,
            }],
            desc: Descending::Mirrored,
        }
    };
    SORTS.into_iter().map(sort).collect()
}

pub fn catalogue_definition(pattern: &str, query: &str, names: Option<Names>) -> Definition {
    Definition {
        pattern: NamePattern::parse(pattern).unwrap(),
        origin: "shop".into(),
        query: Some(query.into()),
        id: "id".into(),
        names,
        names_of: None,
        next_change_query: None,
        item_query: None,
        sorts: sorts(),
        variants: Vec::new(),
        filters: Default::default(),
        hidden: Default::default(),
        fields: Vec::new(),
        policy: Arc::new(Policy {
            fresh_for: Duration::from_secs(3600),
            keep_for: Duration::from_secs(7200),
            ..Policy::default()
        }),
        links: Links::Pinned,
        version_query: None,
        hashes: Default::default(),
    }
}

pub fn by_category() -> Definition {
    catalogue_definition(
        "category:{category}",
        "select *, list_cents - price_cents as discount from products where category = :category",
        Some(Names::Query(
            "select distinct category from products where category is not null".into(),
        )),
    )
}

/// An engine on the catalogue in SQLite.
pub async fn catalogue_engine(redis: &RedisServer, directory: &Path, defined: Vec<Definition>) -> Arc<Engine> {
    let sample = SampleCatalogue::create_from(
        &directory.join("catalogue.db"),
        &std::fs::read(catalogue_file()).unwrap(),
    )
    .await
    .unwrap();
    let origins = Origins::open(&[OriginConfig {
        changes: Default::default(),
        name: "shop".into(),
        timeout: Duration::from_secs(60),
        bounds: Default::default(),
        kind: OriginKind::Sql {
            max_transaction_time: None,
            strict: false,
            url: Secret::new(sample.url()),
        },
    }])
    .unwrap();
    Engine::start(EngineParts {
        cdns: Vec::new(),
        store: shop::store(&redis.url()).await,
        origins,
        definitions: definitions(defined),
        l1: shop::l1(),
        limits: EngineLimits {
            fill_wait: Duration::from_secs(60),
            ..EngineLimits::default()
        },
        metrics: Arc::new(Metrics::new()),
        refreshes_due: false,
    })
}

/// The ids of a category in a sort, by Rust's own stable sort on what the products say.
fn expected(products: &[&Value], by: &str) -> Vec<u64> {
    let key = |product: &Value| -> (bool, i64, String) {
        let number = |member: &str| product[member].as_i64();
        match by {
            "price_cents" | "list_cents" => (number(by).is_none(), number(by).unwrap_or(0), String::new()),
            "orders desc" => (
                number("orders").is_none(),
                -number("orders").unwrap_or(0),
                String::new(),
            ),
            "discount desc" => {
                let discount = number("list_cents")
                    .zip(number("price_cents"))
                    .map(|(list, price)| list - price);
                (discount.is_none(), -discount.unwrap_or(0), String::new())
            }
            "name" => (product[by].is_null(), 0, product[by].as_str().unwrap_or("").to_owned()),
            _ => panic!("{by}"),
        }
    };
    let mut sorted: Vec<&Value> = products.to_vec();
    sorted.sort_by_key(|product| product["id"].as_u64());
    if by == "first_sold desc" {
        sorted.sort_by(|one, other| {
            let (one, other) = (one["first_sold"].as_str(), other["first_sold"].as_str());
            (one.is_none(), other.map(str::as_bytes)).cmp(&(other.is_none(), one.map(str::as_bytes)))
        });
    } else {
        sorted.sort_by_key(|product| key(product));
    }
    sorted.iter().map(|product| product["id"].as_u64().unwrap()).collect()
}

fn id_of(text: &str) -> u64 {
    let digits = text.trim_start_matches("{\"id\":");
    let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap();
    digits[..end].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_every_size_and_order_concatenate_to_an_independent_sort() {
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().unwrap();
    let engine = catalogue_engine(&redis, directory.path(), vec![by_category()]).await;
    let products = products(&catalogue_file());
    let categories = by_category_members(&products);
    let names = engine.declaration.enumerate().await.unwrap();
    assert_eq!(names.len(), categories.len());

    let started = Instant::now();
    let mut checks = JoinSet::new();
    let mut running = Vec::new();
    for (category, members) in &categories {
        let expect: Vec<Vec<u64>> = SORTS.iter().map(|(_, by)| expected(members, by)).collect();
        running.push((format!("category:{category}"), expect));
    }
    let work = Arc::new(parking_lot::Mutex::new(running));
    for _ in 0..4 {
        let (engine, work) = (engine.clone(), work.clone());
        checks.spawn(async move {
            let mut pages = 0;
            loop {
                let Some((name, expect)) = work.lock().pop() else {
                    return pages;
                };
                pages += check_category(&engine, &name, &expect).await;
            }
        });
    }
    let mut pages = 0;
    while let Some(checked) = checks.join_next().await {
        pages += checked.unwrap();
    }
    eprintln!(
        "{} products, {} categories, {} sorts: {pages} pages right in {:?}",
        products.len(),
        categories.len(),
        SORTS.len(),
        started.elapsed()
    );
}

async fn check_category(engine: &Arc<Engine>, name: &str, expect: &[Vec<u64>]) -> u64 {
    let name = ListingName::parse(name).unwrap();
    let mut pages = 0;
    tokio::task::yield_now().await;
    for ((sort, _), ascending) in SORTS.iter().zip(expect) {
        let descending: Vec<u64> = ascending.iter().rev().copied().collect();
        for (order, expect) in [(Order::Asc, ascending), (Order::Desc, &descending)] {
            let asked = Asked {
                sort: Some(sort),
                order,
                ..Asked::default()
            };
            let selection = engine.pages.selector.select(&name, asked).await.unwrap();
            for size in SIZES {
                let mut seen = Vec::with_capacity(expect.len());
                loop {
                    let place = Place::Offset {
                        offset: seen.len() as u64,
                        limit: NonZeroU32::new(size).unwrap(),
                        pinned: None,
                    };
                    let page = shop::read(engine, &selection, &place).await.unwrap();
                    pages += 1;
                    assert_eq!(page.meta.total as usize, expect.len(), "{name} {sort}");
                    seen.extend(texts(&page).iter().map(|text| id_of(text)));
                    if page.count < u64::from(size) || seen.len() >= expect.len() {
                        break;
                    }
                }
                assert!(
                    seen == *expect,
                    "{name} by {sort} {} in pages of {size}",
                    order.as_str()
                );
            }
        }
    }
    pages
}

/// Deep pages are flat: the last full page of the longest listing costs what the first does.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_page_of_a_long_listing_costs_what_the_first_does() {
    const PAIRS: usize = 1500;
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().unwrap();
    let whole = catalogue_definition(
        "all",
        "select *, list_cents - price_cents as discount from products",
        None,
    );
    let engine = catalogue_engine(&redis, directory.path(), vec![whole]).await;
    let name = ListingName::parse("all").unwrap();
    let selection = engine.pages.selector.select(&name, Asked::default()).await.unwrap();
    let limit = NonZeroU32::new(24).unwrap();
    let first = Place::Offset {
        offset: 0,
        limit,
        pinned: None,
    };
    let total = shop::read(&engine, &selection, &first).await.unwrap().meta.total;
    let generation = shop::read(&engine, &selection, &first).await.unwrap().meta.generation;
    // The store is asked, so that neither L1 nor the head takes part.
    let store = shop::store(&redis.url()).await;
    let last_chunk = total / 12;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..PAIRS {
        for (at, chunks) in [0..2, last_chunk - 2..last_chunk].into_iter().enumerate() {
            let started = Instant::now();
            let read = store
                .pages
                .chunks(&selection.key, generation, None, chunks)
                .await
                .unwrap();
            times[at].push(started.elapsed());
            assert_eq!(read.len(), 2);
        }
    }
    let [first, last] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    let ratio = last.as_secs_f64() / first.as_secs_f64();
    eprintln!("{total} items: first page {first:?}, last {last:?}, ratio {ratio:.3}, {PAIRS} pairs");
    assert!(ratio <= 1.25, "{ratio}");
}
