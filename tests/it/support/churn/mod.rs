//! A year of price changes, replayed: a shop's database changes, its feed asks for refreshes, shoppers read.
//!
//! The same replay is run with refreshes coalesced, and as a shop with a plain cache does it, which flushes everything when
//! anything has changed. What is held against each other is measured in the same way:
//!
//! - *Staleness of a change*: from the commit in the database until a follower of the announcements hears of a head that
//!   was drawn after it (or, where everything is flushed, of the deletion). From then on no node serves what was before.
//!   A head that was drawn before, and that a later read has found unchanged, shows it too.
//! - *Staleness of a page*: when it was asked for, the age of the oldest change that it does not show.
//! - *A refresh that is waited for* (in the tests' week): how long `POST …/refresh?wait=true` takes meanwhile, of listings
//!   that are like the others and not coalesced: what a refresh takes where nothing puts it off, on this machine under this
//!   load. The bench takes what the nodes log, from draw to publish.
//! - *A burst* (in the tests' week): how long such refreshes take where all are asked for at once. Most prices of a shop
//!   change at the same moment, and then the machine is busy.
//! - *Hit*: a page that did not wait for the origin, whether it came from the process or from Redis.
//! - *Bytes received by Redis*: the requests of reads are among them.
//! - *Bytes written of listings*: chunks and sidecars, as heads count them; beside them the bytes of whole streams, had each
//!   publish written one.
//! - *Chunks that stay*: when a head takes another's place, those of its chunks that a node knows by the same generation as
//!   before, and need not read again.

pub mod changes;
mod feed;
mod ledger;
pub mod readers;
mod refreshes;
pub mod setup;
pub mod written;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use listcache::origin::SampleCatalogue;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{sync::Semaphore, task::JoinSet};

use self::{
    changes::{Change, Year},
    feed::{Feed, Told, refresh_all, wait_for_refreshes},
    ledger::{Ledger, Stay, now},
    readers::{Reads, Zipf, read},
    setup::config,
    written::Written,
};
use super::{
    redis_server::RedisServer,
    service::{Service, TOKEN, json_of},
};

/// How much faster than it happened, unless another speed is asked for.
pub const SPEED: u32 = 30_000;
/// What happens in so much time is one batch: ten minutes of the shop.
const TICK: Duration = Duration::from_millis(20);
const NODES: usize = 2;
/// Shoppers that read at the same time.
const READERS: usize = 8;
/// Requests of the feed that wait for their answers at the same time.
const FEED_AT_ONCE: usize = 16;

/// What the shop does when prices have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// It asks for refreshes of their categories.
    AsksForRefreshes,
    /// It tells which products have changed.
    TellsChanges,
    /// It deletes all listings, but not more often than once in `coalesce_for`: more often would leave no time to fill them.
    FlushesEverything,
}

/// How it is replayed.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    pub strategy: Strategy,
    pub coalesce_for: Duration,
    /// How much faster than it happened.
    pub speed: u32,
    /// Of all shoppers together.
    pub pages_a_second: u32,
    /// Whether refreshes are waited for besides; they cost what others do.
    pub waits: bool,
}

/// The measurements of a replay. Times are in microseconds.
pub struct Figures {
    pub changes: usize,
    pub took: Duration,
    pub listings: usize,
    pub reads: Reads,
    /// Of each page.
    pub page_staleness: Vec<u64>,
    /// Of each change.
    pub staleness: Vec<u64>,
    /// Changes that were never shown.
    pub never_shown: usize,
    /// How long after its commit each request for a refresh was accepted.
    pub accepted_after: Vec<u64>,
    /// What each refresh took that was waited for.
    pub waits: Vec<u64>,
    /// What each took of all at once.
    pub burst: Vec<u64>,
    /// What each refresh took from its draw to its publish.
    pub builds: Vec<u64>,
    /// The most refreshes of one listing, changed or not, that were drawn within `coalesce_for`.
    pub refreshes_in_a_window: usize,
    pub redis_bytes: u64,
    /// The bytes written of listings. `None` where they were deleted: their heads count no further.
    pub written: Option<Written>,
    /// Rows that the database gave.
    pub rows: u64,
    /// Listings that show other items, or another order, than the database has in the end.
    pub wrong: Vec<String>,
    /// Chunks that nodes keep when a head moves.
    pub stay: Stay,
}

