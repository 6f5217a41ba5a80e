//! The shop like OpenMage's: 12,000 products, 40 categories in 16 variants each, one of them of 6,000 products. Two nodes; shoppers read
//! all the time, while prices change: none, one a second, ten a second.
//!
//! Each change makes its product the cheapest of the large category, so its first page tells which changes it shows: a poller a node
//! notes when. A product stands in three categories, so a change is a patch of 48 listings with three sorts each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, JoinSet},
};

use super::{
    churn::{
        percentile,
        readers::{Reads, Zipf, read},
    },
    mariadb::MariadbDatabase,
    redis_server::RedisServer,
    service::{Service, TOKEN},
};

const NODES: usize = 2;
const READERS: usize = 8;
const COALESCE_FOR: Duration = Duration::from_secs(1);
const POLL_EVERY: Duration = Duration::from_millis(5);
const FILLS_AT_ONCE: usize = 4;
const CATEGORIES: u32 = 40;
const PRODUCTS: u64 = 12_000;
const STORES: [&str; 4] = ["en", "de", "sv", "da"];
const CHEAPEST: &str = "/v1/listings/category:10?grp=0&store=en&sort=price&size=1";

/// The definition of docs/shops.md, with one table for all stores.
const CONFIG: &str = r#"
[http]
workers = 1
fill_wait = "20s"
[redis]
url = "REDIS"
read_timeout = "1s"
[defaults]
coalesce_for = "1s"
fresh_for = "30d"
keep_for = "60d"
pin_for = "60d"
[origins.shop]
kind = "sql"
url = "DATABASE"
[origins.shop.changes]
every = "100ms"
outbox = { table = "listcache_outbox", key = "id", id = "product_id" }
[[listings]]
name = "category:{category}"
origin = "shop"
names = "select entity_id from catalog_category_entity where level >= 2"
names_of = "select product_id as id, category_id as category from catalog_category_product_index"
query = """
  select e.entity_id as id, e.sku, e.type_id, coalesce(ns.value, n0.value) as name, u.value as url_key,
         img.value as image, mv.value as brand, pr.price, pr.final_price, pr.min_price, pr.max_price,
         cat.position, ss.stock_status, 1 - ss.stock_status as sold_out,
         rv.rating_summary, rv.reviews_count, e.created_at, pr.final_price < pr.price as on_sale
  from catalog_category_product_index cat
  join catalog_product_entity e on e.entity_id = cat.product_id
  join catalog_product_index_price pr on pr.entity_id = e.entity_id
       and pr.website_id = :store.website and pr.customer_group_id = :grp
  join cataloginventory_stock_status ss on ss.product_id = e.entity_id and ss.stock_id = 1 and ss.website_id = :store.website
  join catalog_product_entity_varchar n0 on n0.entity_id = e.entity_id and n0.attribute_id = 71 and n0.store_id = 0
  left join catalog_product_entity_varchar ns on ns.entity_id = e.entity_id and ns.attribute_id = 71 and ns.store_id = :store.number
  left join catalog_product_entity_varchar u on u.entity_id = e.entity_id and u.attribute_id = 97 and u.store_id = 0
  left join catalog_product_entity_varchar img on img.entity_id = e.entity_id and img.attribute_id = 86 and img.store_id = 0
  left join catalog_product_entity_int m on m.entity_id = e.entity_id and m.attribute_id = 81 and m.store_id = 0
  left join eav_attribute_option_value mv on mv.option_id = m.value and mv.store_id = 0
  left join review_entity_summary rv on rv.entity_pk_value = e.entity_id and rv.entity_type = 1 and rv.store_id = :store.number
  where cat.category_id = :category and cat.store_id = :store.number and cat.visibility in (2, 4)"""
