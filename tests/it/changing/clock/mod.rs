//! The clock: a promotion begins at an instant at which no row is written, and every page shows it, through caches too.

mod edges;
mod queries;
mod shop;
mod twists;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use tokio::time::Instant;

use self::shop::{MARIADB, POSTGRES, PromotingShop, SQLITE};
use super::databases::ShopDatabase;
use crate::support::{
    eventually,
    service::{Service, json_of},
};

/// The category of all tests. Product 7 costs 700.
const PRODUCTS: i64 = 30;
const PRODUCT: i64 = 7;
const USUAL: i64 = 700;
const PROMOTED: i64 = 1;
/// Far more than a promotion takes to be seen, however busy the machine.
const IN_TIME: Duration = Duration::from_secs(10);
/// Until a promotion begins: nodes start and fill meanwhile.
const AHEAD: Duration = Duration::from_secs(5);

/// Milliseconds since 1970, as Redis and the databases here have them.
fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

async fn sleep_until(at: u64) {
    tokio::time::sleep(Duration::from_millis(at.saturating_sub(now_ms()))).await;
}

/// A page, and when it was asked for.
struct Seen {
    asked: u64,
    price: i64,
    generation: String,
    headers: HeaderMap,
}

const SORTS: [&str; 2] = ["price", "name"];

fn path(group: i64, sort: &str) -> String {
    format!("/v1/listings/category:BREAD?grp={group}&sort={sort}&limit=100")
}

