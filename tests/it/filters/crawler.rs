//! A crawler asks for one combination of filters after another, beside an honest reader. Nothing of it stays.
//!
//! `make test` asks for some thousand combinations, `make catalogue` for a million: `CRAWLED`.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fastrand::Rng;
use listcache::listing::name::encode_query_value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    task::JoinSet,
};

use super::{FILTERS, PRODUCTS, Shop};
use crate::support::eventually;

/// Combinations, unless `CRAWLED` says otherwise.
const CRAWLED: u64 = 10_000;
/// The crawler's connections, and the requests that each sends before it reads their answers.
const CONNECTIONS: u64 = 4;
const AT_ONCE: u64 = 16;
/// Memory for columns and matches: the matches of some hundred combinations fit.
const FILTERS_MAX: f64 = 1024.0 * 1024.0;
/// Rounds of the honest reader through all its pages, before and after.
const HONEST_ROUNDS: usize = 20;
const SAMPLE_EVERY: Duration = Duration::from_millis(200);

/// The pages of the honest reader.
fn honest_pages() -> Vec<String> {
    let filters = [
        "",
        "&f.brand=Private",
        "&f.brand=National&facets=brand,kind",
        "&f.price_cents=100..%3C500",
        "&f.brand=Private&f.price_cents=..300&facets=price_cents",
        "&f.kind=SHREDDED%20CHEESE",
    ];
    let pages = filters.iter().flat_map(|filter| {
        ["price", "name"]
            .into_iter()
            .flat_map(move |sort| [1, 2].map(|page| format!("/v1/listings/all?sort={sort}&page={page}{filter}")))
    });
    pages.collect()
}

/// A combination that hardly anybody asks for twice.
fn any_combination(rng: &mut Rng) -> String {
    let order = if rng.bool() { "asc" } else { "desc" };
    let sort = if rng.bool() { "price" } else { "name" };
    let offset = rng.u32(0..40);
    let mut path = format!("/v1/listings/all?sort={sort}&order={order}&limit=1&offset={offset}");
    let least = rng.i64(0..1500);
    let (most, open) = (least + rng.i64(0..3000), if rng.bool() { "%3C" } else { "" });
    path.push_str(&format!("&f.price_cents={least}..{open}{most}"));
    for _ in 0..rng.u8(0..4) {
        let kind = &rng.choice(&*PRODUCTS).unwrap().kind;
        path.push_str(&format!("&f.kind={}", encode_query_value(kind)));
    }
    if rng.bool() {
        path.push_str(&format!("&f.brand={}", rng.choice(&*PRODUCTS).unwrap().brand));
    }
    if rng.u8(0..8) == 0 {
        path.push_str("&facets=brand,kind,price_cents");
    }
    path
}

fn is_page(head: &str) -> bool {
    head.starts_with("http/1.1 200 ")
}

/// A connection that sends several requests before it reads.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::with_capacity(64 * 1024, stream)))
    }

    /// The heads of the answers. Each must be a page, or a 503 that says when to come again.
    async fn ask(&mut self, paths: &[String]) -> io::Result<Vec<String>> {
        let requests: String = paths
            .iter()
            .map(|path| format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n"))
            .collect();
        self.0.get_mut().write_all(requests.as_bytes()).await?;
        let (mut heads, mut body) = (Vec::with_capacity(paths.len()), Vec::new());
        for path in paths {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if self.0.read_line(&mut head).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let head = head.to_ascii_lowercase();
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split('\r').next());
            body.resize(length.unwrap().parse().unwrap(), 0);
            self.0.read_exact(&mut body).await?;
            let is_shed = head.starts_with("http/1.1 503 ") && head.contains("retry-after: ");
            assert!(
                is_page(&head) || is_shed,
                "{path}: {head}{}",
                String::from_utf8_lossy(&body)
            );
            heads.push(head);
        }
        Ok(heads)
    }
}

/// The answers to the honest reader: the number from L1, and the time of each.
#[derive(Default)]
struct Honest {
    hits: usize,
    took: Vec<Duration>,
}

impl Honest {
    async fn read(&mut self, connection: &mut Connection) {
        for path in honest_pages() {
            let begun = Instant::now();
            let heads = connection.ask(std::slice::from_ref(&path)).await.unwrap();
            self.took.push(begun.elapsed());
            assert!(is_page(&heads[0]), "{path}: {}", heads[0]);
            self.hits += usize::from(heads[0].contains("cache-status: listcache-l1; hit"));
        }
    }

    fn hit_rate(&self) -> f64 {
        self.hits as f64 / self.took.len() as f64
    }