hidden = ["created_at", "position", "sold_out"]
[listings.sorts]
position = { by = ["position"], desc = false }
price = { by = ["sold_out", "min_price"] }
newest = { by = ["created_at desc"], desc = false }
[listings.variants]
grp = ["0", "1", "2", "3"]
[listings.variants.store]
en = { number = 1, website = 1 }
de = { number = 2, website = 1 }
sv = { number = 3, website = 2 }
da = { number = 4, website = 2 }
"#;

struct Shop {
    database: MariadbDatabase,
    nodes: Vec<Arc<Service>>,
    paths: Arc<Vec<String>>,
    /// The cheapest product's price is this, times -1.
    changed: u64,
    _redis: RedisServer,
}

/// The measurements of one rate of changes.
struct Figures {
    name: &'static str,
    reads: Reads,
    /// Of each change on each node, in microseconds.
    shown_after: Vec<u64>,
    /// Changes that a node has not shown in the end.
    never_shown: usize,
    busy: Duration,
}

/// Fills the shop, and measures three times.
pub async fn run(each: Duration, pages_a_second: u32) {
    let mut shop = Shop::open().await;
    let begun = Instant::now();
    shop.fill().await;
    println!("\n{} listings filled in {:?}", shop.paths.len(), begun.elapsed());
    let mut figures = Vec::new();
    for (name, every) in [
        ("without changes", None),
        ("one change a second", Some(Duration::from_secs(1))),
        ("ten changes a second", Some(Duration::from_millis(100))),
    ] {
        // The first readers find chunks that no page has asked for.
        if figures.is_empty() {
            shop.measure(name, each / 3, pages_a_second, None).await;
        }
        figures.push(shop.measure(name, each, pages_a_second, every).await);
        print(&figures);
    }
}

impl Shop {
    async fn open() -> Self {
        let database = MariadbDatabase::create(include_str!("../../fixtures/openmage.sql")).await;
        let redis = RedisServer::start();
        let config = CONFIG
            .replace("REDIS", &redis.url())
            .replace("DATABASE", &database.url());
        let environment = [("LISTCACHE_TOKEN", TOKEN), ("RUST_LOG", "listcache=warn")];
        let node = |_| Arc::new(Service::start_with(&config, &environment));
        let mut paths = Vec::new();
        for category in 10..10 + CATEGORIES {
            for group in 0..4 {
                let path = |store| format!("/v1/listings/category:{category}?grp={group}&store={store}&sort=price");
                paths.extend(STORES.map(path));
            }
        }
        Self {
            nodes: (0..NODES).map(node).collect(),
            database,
            paths: Arc::new(paths),
            changed: 0,
            _redis: redis,
        }
    }

    async fn fill(&self) {
        let at_once = Arc::new(Semaphore::new(FILLS_AT_ONCE));
        for node in &self.nodes {
            let mut pages = JoinSet::new();
            for path in &*self.paths {
                let (at_once, get) = (at_once.clone(), node.request(Method::GET, path));
                pages.spawn(async move {
                    let _permit = at_once.acquire().await.unwrap();
                    assert_eq!(get.send().await.unwrap().status(), StatusCode::OK);
                });
            }
            pages.join_all().await;
        }
    }

