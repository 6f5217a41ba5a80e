//! The same catalogue over HTTP: every category, sort and order walked by the links of its pages.

use std::{sync::Arc, time::Instant};

use listcache::{listing::ListingName, origin::SampleCatalogue};
use parking_lot::Mutex;
use reqwest::Method;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::{SORTS, by_category_members, catalogue_file, expected, products};
use crate::support::{RedisServer, service::Service};

const SIZES: [u32; 3] = [7, 24, 250];

/// Connections that walk at the same time.
const WALKERS: usize = 8;

#[derive(Deserialize)]
struct Page {
    total: usize,
    count: usize,
    links: Links,
    items: Vec<Product>,
}

#[derive(Deserialize)]
struct Links {
    next: Option<String>,
}

#[derive(Deserialize)]
struct Product {
    id: u64,
}

fn config(redis: &str, database: &str) -> String {
    format!(
        r#"
        [http]
        fill_wait = "60s"

        [redis]
        url = "{redis}"
        # Pages are checked here, not times: a busy machine may take longer.
        read_timeout = "10s"

        [origins.shop]
        kind = "sql"
        url = "{database}"

        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        names = "select distinct category from products where category is not null"
        query = "select *, list_cents - price_cents as discount from products where category = :category"
        id = "id"
        fresh_for = "1h"
        keep_for = "2h"
        pin_for = "2h"

        [listings.sorts]
        price = {{ by = ["price_cents"] }}
        list_price = {{ by = ["list_cents"] }}
        name = {{ by = ["name"] }}
        popularity = {{ by = ["orders desc"] }}
        newest = {{ by = ["first_sold desc"] }}
        discount = {{ by = ["discount desc"] }}
        "#
    )
}

/// One listing in one order, and the ids that it must have.
struct Walk {
    path: String,
    expect: Arc<Vec<u64>>,
}

async fn follow(service: &Service, walk: &Walk, size: u32) -> u64 {
    let mut next = Some(format!("{}&size={size}", walk.path));
    let mut seen = Vec::with_capacity(walk.expect.len());
    let mut pages = 0;
    while let Some(path) = next {
        let response = service.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let page: Page = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(
            (page.total, page.count),
            (walk.expect.len(), page.items.len()),
            "{path}"
        );
        seen.extend(page.items.iter().map(|item| item.id));
        pages += 1;
        next = page.links.next;
    }
    assert!(seen == *walk.expect, "{} in pages of {size}", walk.path);
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn every_category_and_sort_walked_over_http_is_an_independent_sort() {
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("catalogue.db");
    let sample = SampleCatalogue::create_from(&file, &std::fs::read(catalogue_file()).unwrap())
        .await
        .unwrap();
    let service = Arc::new(Service::start(&config(&redis.url(), &sample.url())));

    let products = products(&catalogue_file());
    let mut walks = Vec::new();
    for (category, members) in by_category_members(&products) {
        let name = ListingName::parse(&format!("category:{category}")).unwrap();
        for (sort, by) in SORTS {
            let ascending = expected(&members, by);
            let descending = ascending.iter().rev().copied().collect();
            for (order, expect) in [("asc", ascending), ("desc", descending)] {
                walks.push(Walk {
                    path: format!("/v1/listings/{}?sort={sort}&order={order}", name.encoded()),
                    expect: Arc::new(expect),
                });
            }
        }
    }
    let (listings, started) = (walks.len(), Instant::now());
    let work = Arc::new(Mutex::new(walks));
    let mut walkers = JoinSet::new();
    for _ in 0..WALKERS {
        let (service, work) = (service.clone(), work.clone());
        walkers.spawn(async move {
            let mut pages = 0;
            loop {
                let Some(walk) = work.lock().pop() else {
                    return pages;
                };
                for size in SIZES {
                    pages += follow(&service, &walk, size).await;
                }
            }
        });
    }
    let pages: u64 = walkers.join_all().await.iter().sum();
    eprintln!(
        "{listings} listings walked over http: {pages} pages right in {:?}",
        started.elapsed()
    );
}
