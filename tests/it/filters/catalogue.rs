//! Random combinations over a catalogue through five origins: every page, total and count, held against a plain filter, sort and
//! group-by of the rows.
//!
//! `make test` asks for a thousand combinations of the sample in `fixtures/`. `make catalogue` asks for 20,000 of the full catalogue
//! (68,167 products, 302 categories) where it lies beside the project: `COMBINATIONS`, evenly over the origins.

mod asked;
mod model;
mod origins;
mod rows;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use self::{
    asked::{Asked, encoded},
    origins::Source,
    rows::{Catalogue, SORTS},
};
use crate::support::{RedisServer, service::Service};

/// Origins that the combinations are divided among.
const ORIGINS: usize = 5;
/// Combinations in all, unless `COMBINATIONS` says otherwise.
const COMBINATIONS: usize = 1000;
/// Pages of a walk at most.
const PAGES_MAX: usize = 12;
/// One walk in so many goes to the end, however long it is, in pages of the greatest size.
const LONG_EVERY: usize = 100;
const LONG_SIZE: usize = 250;
/// Connections that ask at the same time.
const WALKERS: usize = 4;
/// The longest answer is that of a listing which is read from its origin first.
const PATIENCE: Duration = Duration::from_secs(120);

/// Combinations that are asked for by the environment, in all.
fn asked_for() -> Option<usize> {
    let given = std::env::var("COMBINATIONS").ok()?;
    Some(given.parse().expect("COMBINATIONS is a number"))
}

/// The catalogue: where combinations are asked for by the environment, the full one.
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let root = env!("CARGO_MANIFEST_DIR");
    let file = match asked_for() {
        Some(_) => crate::catalogue::catalogue_file(),
        None => PathBuf::from(root).join("fixtures/catalogue.ndjson.gz"),
    };
    Catalogue::read(&file)
});

/// Counts of all walks so far.
#[derive(Default)]
struct Seen {
    next: AtomicUsize,
    pages: AtomicUsize,
    items: AtomicUsize,
    /// Walks from the first match to the last.
    whole: AtomicUsize,
    /// Combinations that match nothing.
    empty: AtomicUsize,
    listings: Mutex<BTreeSet<String>>,
}

/// Asks for the combinations of the n-th origin. Each origin has its own.
async fn check(nth: usize, name: &str, source: Source) {
    let combinations = asked_for().unwrap_or(COMBINATIONS) / ORIGINS;
    let first = nth * combinations;
    let redis = RedisServer::start();
    let service = Arc::new(Service::start(&source.config(&redis.url())));
    let (seen, begun) = (Arc::new(Seen::default()), Instant::now());
    let mut walkers = JoinSet::new();
    for _ in 0..WALKERS {
        let (service, seen) = (service.clone(), seen.clone());
        walkers.spawn(async move {
            loop {
                let number = seen.next.fetch_add(1, Ordering::Relaxed);
                if number >= combinations {
                    return;
                }
                walk(&service, first + number, &seen).await;
            }
        });
    }
    while let Some(walked) = walkers.join_next().await {
        walked.unwrap();
    }
    let [pages, items, whole, empty] =
        [&seen.pages, &seen.items, &seen.whole, &seen.empty].map(|count| count.load(Ordering::Relaxed));
    let listings = seen.listings.lock().len();
    println!(
        "{name}: {combinations} combinations of {listings} listings, {} products: {pages} pages, {items} items, 0 differences; \
         {whole} walks from first to last, {empty} without a match; {:.0} s",
        CATALOGUE.rows.len(),
        begun.elapsed().as_secs_f64()
    );
    assert!(items > 10 * combinations && whole * 4 > combinations && empty * 4 < combinations);
    // The family of a listing is read once, or once for each sort where it is long.
    let reads = service.metric("listcache_origin_reads_total").await;
    let reads_max = listings + 2 * SORTS.len();
    assert!(
        reads <= reads_max as f64,
        "{reads} reads of the origin for {listings} listings"
    );
}