/// A value that so many in a hundred do not exceed.
pub fn percentile(values: &[u64], percent: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    Duration::from_micros(sorted.get(at).copied().unwrap_or_default())
}

impl Figures {
    pub fn hit_rate(&self) -> f64 {
        self.reads.hits as f64 / self.reads.count as f64
    }

    pub fn bytes_a_change(&self) -> u64 {
        self.redis_bytes / self.changes.max(1) as u64
    }

    /// Pages from the process, of all that were read.
    pub fn l1_rate(&self) -> f64 {
        self.reads.l1_hits as f64 / self.reads.count as f64
    }

    pub fn rows_a_change(&self) -> f64 {
        self.rows as f64 / self.changes.max(1) as f64
    }

    /// Of the chunks of a head that took another's place, those that a node which had all before has already.
    pub fn stay_rate(&self) -> f64 {
        self.stay.stayed as f64 / self.stay.chunks.max(1) as f64
    }
}

/// A shop with its services.
struct Shop {
    database: SqliteConnection,
    redis: RedisServer,
    nodes: Vec<Arc<Service>>,
    paths: Arc<Vec<String>>,
    ledger: Arc<Ledger>,
    replay: Replay,
    // Last: the database's file goes with it.
    _directory: tempfile::TempDir,
}

/// Replays some changes of a year.
pub async fn run(year: &Year, changes: &[Change], replay: Replay) -> Figures {
    let mut shop = Shop::open(year, replay).await;
    shop.fill().await;
    shop.ledger.follow(&shop.redis.socket());
    let (bytes_before, written_before) = (shop.redis_bytes(), shop.bytes_of_heads());
    let stop = Arc::new(AtomicBool::new(false));
    let readers = shop.readers(&stop);
    let changed = changes.iter().map(|change| change.category).collect();
    let waits = wait_for_refreshes(shop.nodes[0].clone(), shop.paths.clone(), changed, stop.clone());
    let waits = replay.waits.then(|| tokio::spawn(waits));
    let (begun, since) = (Instant::now(), now() / 1000);
    let accepted_after = match replay.strategy {
        Strategy::AsksForRefreshes => shop.change(changes, Feed::refreshes(&shop)).await,
        Strategy::TellsChanges => shop.change(changes, Feed::changes(&shop)).await,
        Strategy::FlushesEverything => shop.change(changes, Feed::flushes(&shop)).await,
    };
    let took = begun.elapsed();
    // The last changes are shown too, if they ever are.
    while shop.is_asked_for() && begun.elapsed() < took + Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let redis_bytes = shop.redis_bytes() - bytes_before;
    stop.store(true, Ordering::Relaxed);
    let mut reads = Reads::default();
    for reader in readers.join_all().await {
        reads.add(reader);
    }
    let waits = match waits {
        Some(waits) => waits.await.unwrap(),
        None => Vec::new(),
    };
    let burst = match replay.waits {
        true => refresh_all(&shop.nodes, &shop.paths).await,
        false => Vec::new(),
    };
    let (builds, refreshes_in_a_window, confirmed, items) = shop.refreshes(since);
    let mut rows = items;
    for node in &shop.nodes {
        rows += node.metric("listcache_changed_rows_read_total").await as u64;
    }
    let (wrong, written) = match replay.strategy {
        Strategy::FlushesEverything => (Vec::new(), None),
        _ => (
            shop.wrong(&year.listings).await,
            Some(shop.written_since(&written_before)),
        ),
    };
    let (staleness, never_shown) = shop.ledger.staleness_of_changes(&confirmed);
    let of_page = |(listing, generation, asked): &(usize, u64, u64)| {
        shop.ledger.staleness_of_page(&confirmed, *listing, *generation, *asked)
    };
    Figures {
        changes: changes.len(),
        took,
        listings: year.listings.len(),
        page_staleness: reads.pages.iter().map(of_page).collect(),
        reads,
        staleness,
        never_shown,
        accepted_after,
        waits,
        burst,
        builds,
        refreshes_in_a_window,
        redis_bytes,
        written,
        rows,
        wrong,
        stay: shop.ledger.stay(),
    }
}