impl Seen {
    fn of(asked: u64, headers: HeaderMap, page: &Value) -> Self {
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
        let product = items.iter().find(|item| item["id"] == PRODUCT).unwrap();
        Self {
            asked,
            price: product["price_cents"].as_i64().unwrap(),
            generation: page["generation"].as_str().unwrap().to_owned(),
            headers,
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// For how many seconds a cache may use it, fresh or stale, by the header for caches or that for CDNs.
    fn lifetime(&self, header: &str) -> u64 {
        let parts = || self.header(header).split(", ").filter_map(|part| part.split_once('='));
        let of = |name: &str| {
            let found = parts().find(|(of, _)| *of == name);
            found.map_or(0, |(_, seconds)| seconds.parse::<u64>().unwrap())
        };
        of("max-age") + of("stale-while-revalidate").max(of("stale-if-error"))
    }

    /// No cache may show it from the instant on.
    #[track_caller]
    fn ends_before(&self, at: u64) {
        self.ends_by("cache-control", at);
        self.ends_by("cdn-cache-control", at);
    }

    #[track_caller]
    fn ends_by(&self, header: &str, at: u64) {
        let ends = self.asked + 1000 * self.lifetime(header);
        let told = self.header(header);
        match self.asked < at {
            // The clock of a node is an estimate.
            true => assert!(ends <= at + 50, "{told} at {} ms before", at - self.asked),
            false => assert_eq!(told, "max-age=0", "{header} {} ms after", self.asked - at),
        }
    }
}

async fn seen(service: &Service, group: i64, sort: &str) -> Seen {
    let asked = now_ms();
    let answer = service.request(Method::GET, &path(group, sort)).send().await.unwrap();
    let headers = answer.headers().clone();
    let page = answer.error_for_status().unwrap().json().await.unwrap();
    Seen::of(asked, headers, &page)
}

/// Waits until nodes hear each other, and have filled all that they show.
async fn filled(shop: &PromotingShop, services: &[&Service]) {
    let channel = "listcache:2:announcements";
    eventually(async || {
        let said = shop.redis.cli(&["PUBSUB", "NUMSUB", channel]);
        match said == format!("{channel}\n{}", services.len()) {
            true => Ok(()),
            false => Err(said),
        }
    })
    .await;
    for service in services {
        for sort in SORTS {
            for group in [0, 1] {
                seen(service, group, sort).await;
            }
        }
    }
}

/// Looks at all pages of all nodes until they show the promotion. No page before may be kept past the instant. Returns how long after the
/// instant a page was asked for that was the last to show the old price.
async fn until_promoted(services: &[&Service], at: u64) -> u64 {
    let begun = Instant::now();
    let mut last_old = 0;
    loop {
        let mut old = 0;
        for service in services {
            for sort in SORTS {
                let page = seen(service, 0, sort).await;
                match page.price {
                    USUAL => {
                        page.ends_before(at);
                        (old, last_old) = (old + 1, last_old.max(page.asked));
                    }
                    price => assert_eq!(price, PROMOTED),
                }
            }
        }
        if old == 0 {
            assert!(now_ms() >= at, "too early");
            return last_old.saturating_sub(at);
        }
        assert!(begun.elapsed() < AHEAD + IN_TIME, "{old} pages are old");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn sum(services: &[&Service], metric: &str) -> f64 {
    let mut sum = 0.0;
    for service in services {
        sum += service.metric(metric).await;
    }
    sum
}

/// A promotion of one group begins: seen on all pages of two nodes. The other group is as it was.
async fn begins(mut shop: PromotingShop, by_patch: bool) -> u64 {
    let at = now_ms() + ms(AHEAD);
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    let (one, other) = (shop.start(""), shop.start(""));
    let services = [&one, &other];
    filled(&shop, &services).await;
    let before = seen(&other, 1, "price").await;
    assert_eq!(before.price, USUAL);
    assert!(
        before.lifetime("cache-control") >= 3600,
        "{}",
        before.header("cache-control")
    );
    let reads = sum(&services, "listcache_origin_reads_total").await;
    let rows = sum(&services, "listcache_changed_rows_read_total").await;
    let took = until_promoted(&services, at).await;

    let outcome = if by_patch { "published" } else { "refreshed" };
    let followed = format!("listcache_clock_changes_total{{outcome=\"{outcome}\"}}");
    eventually(async || match sum(&services, "listcache_clock_changes_total").await {
        1.0 => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(sum(&services, &followed).await, 1.0);
    let reads = sum(&services, "listcache_origin_reads_total").await - reads;
    let rows = sum(&services, "listcache_changed_rows_read_total").await - rows;
    assert_eq!((reads, rows), if by_patch { (0.0, 1.0) } else { (1.0, 0.0) });
    for service in services {
        // Nothing more is to come: lives are long again.
        assert!(seen(service, 0, "price").await.lifetime("cache-control") >= 3600);
        let after = seen(service, 1, "price").await;
        assert_eq!((after.price, &after.generation), (USUAL, &before.generation));
        assert!(after.lifetime("cache-control") >= 3600);
    }
    println!("seen {took} ms after the instant");
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_begins_on_every_page_by_a_patch_with_sqlite() {
    begins(PromotingShop::new(ShopDatabase::sqlite().await, SQLITE).await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_begins_on_every_page_by_a_patch_with_postgresql() {
    begins(PromotingShop::new(ShopDatabase::postgres().await, POSTGRES).await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_begins_on_every_page_by_a_patch_with_mariadb() {
    begins(PromotingShop::new(ShopDatabase::mariadb().await, MARIADB).await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_without_ids_begins_by_a_full_read() {
    let shop = PromotingShop::new(ShopDatabase::postgres().await, POSTGRES).await;
    begins(shop.without_ids(), false).await;
    let shop = PromotingShop::new(ShopDatabase::sqlite().await, SQLITE).await;
    begins(shop.without_ids(), false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures times: `make test` runs it by itself"]
async fn a_promotion_is_seen_within_a_second() {
    for by_patch in [true, false] {
        let shop = PromotingShop::new(ShopDatabase::postgres().await, POSTGRES).await;
        let shop = if by_patch { shop } else { shop.without_ids() };
        let took = begins(shop, by_patch).await;
        assert!(took < 1000, "{took} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_come_is_explained_and_ends_a_page_s_freshness() {
    let mut shop = PromotingShop::new(ShopDatabase::sqlite().await, SQLITE).await;
    let at = now_ms() + 600_000;
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    shop.promote(PRODUCT, 0, at + 5000, PROMOTED).await;
    let service = shop.start("");
    let page = seen(&service, 0, "price").await;
    page.ends_before(at);
    // Two caches in a row share what is left.
    assert_eq!(page.lifetime("cache-control"), 256);
    assert!(page.header("etag").ends_with(".256\""), "{}", page.header("etag"));
    // So does the answer without a body.
    let known = service.request(Method::GET, &path(0, "price"));
    let known = known.header("if-none-match", page.header("etag")).send().await.unwrap();
    assert_eq!(known.status(), 304);
    let known = Seen {
        asked: now_ms() - 1000,
        headers: known.headers().clone(),
        ..page
    };
    known.ends_before(at);
    assert_ne!(known.header("cache-control"), "");
    let explained = async |group: i64| {
        let path = format!("/v1/listings/category:BREAD/explain?grp={group}");
        json_of(service.admin(Method::GET, &path)).await
    };
    let explanation = explained(0).await;
    let next = explanation["next_change"].as_str().unwrap();
    assert_eq!(next, explanation["fresh_until"]);
    let expect = listcache::listing::Timestamp(at).rfc3339();
    assert_eq!(next, expect);
    assert_eq!(explained(1).await["next_change"], Value::Null);
}
