//! Nodes that die, origins that are away, clocks that differ, instants that come together, and reads that are under way.

use reqwest::Method;

use super::{
    AHEAD, PRODUCT, PROMOTED, USUAL, filled, ms, now_ms, seen,
    shop::{PromotingShop, SQLITE},
    sleep_until, sum, until_promoted,
};
use crate::{
    changing::{databases::ShopDatabase, gone::command},
    support::{eventually, service::json_of},
};

async fn shop() -> PromotingShop {
    PromotingShop::new(ShopDatabase::sqlite().await, SQLITE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_just_before_leaves_the_instant_to_the_other() {
    for with_ids in [true, false] {
        let shop = shop().await;
        let mut shop = if with_ids { shop } else { shop.without_ids() };
        let at = now_ms() + ms(AHEAD);
        shop.promote(PRODUCT, 0, at, PROMOTED).await;
        let (mut one, other) = (shop.start(""), shop.start(""));
        filled(&shop, &[&one, &other]).await;
        sleep_until(at - 20).await;
        one.kill();
        until_promoted(&[&other], at).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_with_a_claim_loses_no_instant() {
    let mut shop = shop().await;
    let at = now_ms() + ms(AHEAD);
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    let (mut one, other) = (shop.start(""), shop.start(""));
    filled(&shop, &[&one, &other]).await;
    // The other one stands still: the first claims the instant, and dies before its patch, for it cannot reach its database.
    other.stop();
    let away = shop.database.url.strip_prefix("sqlite:").unwrap().to_owned();
    std::fs::rename(&away, format!("{away}.away")).unwrap();
    sleep_until(at).await;
    eventually(
        async || match one.metric("listcache_clock_changes_total{outcome=\"failed\"}").await {
            0.0 => Err(()),
            _ => Ok(()),
        },
    )
    .await;
    // It says so, and its pages may be kept by nobody.
    assert!(one.logs("an instant of next_change_query has come and cannot be followed"));
    let page = seen(&one, 0, "price").await;
    assert_eq!(page.price, USUAL);
    page.ends_before(at);
    one.kill();
    std::fs::rename(format!("{away}.away"), &away).unwrap();
    other.cont();
    until_promoted(&[&other], at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instants_that_come_one_upon_the_other_are_all_followed() {
    let mut shop = shop().await;
    let at = now_ms() + ms(AHEAD);
    for id in 1..=PRODUCT {
        shop.promote(id, 0, at + u64::try_from((id - 1) * 37).unwrap(), PROMOTED)
            .await;
    }
    let service = shop.start("");
    filled(&shop, &[&service]).await;
    let reads = service.metric("listcache_origin_reads_total").await;
    until_promoted(&[&service], at).await;
    eventually(async || {
        let page = json_of(service.request(Method::GET, &super::path(0, "price"))).await;
        let items = page["items"].as_array().unwrap();
        let promoted = items.iter().filter(|item| item["price_cents"] == PROMOTED).count();
        if promoted == usize::try_from(PRODUCT).unwrap() {
            Ok(())
        } else {
            Err(promoted)
        }
    })
    .await;
    assert_eq!(service.metric("listcache_origin_reads_total").await, reads);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_at_which_nothing_changes_moves_no_head() {
    let mut shop = shop().await;
    let at = now_ms() + ms(AHEAD);
    // The price is the usual one. A later promotion is known by then.
    shop.promote(PRODUCT, 0, at, USUAL).await;
    shop.promote(PRODUCT, 0, at + 900_000, PROMOTED).await;
    let (one, other) = (shop.start(""), shop.start(""));
    let services = [&one, &other];
    filled(&shop, &services).await;
    let before = seen(&other, 0, "price").await;
    before.ends_before(at);
    let reads = sum(&services, "listcache_origin_reads_total").await;
    sleep_until(at).await;
    for service in services {
        for sort in super::SORTS {
            // Each node hears of the next instant, though no head moved.
            let page = eventually(async || {
                let page = seen(service, 0, sort).await;
                match page.lifetime("cache-control") {
                    0 => Err(page.header("cache-control").to_owned()),
                    _ => Ok(page),
                }
            })
            .await;
            page.ends_before(at + 900_000);
        }
    }
    assert_eq!(seen(&one, 0, "price").await.generation, before.generation);
    assert_eq!(sum(&services, "listcache_origin_reads_total").await, reads);
    assert_eq!(
        sum(&services, "listcache_clock_changes_total{outcome=\"unchanged\"}").await,
        1.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_clock_is_behind_is_asked_again() {
    let mut shop = shop().await;
    let behind = "cast(unixepoch('subsec') * 1000 - 1500 as integer)";
    shop.query = shop.query.replace(SQLITE.now, behind);
    shop.next = shop.next.replace(SQLITE.now, behind);
    let at = now_ms() + ms(AHEAD);
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    let service = shop.start("");
    filled(&shop, &[&service]).await;
    let reads = service.metric("listcache_origin_reads_total").await;
    until_shown(&service).await;
    assert!(now_ms() >= at + 1500);
    // Patches alone: no page has waited for a full read.
    assert_eq!(service.metric("listcache_origin_reads_total").await, reads);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_just_before_forgets_no_instant_of_a_database_whose_clock_is_ahead() {
    let mut shop = shop().await;
    let at = now_ms() + ms(AHEAD);
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    // The query of instants is ahead of that of items, as the rows would be for a patch of another item.
    shop.next = shop
        .next
        .replace(SQLITE.now, "cast(unixepoch('subsec') * 1000 + 2000 as integer)");
    let service = shop.start("");
    filled(&shop, &[&service]).await;
    sleep_until(at - 1500).await;
    let changed = serde_json::json!({"id": 1});
    shop.database
        .run("update products set price_cents = 101 where id = 1")
        .await;
    json_of(service.admin(Method::POST, "/v1/changes?wait=true").json(&changed)).await;
    until_promoted(&[&service], at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instant_that_redis_has_lost_is_found_by_a_page() {
    let mut shop = shop().await;
    let at = now_ms() + ms(AHEAD);
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    let service = shop.start("");
    filled(&shop, &[&service]).await;
    for pattern in ["*:instants", "*:next:*"] {
        for key in shop.redis.cli(&["KEYS", pattern]).lines() {
            assert_eq!(shop.redis.cli(&["DEL", key]), "1");
        }
    }
    sleep_until(at).await;
    // It is left to the clock for a while.
    let page = seen(&service, 0, "price").await;
    assert_eq!(page.price, USUAL);
    page.ends_before(at);
    until_shown(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_stays_is_not_believed_at_an_instant() {
    let mut shop = shop().await.without_ids();
    let at = now_ms() + ms(AHEAD);
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    let service = shop.start("version_query = \"select count(*) from products\"");
    filled(&shop, &[&service]).await;
    until_promoted(&[&service], at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_is_written_later_is_known_from_the_next_read_on() {
    let mut shop = shop().await;
    let (one, other) = (shop.start(""), shop.start(""));
    filled(&shop, &[&one, &other]).await;
    assert!(seen(&other, 0, "price").await.lifetime("cache-control") >= 3600);
    let at = now_ms() + ms(AHEAD);
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    // The items are the same: no head moves, and every node hears of the instant.
    let refresh = one.admin(Method::POST, "/v1/listings/category:BREAD/refresh?wait=true");
    json_of(refresh).await;
    eventually(async || {
        let page = seen(&other, 0, "price").await;
        match page.lifetime("cache-control") {
            lifetime if lifetime >= 3600 => Err(lifetime),
            _ => Ok(()),
        }
    })
    .await;
    until_promoted(&[&one, &other], at).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_listing_stays_as_it_is_until_its_thaw() {
    let mut shop = shop().await;
    let at = now_ms() + ms(AHEAD);
    shop.promote(PRODUCT, 0, at, PROMOTED).await;
    let service = shop.start("");
    filled(&shop, &[&service]).await;
    command(&service, &["freeze", "category:*", "--for", "10m"]);
    sleep_until(at + 1000).await;
    let page = seen(&service, 0, "price").await;
    assert_eq!(page.price, USUAL);
    assert_ne!(page.header("cache-control"), "max-age=0");
    command(&service, &["thaw", "category:*"]);
    until_shown(&service).await;
}

/// Waits until the promotion is shown, whatever pages say until then.
async fn until_shown(service: &crate::support::service::Service) {
    eventually(async || match seen(service, 0, "price").await.price {
        PROMOTED => Ok(()),
        other => Err(other),
    })
    .await;
}
