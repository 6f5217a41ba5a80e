//! Price changes of a real shop, reported in three ways: after each batch every listing is right, and no other family was published.
//!
//! A batch is an hour of the shop. Every hundredth change also moves its product to another category, and every hundredth deletes its
//! product, which comes back with its next change. `make test` replays a day of the busiest week in each way; `make replay` replays
//! `REPLAY_DAYS` days of all products, and reads every order of a listing after each batch.
//!
//! A listing whose head has not moved shows what it showed. So after each batch these are read: families that are published, and
//! families whose rows differ. In the end another node reads all of them.

mod model;
mod ways;

use std::{
    collections::BTreeSet,
    sync::LazyLock,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use reqwest::{Method, StatusCode};

use self::{
    model::{Family, ReplayedShop, family_of},
    ways::Way,
};
use super::{GROUPS, databases::ShopDatabase, progress::Progress};
use crate::support::{
    RedisServer,
    churn::changes::{Change, Year},
    service::Service,
};

/// The time of the shop that is one batch.
const BATCH: Duration = Duration::from_secs(3600);
/// Pages that are read at once.
const PAGES_AT_ONCE: usize = 4;
/// The largest page.
const PAGE: usize = 250;

static YEAR: LazyLock<Option<Year>> = LazyLock::new(Year::read);

/// The part of the year that is replayed.
struct Extent {
    changes: &'static [Change],
    /// All products, and not only a few beside those that change.
    is_long: bool,
}

impl Extent {
    fn asked_for(year: &'static Year) -> Self {
        let days: Option<u64> = std::env::var("REPLAY_DAYS").ok().map(|days| days.parse().unwrap());
        let week = year.busiest_week();
        let first = week[0].at.as_secs() / (24 * 3600);
        let changes = match days {
            None => year.days(first, 1),
            Some(days) if days <= 7 => year.days(first, days),
            Some(days) => year.days(0, days),
        };
        Self {
            changes,
            is_long: days.is_some(),
        }
    }
}

/// The size of a replay.
#[derive(Default)]
struct Figures {
    batches: usize,
    affected: usize,
    published: usize,
    missed: usize,
    extra: usize,
}

/// The orders of a listing.
const ORDERS: [(&str, bool); 4] = [("price", false), ("price", true), ("name", false), ("name", true)];

/// Reads families from their first to their last item, in some orders.
async fn check(service: &Service, shop: &ReplayedShop, families: &BTreeSet<Family>, orders: &[(&str, bool)]) {
    let listings = families
        .iter()
        .flat_map(|family| orders.iter().map(move |order| (family, *order)));
    let reads = listings.flat_map(|(family, (sort, desc))| {
        let items = shop.items(family, sort, desc);
        // An empty listing has a page too.
        let pages = match items.is_empty() {
            true => vec![Vec::new()],
            false => items.chunks(PAGE).map(<[String]>::to_vec).collect(),
        };
        let path = format!(
            "{}&sort={sort}&order={}&limit={PAGE}",
            family.path(),
            if desc { "desc" } else { "asc" }
        );
        (0..)
            .step_by(PAGE)
            .zip(pages)
            .map(move |(offset, items)| (format!("{path}&offset={offset}"), items))
    });
    let mut reads = stream::iter(reads.map(|(path, items)| async move {
        let answer = service.request(Method::GET, &path).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        let is_right = match status {
            StatusCode::NOT_FOUND => items.is_empty(),
            _ => body.contains(&format!("\"items\":[{}]", items.join(","))),
        };
        assert!(
            is_right,
            "{path} should have\n{}\nand is {status}\n{body}",
            items.join(",")
        );
    }))
    .buffer_unordered(PAGES_AT_ONCE);
    while reads.next().await.is_some() {}
}

async fn replay(way: Way, database: ShopDatabase) {
    let Some(year) = &*YEAR else {
        eprintln!("skipped: the price changes are not beside the project, see ../shared/data");
        return;
    };
    let Extent { changes, is_long } = Extent::asked_for(year);
    let mut shop = ReplayedShop::open(year, changes, is_long, database).await;
    way.prepare(&mut shop.database).await;
    let redis = RedisServer::start();
    let config = way.config(&redis, &shop.database.url);
    let (service, all) = (way.start(&config), shop.families());
    // The first page of a family reads all its orders.
    check(&service, &shop, &all, &[("price", false)]).await;
    let (progress, begun) = (Progress::of(&redis), Instant::now());
    let (mut heads, reads) = (progress.heads(), service.metric("listcache_origin_reads").await);
    let mut figures = Figures::default();
    let batches =
        changes.chunk_by(|one, next| one.at.as_secs() / BATCH.as_secs() == next.at.as_secs() / BATCH.as_secs());
    for (number, batch) in batches.enumerate() {
        let changed = shop.change(batch).await;
        way.report(&service, &mut shop.database, &changed.reports).await;
        progress.are_worked_off().await;
        let after = progress.heads();
        let moved = after.iter().filter(|(listing, head)| heads.get(*listing) != Some(head));
        let published: BTreeSet<Family> = moved.map(|(listing, _)| family_of(listing)).collect();
        figures.batches += 1;
        figures.affected += changed.families.len();
        figures.published += published.len();
        figures.missed += changed.families.difference(&published).count();
        let extra: Vec<&Family> = published.difference(&changed.families).collect();
        if !extra.is_empty() {
            eprintln!("not affected by batch {number}, and published: {extra:?}");
        }
        figures.extra += extra.len();
        heads = after;
        // In a short replay each batch has another order beside that of prices.
        let (some, concerned) = ([ORDERS[0], ORDERS[1 + number % 3]], &published | &changed.families);
        check(&service, &shop, &concerned, if is_long { &ORDERS } else { &some }).await;
    }
    let took = begun.elapsed();
    check(&way.start(&config), &shop, &all, &ORDERS).await;
    let patches = service.metric("listcache_patches_total{outcome=\"published\"}").await;
    let rows = service.metric("listcache_changed_rows_read_total").await;
    let Figures {
        affected,
        published,
        missed,
        extra,
        batches,
    } = figures;
    eprintln!(
        "by {way:?}: {} changes in {batches} batches, {} families, {affected} times affected, {published} published, {missed} missed, {extra} extra; \
         {patches} patches, {rows} rows read, {took:?}",
        changes.len(),
        all.len(),
    );
    assert_eq!(missed, 0);
    assert!(extra * 1000 <= affected, "{extra} of {affected}");
    // A page that lacks something has it filled, whatever is reported.
    let full = service.metric("listcache_origin_reads").await - reads;
    assert_eq!(full, 0.0, "listings that were read in full");
    // A row a family.
    assert!(rows <= (changes.len() * GROUPS.len()) as f64, "{rows} rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn price_changes_that_are_posted_reach_exactly_their_listings() {
    replay(Way::Api, ShopDatabase::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn price_changes_that_triggers_write_into_an_outbox_reach_exactly_their_listings() {
    replay(Way::Outbox, ShopDatabase::postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn price_changes_that_signed_webhooks_report_reach_exactly_their_listings() {
    replay(Way::Webhook, ShopDatabase::mariadb().await).await;
}
