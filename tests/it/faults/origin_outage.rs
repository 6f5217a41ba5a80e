//! An origin that fails for longer than a listing is kept: two nodes, readers at both all the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use super::{Answer, get};
use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer},
    eventually,
    service::Service,
};

const FRESH_FOR: f64 = 1.0;
const KEEP_FOR: f64 = 14.0;
/// Milliseconds are cut off, and a node's reckoning of Redis's clock is a little off.
const CLOCK: f64 = 0.01;
const PATH: &str = "/v1/listings/category:BREAD";

/// How old a page's items are, by its generation: ids are microseconds of Redis's clock, which is this machine's.
fn age(page: &Answer) -> f64 {
    let generation = page.body["generation"].as_str().unwrap();
    let drawn: u64 = generation.split_once('-').unwrap().0.parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    now.as_secs_f64() - drawn as f64 / 1e6
}

/// A whole number in a header's value.
fn number(value: &str, after: &str) -> Option<i64> {
    let rest = value.split(after).nth(1)?;
    let end = rest
        .find(|c: char| c != '-' && !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[track_caller]
fn is_a_true_page(page: &Answer) {
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.ids(), [1, 2], "{page:?}");
    let (age, ttl) = (age(page), number(&page.cache_status, "ttl=").unwrap() as f64);
    // Whole seconds, and what passed until it was looked at here.
    assert!(
        (FRESH_FOR - age - 1.0 - CLOCK..=FRESH_FOR - age + 1.5).contains(&ttl),
        "{age} {page:?}"
    );
    if age > FRESH_FOR + 0.1 {
        assert!(ttl < 0.0, "{page:?}");
        assert!(number(&page.cache_control, "max-age=").unwrap() <= 5, "{page:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_fails_pages_are_stale_and_true_then_503_and_it_is_asked_once_a_back_off_step() {
    let redis = RedisServer::start();
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen = asked.clone();
    let works = Arc::new(AtomicBool::new(true));
    let working = works.clone();
    let api = Api::start(move |_| {
        seen.lock().push(Instant::now());
        match working.load(Ordering::SeqCst) {
            true => ApiAnswer::json(r#"[{"id": 1, "price": 1}, {"id": 2, "price": 2}]"#),
            false => ApiAnswer::status(500),
        }
    });
    // A request is not repeated within a refresh: each that the origin sees is an attempt.
    let config = format!(
        r#"
        redis.url = "{}"
        [origins.shop]
        kind = "http"
        url = "{}"
        paging = "none"
        retries = 0
        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        query = "GET /:category"
        fresh_for = "1s"
        keep_for = "14s"
        sorts.price = {{ by = ["price"] }}
        "#,
        redis.url(),
        api.url
    );
    let nodes = [Service::start(&config), Service::start(&config)];
    for node in &nodes {
        is_a_true_page(&get(node, PATH).await);
    }
    works.store(false, Ordering::SeqCst);
    let asked_before = asked.lock().len();

    let (mut stale, mut gone) = (0, 0);
    let mut last = get(&nodes[0], PATH).await;
    while gone < 40 {
        for node in &nodes {
            let page = get(node, PATH).await;
            page.came_at_once();
            match page.status {
                200 => {
                    is_a_true_page(&page);
                    stale += usize::from(page.cache_status.contains("origin-error"));
                    last = page;
                }
                _ => {
                    page.is_a_clean_503();
                    assert!(age(&last) > KEEP_FOR - 0.1, "given up early: {page:?}");
                    gone += 1;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(stale > 50, "{stale} stale pages");
    assert!(age(&last) < KEEP_FOR + 2.0, "served for too long");

    works.store(true, Ordering::SeqCst);
    let back = Instant::now();
    let attempts = asked.lock()[asked_before..].to_vec();
    eventually(async || {
        let pages = [get(&nodes[0], PATH).await, get(&nodes[1], PATH).await];
        match pages.iter().all(|page| page.status == 200) {
            true => Ok(()),
            false => Err(pages),
        }
    })
    .await;
    let recovered = back.elapsed();

    // Whichever node attempts it: 1 s, 2 s, 4 s, … apart, a tenth more or less.
    let gaps: Vec<f64> = attempts
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect();
    eprintln!("{stale} stale pages; attempts {gaps:.1?} s apart; back after {recovered:?}");
    assert!((3..=5).contains(&attempts.len()), "{gaps:?}");
    for (step, gap) in gaps.iter().enumerate() {
        assert!(*gap >= 0.9 * f64::from(1 << step), "{gaps:?}");
    }
    let step = 1.1 * f64::from(1 << gaps.len());
    assert!(recovered.as_secs_f64() <= step, "{recovered:?} {gaps:?}");
}

/// An import that empties the table, while everybody reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_truncated_under_load_empties_no_page() {
    let redis = RedisServer::start();
    let truncated = Arc::new(AtomicBool::new(false));
    let reads_empty = Arc::new(AtomicBool::new(false));
    let (is_truncated, was_read) = (truncated.clone(), reads_empty.clone());
    let api = Api::start(move |_| match is_truncated.load(Ordering::SeqCst) {
        true => {
            was_read.store(true, Ordering::SeqCst);
            ApiAnswer::json("[]")
        }
        false => ApiAnswer::json(r#"[{"id": 1, "price": 1}, {"id": 2, "price": 2}]"#),
    });
    // Two items count as many here: of few, none would be believed at the second time.
    let config = format!(
        "redis.url = '{}'\n[origins.shop]\nkind = 'http'\nurl = '{}'\npaging = 'none'\n[[listings]]\nname = 'category:{{category}}'\n\
         origin = 'shop'\nquery = 'GET /:category'\nfresh_for = '1s'\nmax_shrink_from = 1\nsorts.price = {{ by = ['price'] }}\n\
         names = ['BREAD', 'EMPTY']\n",
        redis.url(),
        api.url
    );
    let node = Arc::new(Service::start(&config));
    assert_eq!(get(&node, PATH).await.ids(), [1, 2]);
    let stop = Arc::new(AtomicBool::new(false));
    let readers = [0; 4].map(|_| {
        let (node, stop) = (node.clone(), stop.clone());
        tokio::spawn(async move {
            let mut pages = 0_u32;
            while !stop.load(Ordering::SeqCst) {
                let page = get(&node, PATH).await;
                assert_eq!((page.status, page.ids()), (200, vec![1, 2]), "{page:?}");
                pages += 1;
            }
            pages
        })
    });
    truncated.store(true, Ordering::SeqCst);
    // Until it was read, refused, and tried once more.
    eventually(async || {
        let refused = node.metric("listcache_refreshes_total{outcome=\"refused\"}").await;
        match (reads_empty.load(Ordering::SeqCst), refused) {
            (true, refused) if refused >= 2.0 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // A listing that never had items is empty, and that is no refusal.
    assert_eq!(get(&node, "/v1/listings/category:EMPTY").await.body["total"], 0);
    stop.store(true, Ordering::SeqCst);
    let mut pages = 0;
    for reader in readers {
        pages += reader.await.unwrap();
    }
    assert!(pages > 100, "{pages} pages");
}