    fn median(&mut self) -> f64 {
        self.took.sort_unstable();
        self.took[self.took.len() / 2].as_secs_f64()
    }
}

/// Goes on until this number of pages has come. The service may shed requests where the machine does much else.
async fn crawl(address: &str, seed: u64, left: &AtomicU64, shed: &AtomicU64) {
    let (mut rng, mut connection) = (Rng::with_seed(seed), Connection::open(address).await.unwrap());
    while left.load(Ordering::Relaxed) > 0 {
        let paths: Vec<String> = (0..AT_ONCE).map(|_| any_combination(&mut rng)).collect();
        let heads = connection.ask(&paths).await.unwrap();
        let pages = heads.iter().filter(|head| is_page(head)).count() as u64;
        shed.fetch_add(AT_ONCE - pages, Ordering::Relaxed);
        let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(pages))
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawler_of_combinations_leaves_nothing_behind() {
    let crawled = std::env::var("CRAWLED").map_or(CRAWLED, |number| number.parse().unwrap());
    let shop = Arc::new(Shop::start_with(
        &PRODUCTS,
        "[l1]\nttl = \"5m\"\nfilters_max = \"1MiB\"\n",
        FILTERS,
    ));
    let mut connection = Connection::open(&shop.service.address).await.unwrap();
    // L1 has all honest pages from here on.
    Honest::default().read(&mut connection).await;
    let (keys, reads) = (shop.keys(), shop.reads().await);
    let mut before = Honest::default();
    for _ in 0..HONEST_ROUNDS {
        before.read(&mut connection).await;
    }

    let (left, shed) = (Arc::new(AtomicU64::new(crawled)), Arc::new(AtomicU64::new(0)));
    let goes_on = Arc::new(AtomicBool::new(true));
    let begun = Instant::now();
    let mut crawlers = JoinSet::new();
    for seed in 0..CONNECTIONS {
        let (shop, left, shed) = (shop.clone(), left.clone(), shed.clone());
        crawlers.spawn(async move { crawl(&shop.service.address, seed, &left, &shed).await });
    }
    let sampling = tokio::spawn({
        let (shop, goes_on) = (shop.clone(), goes_on.clone());
        async move {
            let (mut most, mut keys) = (0.0f64, BTreeSet::new());
            while goes_on.load(Ordering::SeqCst) {
                most = most.max(shop.service.metric("listcache_filter_bytes").await);
                keys.insert(shop.keys());
                tokio::time::sleep(SAMPLE_EVERY).await;
            }
            (most, keys)
        }
    });
    let crawling = tokio::spawn(async move { while let Some(()) = crawlers.join_next().await.transpose().unwrap() {} });
    let mut during = Honest::default();
    while !crawling.is_finished() {
        during.read(&mut connection).await;
    }
    crawling.await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    goes_on.store(false, Ordering::SeqCst);
    let (most, keys_meanwhile) = sampling.await.unwrap();
    let mut after = Honest::default();
    for _ in 0..HONEST_ROUNDS {
        after.read(&mut connection).await;
    }

    // The figure is written every few seconds.
    let is_bounded = |bytes: f64| (FILTERS_MAX / 8.0..=FILTERS_MAX).contains(&bytes);
    let bytes_after = eventually(async || match shop.service.metric("listcache_filter_bytes").await {
        bytes if is_bounded(bytes) => Ok(bytes),
        bytes => Err(bytes),
    })
    .await;
    println!(
        "{crawled} combinations in {seconds:.0} s, {} shed; keys {} before, {} after; reads of the origin {}; filters in L1 {:.2} of their bound at \
         most, {:.2} after; hits of an honest reader {:.4} before, {:.4} during ({} pages), {:.4} after; time of its pages {:.1} times as \
         long during, {:.2} after",
        shed.load(Ordering::Relaxed),
        keys.len(),
        shop.keys().len(),
        shop.reads().await - reads,
        most / FILTERS_MAX,
        bytes_after / FILTERS_MAX,
        before.hit_rate(),
        during.hit_rate(),
        during.took.len(),
        after.hit_rate(),
        during.median() / before.median(),
        after.median() / before.median(),
    );
    assert_eq!((shop.keys(), shop.reads().await), (keys.clone(), reads));
    assert_eq!(keys_meanwhile, BTreeSet::from([keys]), "no key came and went");
    assert!(most <= FILTERS_MAX, "{most} bytes");
    assert_eq!(before.hits, before.took.len());
    for honest in [&during, &after] {
        assert!(honest.took.len() >= honest_pages().len());
        assert_eq!(honest.hits, honest.took.len(), "an honest page was driven out");
    }
}