/// Asks for the combination of a number, and walks from some match on.
async fn walk(service: &Service, number: usize, seen: &Seen) {
    let catalogue = &*CATALOGUE;
    let mut rng = Rng::with_seed(number as u64);
    let all: Vec<usize>;
    let (listing, members) = match number % 2 {
        0 => {
            all = (0..catalogue.rows.len()).collect();
            ("all".to_owned(), &all)
        }
        _ => {
            let (category, members) = &catalogue.categories[number / 2 % catalogue.categories.len()];
            (format!("category%3A{}", encoded(category)), members)
        }
    };
    let mut asked = Asked::any(catalogue, members, &mut rng);
    let pages_max = match number % LONG_EVERY {
        0 => {
            asked.size = LONG_SIZE;
            usize::MAX
        }
        _ => PAGES_MAX,
    };
    let expected = model::matches(catalogue, members, &asked);
    let total = expected.len();
    let offset = match rng.u8(0..4) {
        _ if pages_max > PAGES_MAX => 0,
        0 | 1 => 0,
        2 => rng.usize(0..=total.min(60)),
        // Beyond the end too.
        _ => rng.usize(0..total + 10),
    };
    let follows_links = rng.bool();
    let base = format!("/v1/listings/{listing}?{}", asked.query(offset));
    let said = format!("combination {number}, {base}");
    let (mut path, mut ids, mut pages, mut generation) = (base, Vec::new(), 0, None);
    loop {
        let page = page(service, &path).await;
        if pages == 0 {
            model::check_facets(catalogue, members, &asked, &page, &said);
        }
        assert_eq!(page["total"], total, "{said}");
        assert_eq!(
            *generation.get_or_insert_with(|| page["generation"].clone()),
            page["generation"],
            "{said}"
        );
        let here = ids_of(&page);
        assert_eq!(page["count"], here.len(), "{said}");
        ids.extend(here);
        pages += 1;
        let next = page["links"]["next"].as_str();
        let at = offset + pages * asked.size;
        assert_eq!(next.is_some(), at < total, "{said}: page {pages} of {total} items");
        match next {
            Some(next) if pages < pages_max && follows_links => path = next.to_owned(),
            Some(_) if pages < pages_max => path = format!("/v1/listings/{listing}?{}", asked.query(at)),
            _ => break,
        }
    }
    let window = expected.iter().copied().skip(offset).take(pages * asked.size);
    assert!(
        ids.iter().copied().eq(window),
        "{said}: {pages} pages from {offset} on\n{ids:?}"
    );
    let counts = [
        (&seen.pages, pages),
        (&seen.items, ids.len()),
        (&seen.whole, usize::from(ids.len() == total)),
        (&seen.empty, usize::from(total == 0)),
    ];
    for (count, more) in counts {
        count.fetch_add(more, Ordering::Relaxed);
    }
    seen.listings.lock().insert(listing);
}

async fn page(service: &Service, path: &str) -> Value {
    let answer = service
        .request(Method::GET, path)
        .timeout(PATIENCE)
        .send()
        .await
        .unwrap();
    let (status, bytes) = (answer.status(), answer.bytes().await.unwrap());
    assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).unwrap()
}

/// The ids of a page: numbers, or texts where the origin has them so.
fn ids_of(page: &Value) -> Vec<i64> {
    let items = page["items"].as_array().unwrap();
    let id = |item: &Value| item["id"].as_i64().or_else(|| item["id"].as_str()?.parse().ok());
    items.iter().map(|item| id(item).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_combination_is_a_plain_filter_of_the_rows_on_sqlite() {
    check(0, "SQLite", Source::sqlite(&CATALOGUE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_combination_is_a_plain_filter_of_the_rows_on_postgresql() {
    check(1, "PostgreSQL", Source::postgres(&CATALOGUE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_combination_is_a_plain_filter_of_the_rows_on_mariadb() {
    check(2, "MariaDB", Source::mariadb(&CATALOGUE).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_combination_is_a_plain_filter_of_the_rows_on_ndjson() {
    check(3, "NDJSON", Source::ndjson(&CATALOGUE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_combination_is_a_plain_filter_of_the_rows_on_a_json_api() {
    check(4, "JSON:API", Source::json_api(&CATALOGUE)).await;
}
