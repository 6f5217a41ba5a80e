//! Filters of listings that change, are lost, or are declared anew.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::Value;

use super::{FILTERS, PRODUCTS, Product, Shop, ids};
use crate::support::eventually;

/// Generations that are published while walkers walk.
const PUBLISHED: i64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_sees_one_generation_and_each_match_once_whatever_is_published() {
    let products: Vec<Product> = PRODUCTS.iter().take(600).cloned().collect();
    let shop = Shop::start(&products);
    let done = AtomicBool::new(false);
    let publish = async {
        for round in 1..=PUBLISHED {
            // Prices move, and with them places; the matches of a brand stay.
            let moved = products.iter().enumerate().map(|(at, product)| match at % 50 {
                0 => product.with_price(product.price + round * (at as i64 % 7)),
                _ => product.clone(),
            });
            shop.replace(&moved.collect::<Vec<_>>());
            shop.refresh().await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let expected: Vec<i64> = {
        let mut ids: Vec<i64> = products
            .iter()
            .filter(|product| product.brand == "Private")
            .map(|one| one.id)
            .collect();
        ids.sort_unstable();
        ids
    };
    let walk = async {
        let (mut walks, mut generations) = (0, std::collections::BTreeSet::new());
        while !done.load(Ordering::SeqCst) {
            let order = if walks % 2 == 0 { "asc" } else { "desc" };
            let mut page = shop
                .page(&format!("/v1/listings/all?f.brand=Private&size=7&order={order}"))
                .await;
            let (generation, mut seen, mut prices) = (page["generation"].clone(), Vec::new(), Vec::new());
            loop {
                assert_eq!(page["generation"], generation);
                assert_eq!(page["total"], expected.len());
                seen.extend(ids(&page));
                let items = page["items"].as_array().unwrap();
                prices.extend(items.iter().map(|item| item["price_cents"].as_i64().unwrap()));
                let Some(next) = page["links"]["next"].as_str() else {
                    break;
                };
                page = shop.page(next).await;
            }
            if order == "desc" {
                prices.reverse();
            }
            assert!(prices.is_sorted(), "{generation} {order}: {prices:?}");
            seen.sort_unstable();
            assert_eq!(seen, expected, "{generation}");
            generations.insert(generation.to_string());
            walks += 1;
        }
        (walks, generations.len())
    };
    let ((), (walks, generations)) = tokio::join!(publish, walk);
    eprintln!("{walks} walks through {generations} of {PUBLISHED} generations");
    assert!(
        walks >= 2 && generations >= 2,
        "{walks} walks, {generations} generations"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_read_again() {
    let shop = Shop::start_with(&PRODUCTS, "[l1]\nchunks_max = \"1KiB\"\n", FILTERS);
    let asked = "/v1/listings/all?sort=name&f.brand=Private&size=1";
    let before = shop.page(asked).await;
    let bytes_read = || {
        let stats = shop.redis.cli_lines(&["INFO", "stats"]);
        let line = stats
            .iter()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let cost = async |asked: &str| {
        let before = bytes_read();
        let page = shop.page(asked).await;
        (bytes_read() - before, page)
    };
    // One price, and its product has another brand.
    let mut products = PRODUCTS.to_vec();
    let at = products.iter().position(|product| product.brand == "Private").unwrap();
    let mut changed: Value = serde_json::from_str(&products[at].json).unwrap();
    changed["brand"] = "National".into();
    products[at] = Product::of(&changed.to_string());
    shop.replace(&products);
    shop.refresh().await;
    let (little, page) = cost(asked).await;
    assert_ne!(page["generation"], before["generation"]);
    assert_eq!(page["total"].as_u64().unwrap() + 1, before["total"].as_u64().unwrap());
    // Of the other sort nothing was read yet.
    let (all, _) = cost("/v1/listings/all?sort=price&f.brand=Private&size=1").await;
    eprintln!("{little} bytes where one item has changed, {all} for all");
    assert!(little * 5 < all, "{little} {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_declared_while_it_runs_works_on_what_is_there() {
    let shop = Shop::start_with(&PRODUCTS, "", "");
    let before = shop.page("/v1/listings/all").await;
    let reads = shop.reads().await;
    assert_eq!(shop.answer("/v1/listings/all?f.brand=Private").await.status(), 400);
    shop.service.reconfigure(&shop.config(FILTERS));
    let page = eventually(async || {
        let answer = shop.answer("/v1/listings/all?f.brand=Private&facets=kind").await;
        match answer.status().as_u16() {
            200 => Ok(answer.json::<Value>().await.unwrap()),
            other => Err(other),
        }
    })
    .await;
    assert_eq!(page["generation"], before["generation"]);
    assert!(
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["brand"] == "Private")
    );
    // A pinned page too.
    let pinned = format!(
        "/v1/listings/all?f.brand=Private&generation={}",
        before["generation"].as_str().unwrap()
    );
    assert_eq!(ids(&shop.page(&pinned).await), ids(&page));
    assert_eq!(shop.reads().await, reads);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_has_lost_is_refilled_and_what_is_deleted_is_gone() {
    let shop = Shop::start_with(&PRODUCTS, "[l1]\nchunks_max = \"1KiB\"\n", FILTERS);
    let asked = "/v1/listings/all?f.brand=Private&size=50";
    let before = shop.page(asked).await;
    let unlink = |kind: &str| {
        let keys = shop.redis.cli_lines(&["KEYS", &format!("*:{kind}:*all*")]);
        for key in keys.iter().filter(|key| !key.is_empty()) {
            shop.redis.cli(&["UNLINK", key]);
        }
    };
    unlink("gen");
    let refilled = shop.page(asked).await;
    assert_ne!(refilled["generation"], before["generation"]);
    assert_eq!(ids(&refilled), ids(&before));
    // Before its columns were made: another sort of it was never asked for.
    shop.page("/v1/listings/all?sort=name").await;
    unlink("gen");
    let other = shop.page("/v1/listings/all?sort=name&f.brand=Private&size=50").await;
    assert_eq!(other["total"], before["total"]);
    let next = refilled["links"]["next"].as_str().unwrap();
    assert_eq!(shop.answer(next).await.status(), 410, "its generation is lost");
    let current = shop.page(asked).await;
    let next = current["links"]["next"].as_str().unwrap();
    let page = shop.page(next).await;
    assert!(
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["brand"] == "Private")
    );
    let delete = shop
        .service
        .admin(Method::DELETE, "/v1/listings/all")
        .send()
        .await
        .unwrap();
    assert_eq!(delete.status(), 204);
    assert_eq!(shop.answer(next).await.status(), 410);
}