impl Shop {
    async fn open(year: &Year, replay: Replay) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shop.db");
        let sample = SampleCatalogue::create_from(&file, &year.products).await.unwrap();
        let mut database = SqliteConnectOptions::new()
            .filename(&file)
            // What it costs to make a commit last is not of this.
            .pragma("synchronous", "off")
            .connect()
            .await
            .unwrap();
        // So that no two states of a product are equal: a change and its reversal are two changes.
        sqlx::query("alter table products add column revision integer not null default 0")
            .execute(&mut database)
            .await
            .unwrap();
        let redis = RedisServer::start();
        let config = config(&redis.url(), &sample.url(), replay);
        // Every refresh is in the log: there is no limit where this is set.
        let environment = [("LISTCACHE_TOKEN", TOKEN), ("RUST_LOG", "listcache=info")];
        let node = |_| Arc::new(Service::start_with(&config, &environment));
        let paths = year.listings.iter().map(|name| format!("/v1/listings/{name}"));
        Self {
            database,
            nodes: (0..NODES).map(node).collect(),
            redis,
            paths: Arc::new(paths.collect()),
            ledger: Ledger::new(&year.listings),
            replay,
            _directory: directory,
        }
    }

    async fn fill(&self) {
        let at_once = Arc::new(Semaphore::new(FEED_AT_ONCE));
        for node in &self.nodes {
            let mut pages = JoinSet::new();
            for path in &*self.paths {
                let (at_once, get) = (at_once.clone(), node.request(Method::GET, path));
                pages.spawn(async move {
                    let _permit = at_once.acquire().await.unwrap();
                    let page = get.send().await.unwrap();
                    assert_eq!(page.status(), StatusCode::OK);
                });
            }
            pages.join_all().await;
        }
    }

    fn readers(&self, stop: &Arc<AtomicBool>) -> JoinSet<Reads> {
        let zipf = Arc::new(Zipf::new(self.paths.len()));
        let every = Duration::from_secs(1) * READERS as u32 / self.replay.pages_a_second;
        let mut readers = JoinSet::new();
        for number in 0..READERS {
            readers.spawn(read(
                self.nodes[number % NODES].clone(),
                self.paths.clone(),
                zipf.clone(),
                every,
                stop.clone(),
            ));
        }
        readers
    }

    /// Commits the changes in their time, a batch a tick, and tells the feed which listings they are of.
    async fn change(&mut self, changes: &[Change], mut feed: Feed) -> Vec<u64> {
        let from = changes.first().map_or(Duration::ZERO, |first| first.at);
        let begun = Instant::now();
        let mut revision = 0;
        let mut left = changes;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            // As much as has passed: who is late replays what he has missed.
            let until = begun.elapsed() * self.replay.speed;
            let (batch, rest) = left.split_at(left.partition_point(|change| change.at - from <= until));
            left = rest;
            if !batch.is_empty() {
                let mut transaction = self.database.begin().await.unwrap();
                for change in batch {
                    revision += 1;
                    sqlx::query("update products set price_cents = ?2, revision = ?3 where id = ?1")
                        .bind(change.product)
                        .bind(change.cents)
                        .bind(revision)
                        .execute(&mut *transaction)
                        .await
                        .unwrap();
                }
                transaction.commit().await.unwrap();
                let committed = now();
                for change in batch {
                    self.ledger.committed(change.category, committed);
                }
                feed.tell(Told {
                    listings: batch.iter().map(|change| change.category).collect(),
                    products: batch.iter().map(|change| change.product).collect(),
                    committed,
                });
            }
            if left.is_empty() {
                return feed.end().await;
            }
        }
    }

    /// Listings that are not what the database has.
    async fn wrong(&mut self, listings: &[String]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, path) in listings.iter().zip(self.paths.clone().iter()) {
            let category = percent_encoding::percent_decode_str(name.strip_prefix("category:").unwrap());
            let category = category.decode_utf8().unwrap();
            let expected: Vec<(i64, i64)> =
                sqlx::query_as("select id, price_cents from products where category = ?1 order by price_cents, id")
                    .bind(&*category)
                    .fetch_all(&mut self.database)
                    .await
                    .unwrap();
            let mut shown = Vec::new();
            let mut next = Some(format!("{path}?limit=250"));
            while let Some(path) = next {
                let page: Value = json_of(self.nodes[1].request(Method::GET, &path)).await;
                let items = page["items"].as_array().unwrap().iter();
                shown.extend(items.map(|item| (item["id"].as_i64().unwrap(), item["price_cents"].as_i64().unwrap())));
                next = page["links"]["next"].as_str().map(str::to_owned);
            }
            if shown != expected {
                wrong.push(name.clone());
            }
        }
        wrong
    }
}
