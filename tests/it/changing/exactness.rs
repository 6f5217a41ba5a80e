//! After any changes every listing is what a full read would make it, and nothing else was published.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use reqwest::Method;
use serde_json::Value;

use super::{ChangingShop, GROUPS, Product, check_all, of_ids, orders, shown, tell};
use crate::support::{RedisServer, service::Service};

const CATEGORIES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Products at the start; each category has some 50 items.
const PRODUCTS: i64 = 140;
const ROUNDS: usize = 40;

/// The rows of a family, whatever their order.
type Content = BTreeSet<(i64, Option<i64>, Option<String>, bool)>;

fn contents(shop: &ChangingShop) -> BTreeMap<(&'static str, i64), Content> {
    let families = CATEGORIES
        .into_iter()
        .flat_map(|category| GROUPS.map(|group| (category, group)));
    let content = |(category, group): (&'static str, i64)| {
        let rows = shop.expected(category, group, "price", false).into_iter();
        let row = |(id, price): (i64, Option<i64>)| {
            let product = &shop.products[&id];
            (id, price, product.name.clone(), product.sold_out)
        };
        ((category, group), rows.map(row).collect())
    };
    families.map(content).collect()
}

/// Changes a product in one of the ways in which shops change them. Returns its id.
fn change(shop: &mut ChangingShop, random: &mut Rng) -> i64 {
    let category = |random: &mut Rng| CATEGORIES[random.usize(..CATEGORIES.len())].to_owned();
    let price = |random: &mut Rng| (random.u8(..12) > 0).then(|| random.i64(90..150));
    let ids: Vec<i64> = shop.products.keys().copied().collect();
    let id = ids[random.usize(..ids.len())];
    if random.u8(..10) == 0 {
        let id = ids.last().unwrap() + 1;
        let product = Product {
            name: Some(format!("new {id}")),
            offers: vec![price(random)],
            sold_out: false,
            categories: BTreeSet::from([category(random)]),
        };
        shop.products.insert(id, product);
        return id;
    }
    if random.u8(..12) == 0 {
        shop.products.remove(&id);
        return id;
    }
    let product = shop.products.get_mut(&id).unwrap();
    match random.u8(..7) {
        0 => product.name = (random.bool()).then(|| format!("renamed {}", random.u8(..))),
        1 => product.sold_out = !product.sold_out,
        2 => drop(product.categories.insert(category(random))),
        3 => {
            // From one category to another.
            let first = product.categories.pop_first();
            product.categories.insert(category(random));
            product.categories.extend(first.filter(|_| random.bool()));
        }
        4 => product.offers = (0..random.usize(1..4)).map(|_| price(random)).collect(),
        // Told, though nothing has changed.
        5 => {}
        _ => product.offers[0] = price(random),
    }
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn any_changes_lead_to_what_a_full_read_gives_and_nothing_else_is_published() {
    let mut shop = ChangingShop::with_products(PRODUCTS, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    let mut random = Rng::with_seed(7);
    let reads = service.metric("listcache_origin_reads").await;
    let (mut published, mut rows) = (0, 0);
    for round in 0..ROUNDS {
        let before = contents(&shop);
        let ids: BTreeSet<i64> = (0..random.usize(1..6))
            .map(|_| change(&mut shop, &mut random))
            .collect();
        let all: Vec<i64> = ids.iter().copied().collect();
        shop.write(&all).await;
        let after = contents(&shop);
        let outcome = tell(&service, of_ids(&ids)).await;
        let affected: Vec<_> = before
            .iter()
            .filter(|(family, content)| after[*family] != **content)
            .collect();
        let families: Vec<_> = affected.iter().map(|(family, _)| *family).collect();
        assert_eq!(
            outcome["published"],
            families.len(),
            "round {round}: {outcome}, and changed are {families:?}"
        );
        assert_eq!(
            (&outcome["state"], &outcome["failed"]),
            (&Value::from("done"), &serde_json::json!({})),
            "{outcome}"
        );
        published += families.len();
        rows += ids.len();
        check_all(&service, &shop, &CATEGORIES).await;
    }
    assert!(published > ROUNDS, "{published}");
    assert_eq!(
        service.metric("listcache_origin_reads").await,
        reads,
        "no listing was read in full"
    );
    // A row a family that may hold the item: each product stands in some of ten families.
    let read = service.metric("listcache_changed_rows_read_total").await;
    assert!(read < (rows * 10 * 3) as f64, "{read} rows for {rows} changes");
    // Another node finds the same, and so does a full read.
    let other = Service::start(&shop.config(&redis, ""));
    check_all(&other, &shop, &CATEGORIES).await;
    let mut patched = Vec::new();
    for (group, sort, desc) in orders() {
        patched.push(shown(&other, "a", group, sort, desc).await);
    }
    for group in GROUPS {
        let refresh = other.admin(
            Method::POST,
            &format!("/v1/listings/category:a/refresh?wait=true&grp={group}"),
        );
        refresh.send().await.unwrap().error_for_status().unwrap();
    }
    for ((group, sort, desc), before) in orders().zip(patched) {
        assert_eq!(
            shown(&other, "a", group, sort, desc).await,
            before,
            "{group} {sort} {desc}"
        );
    }
}
