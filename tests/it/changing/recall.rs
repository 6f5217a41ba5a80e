//! Items that are recalled: no page has them, no cursor, and nothing that one could go back to.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{
    ChangingShop, GROUPS, check_all,
    gone::{command, holds, refresh_all},
    shown, tell,
};
use crate::support::{
    RedisServer, eventually,
    service::{Service, json_of},
};

const CATEGORIES: [&str; 2] = ["a", "b"];

/// The second page of each family of a category, by the generation that is current now.
async fn second_pages(service: &Service, category: &str) -> Vec<String> {
    let mut pages = Vec::new();
    for group in GROUPS {
        for sort in ["price", "name"] {
            let path = format!("/v1/listings/category:{category}?sort={sort}&limit=4&grp={group}");
            let page = json_of(service.request(Method::GET, &path)).await;
            pages.push(page["links"]["next"].as_str().unwrap().to_owned());
        }
    }
    pages
}

async fn statuses(service: &Service, pages: &[String]) -> BTreeSet<StatusCode> {
    let mut statuses = BTreeSet::new();
    for page in pages {
        statuses.insert(service.request(Method::GET, page).send().await.unwrap().status());
    }
    statuses
}

/// The keys of all streams.
fn streams(redis: &RedisServer) -> BTreeSet<String> {
    let keys = redis.cli_lines(&["--scan", "--pattern", "*:gen:*"]);
    keys.into_iter().collect()
}

async fn change_price(shop: &mut ChangingShop, service: &Service, id: i64, price: i64) {
    shop.products.get_mut(&id).unwrap().offers = vec![Some(price)];
    shop.write(&[id]).await;
    tell(service, json!({ "id": id })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cursor_no_rollback_and_no_later_change_shows_what_is_recalled() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let config = shop.config(&redis, "[pushed]\nnames = [\"promo:*\"]");
    let (service, other) = (Service::start(&config), Service::start(&config));
    let promo: Vec<_> = (1..=30).map(|id| json!({ "id": id })).collect();
    let push = async || {
        let push = service.admin(Method::PUT, "/v1/listings/promo:x").json(&promo);
        push.send().await.unwrap().error_for_status().unwrap();
        json_of(service.request(Method::GET, "/v1/listings/promo:x?limit=100")).await["total"].clone()
    };
    assert_eq!(push().await, 30);
    check_all(&service, &shop, &CATEGORIES).await;
    check_all(&other, &shop, &CATEGORIES).await;
    // Cursors of three generations that have item 10, the last one of which a rollback undoes; the current one has it no more.
    let mut cursors = second_pages(&other, "a").await;
    change_price(&mut shop, &service, 20, 1).await;
    check_all(&other, &shop, &CATEGORIES).await;
    cursors.extend(second_pages(&other, "a").await);
    let before = streams(&redis);
    // Only the generation that is undone has item 61.
    let new = shop.products[&10].clone();
    shop.products.insert(61, new);
    shop.write(&[61]).await;
    tell(&service, json!({ "id": 61 })).await;
    check_all(&other, &shop, &CATEGORIES).await;
    cursors.extend(second_pages(&other, "b").await);
    for category in CATEGORIES {
        command(&service, &["rollback", &format!("category:{category}"), "--hold", "0s"]);
    }
    tell(&service, json!({ "id": 10, "gone": true })).await;
    eventually(async || match [holds(&service, 10).await, holds(&service, 61).await] {
        [false, false] => Ok(()),
        held => Err(held),
    })
    .await;
    assert_eq!(statuses(&service, &cursors).await, BTreeSet::from([StatusCode::OK]));

    let recall = |id: i64| json!({ "id": id, "gone": true, "recall": true });
    let outcome = tell(&service, recall(61)).await;
    assert_eq!(outcome["published"], 4, "{outcome}");
    // The pushed listing is the last one that has it.
    let outcome = tell(&service, recall(10)).await;
    assert!(outcome["published"] == 1 && outcome["failed"] == json!({}), "{outcome}");
    for node in [&service, &other] {
        eventually(async || match statuses(node, &cursors).await {
            all if all == BTreeSet::from([StatusCode::GONE]) => Ok(()),
            others => Err(others),
        })
        .await;
        assert!(!holds(node, 10).await);
    }
    let left: Vec<String> = streams(&redis).intersection(&before).cloned().collect();
    assert_eq!(left, Vec::<String>::new(), "streams that had it");
    let shown = json_of(service.request(Method::GET, "/v1/listings/promo:x?limit=100")).await;
    assert_eq!(shown["total"], 29, "pushed listings too");
    assert_eq!(push().await, 29, "and what is pushed later");

    // Neither a full read, nor a change of it, nor a rollback.
    refresh_all(&service).await;
    tell(&service, json!({ "id": 10 })).await;
    tell(&service, json!([{ "id": 10, "gone": true }, { "id": 10 }])).await;
    change_price(&mut shop, &service, 20, 2).await;
    for category in CATEGORIES {
        command(&service, &["rollback", &format!("category:{category}"), "--hold", "0s"]);
        tell(&service, json!({ "id": 10 })).await;
        assert!(!holds(&service, 10).await);
    }
    refresh_all(&service).await;
    assert!(!holds(&service, 10).await);
    // Only that somebody says so.
    tell(&service, json!({ "id": 10, "gone": false })).await;
    tell(&service, json!({ "id": 61, "gone": false })).await;
    check_all(&service, &shop, &CATEGORIES).await;
    check_all(&other, &shop, &CATEGORIES).await;
    assert_eq!(push().await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_leaves_listings_alone_that_never_had_the_item() {
    let shop = ChangingShop::with_products(60, &CATEGORIES).await;
    assert_eq!(shop.products[&12].categories, ["a".to_owned()].into());
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    let (of_a, of_b) = (second_pages(&service, "a").await, second_pages(&service, "b").await);
    tell(
        &service,
        json!({ "id": 12, "gone": true, "recall": true, "gone_for": 5 }),
    )
    .await;
    assert_eq!(statuses(&service, &of_a).await, BTreeSet::from([StatusCode::GONE]));
    assert_eq!(statuses(&service, &of_b).await, BTreeSet::from([StatusCode::OK]));
    // Its time is over, and the next full read shows it.
    eventually(async || {
        refresh_all(&service).await;
        for group in GROUPS {
            let shown = shown(&service, "a", group, "price", false).await;
            if shown != shop.expected("a", group, "price", false) {
                return Err(group);
            }
        }
        Ok(())
    })
    .await;
    check_all(&service, &shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_ends_cursors_of_a_listing_whose_head_redis_has_lost() {
    let shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let config = shop.config(&redis, "");
    let cursors = {
        let service = Service::start(&config);
        check_all(&service, &shop, &CATEGORIES).await;
        second_pages(&service, "a").await
    };
    for head in redis.cli_lines(&["--scan", "--pattern", "*:head:category:a*"]) {
        redis.cli(&["DEL", &head]);
    }
    // Nobody remembers what the listing held.
    let service = Service::start(&config);
    let gone = BTreeSet::from([StatusCode::GONE]);
    tell(&service, json!({ "id": 10, "gone": true, "recall": true })).await;
    assert_eq!(statuses(&service, &cursors).await, gone, "while there is no head");
    refresh_all(&service).await;
    assert!(!holds(&service, 10).await);
    assert_eq!(statuses(&service, &cursors).await, gone, "once there is one again");
}