    async fn measure(
        &mut self,
        name: &'static str,
        lasts: Duration,
        pages_a_second: u32,
        every: Option<Duration>,
    ) -> Figures {
        let stop = Arc::new(AtomicBool::new(false));
        let zipf = Arc::new(Zipf::new(self.paths.len()));
        let between = Duration::from_secs(1) * READERS as u32 / pages_a_second;
        let mut readers = JoinSet::new();
        for number in 0..READERS {
            let (node, paths) = (self.nodes[number % NODES].clone(), self.paths.clone());
            readers.spawn(read(node, paths, zipf.clone(), between, stop.clone()));
        }
        let pollers: Vec<_> = self.nodes.iter().map(|node| poll(node.clone(), stop.clone())).collect();
        let busy = self.processor_time();
        let begun = Instant::now();
        let first = self.changed + 1;
        let mut committed = Vec::new();
        match every {
            None => tokio::time::sleep(lasts).await,
            Some(every) => {
                let mut ticks = tokio::time::interval(every);
                while begun.elapsed() < lasts {
                    ticks.tick().await;
                    self.change().await;
                    committed.push(Instant::now());
                }
                // The last change is shown too, if it ever is.
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
        }
        let busy = self.processor_time() - busy;
        stop.store(true, Ordering::Relaxed);
        let mut reads = Reads::default();
        for reader in readers.join_all().await {
            reads.add(reader);
        }
        let (mut shown_after, mut never_shown) = (Vec::new(), 0);
        for poller in pollers {
            let shown = poller.await.unwrap();
            for (change, committed) in (first..).zip(&committed) {
                // The first page that shows it, or a later one.
                let at = shown.partition_point(|(newest, _)| *newest < change);
                match shown.get(at) {
                    Some((_, at)) => shown_after.push((at.saturating_duration_since(*committed)).as_micros() as u64),
                    None => never_shown += 1,
                }
            }
        }
        Figures {
            name,
            reads,
            shown_after,
            never_shown,
            busy,
        }
    }

    fn processor_time(&self) -> Duration {
        self.nodes.iter().map(|node| node.processor_time()).sum()
    }

    /// A product of the large category that is in stock becomes its cheapest.
    async fn change(&mut self) {
        self.changed += 1;
        let product = loop {
            let product = fastrand::u64(1..=PRODUCTS / 2) * 2;
            if !product.is_multiple_of(11) {
                break product;
            }
        };
        sqlx::query("update catalog_product_index_price set min_price = ?, final_price = ? where entity_id = ?")
            .bind(-(self.changed as i64))
            .bind(-(self.changed as i64))
            .bind(product)
            .execute(&mut self.database.writer)
            .await
            .unwrap();
    }
}

/// Notes when a node first shows each newer change.
fn poll(node: Arc<Service>, stop: Arc<AtomicBool>) -> JoinHandle<Vec<(u64, Instant)>> {
    tokio::spawn(async move {
        let mut shown: Vec<(u64, Instant)> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(POLL_EVERY).await;
            let page = node.request(Method::GET, CHEAPEST).send().await.unwrap();
            let page: Value = page.json().await.unwrap();
            let price = &page["items"][0]["min_price"];
            let price = price.as_f64().or_else(|| price.as_str()?.parse().ok());
            let newest = -price.unwrap_or_default();
            if newest >= 1.0 && shown.last().is_none_or(|(last, _)| *last < newest as u64) {
                shown.push((newest as u64, Instant::now()));
            }
        }
        shown
    })
}

fn print(figures: &[Figures]) {
    let l1_rate = |figures: &Figures| figures.reads.l1_hits as f64 / figures.reads.count as f64;
    println!(
        "\n|                      | pages | no page | L1 hits | of those without changes | a change is shown after (p50 / p99 / max) | never | CPU of nodes |"
    );
    println!(
        "|----------------------|------:|--------:|--------:|-------------------------:|------------------------------------------:|------:|-------------:|"
    );
    for of in figures {
        let ms = |percent| percentile(&of.shown_after, percent).as_millis();
        let shown = match of.shown_after.is_empty() {
            true => String::new(),
            false => format!("{} / {} / {} ms", ms(50.0), ms(99.0), ms(100.0)),
        };
        println!(
            "| {:<20} | {} | {} | {:.1} % | {:.3} | {shown} | {} | {:.1} s |",
            of.name,
            of.reads.count,
            of.reads.failed,
            l1_rate(of) * 100.0,
            l1_rate(of) / l1_rate(&figures[0]),
            of.never_shown,
            of.busy.as_secs_f64(),
        );
    }
    println!(
        "bound at ten a second: coalesce_for + 1 s = {:?}",
        COALESCE_FOR + Duration::from_secs(1)
    );
}
