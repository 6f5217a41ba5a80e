//! Items that are gone, whatever the origin says.

use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{ChangingShop, GROUPS, check_all, orders, shown, tell};
use crate::support::{
    RedisServer, eventually,
    service::{Service, json_of},
};

const CATEGORIES: [&str; 2] = ["a", "b"];

pub(super) async fn holds(service: &Service, id: i64) -> bool {
    for category in CATEGORIES {
        for (group, sort, desc) in orders() {
            if shown(service, category, group, sort, desc)
                .await
                .iter()
                .any(|(shown, _)| *shown == id)
            {
                return true;
            }
        }
    }
    false
}

fn families() -> impl Iterator<Item = (&'static str, i64)> {
    let of_category = |category| GROUPS.map(|group| (category, group));
    CATEGORIES.into_iter().flat_map(of_category)
}

/// Reads all listings in full.
pub(super) async fn refresh_all(service: &Service) {
    for (category, group) in families() {
        let path = format!("/v1/listings/category:{category}/refresh?wait=true&grp={group}");
        let refresh = service.admin(Method::POST, &path).send().await.unwrap();
        refresh.error_for_status().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_on_no_page_until_it_changes_or_its_time_is_over() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let config = shop.config(&redis, "[pushed]\nnames = [\"promo:*\"]");
    let (service, other) = (Service::start(&config), Service::start(&config));
    check_all(&service, &shop, &CATEGORIES).await;
    check_all(&other, &shop, &CATEGORIES).await;
    let promo: Vec<_> = (1..=30).map(|id| json!({ "id": id })).collect();
    let push = service.admin(Method::PUT, "/v1/listings/promo:x").json(&promo);
    push.send().await.unwrap().error_for_status().unwrap();
    let outcome = tell(&service, json!({ "id": 12, "gone": true })).await;
    assert!(
        outcome["published"].as_u64().unwrap() > 1 && outcome["failed"] == json!({}),
        "{outcome}"
    );
    assert!(!holds(&service, 12).await);
    eventually(async || {
        if holds(&other, 12).await {
            Err("still there")
        } else {
            Ok(())
        }
    })
    .await;
    let promo = json_of(service.request(Method::GET, "/v1/listings/promo:x?limit=100")).await;
    assert_eq!(promo["total"], 29, "pushed listings too");
    // The origin has it still: no full read brings it back, and no change of another item.
    refresh_all(&service).await;
    shop.products.get_mut(&13).unwrap().offers = vec![Some(7)];
    shop.write(&[13]).await;
    tell(&service, json!({ "id": 13 })).await;
    assert!(!holds(&service, 12).await);
    assert!(holds(&service, 13).await);
    // A later change of it does.
    tell(&service, json!({ "id": 12 })).await;
    check_all(&service, &shop, &CATEGORIES).await;
    check_all(&other, &shop, &CATEGORIES).await;
    // And so does the end of its time, with the next full read.
    tell(&service, json!({ "id": 12, "gone": true, "gone_for": 1 })).await;
    assert!(!holds(&service, 12).await);
    eventually(async || {
        refresh_all(&service).await;
        for (category, group) in families() {
            if shown(&service, category, group, "price", false).await != shop.expected(category, group, "price", false)
            {
                return Err((category, group));
            }
        }
        Ok(())
    })
    .await;
    check_all(&service, &shop, &CATEGORIES).await;
}

/// Runs a command of the program beside the service, with its configuration.
pub(super) fn command(service: &Service, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_listcache"));
    command
        .args(arguments)
        .env("LISTCACHE_CONFIG", service.file("listcache.toml"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_nothing_back_that_is_gone() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    let before = shop.products.clone();
    let ids: Vec<String> = [13, 19].map(|id: i64| id.to_string()).into();
    for id in [13, 19] {
        shop.products.get_mut(&id).unwrap().offers = vec![Some(1)];
    }
    shop.write(&[13, 19]).await;
    let said = command(&service, &["changes", "--wait", "30s", &ids[0], &ids[1]]);
    assert!(said.contains("  done: ") && said.contains("  published"), "{said}");
    check_all(&service, &shop, &CATEGORIES).await;
    // Both generations that are gone back to have it.
    tell(&service, json!({ "id": 13, "gone": true })).await;
    for _ in 0..2 {
        for category in CATEGORIES {
            let said = command(&service, &["rollback", &format!("category:{category}"), "--hold", "0s"]);
            assert!(said.contains(" items of "), "{said}");
        }
        assert!(!holds(&service, 13).await && holds(&service, 19).await);
    }
    // Nothing is due further ahead than after a refresh, and so read at once.
    let now: u64 = redis.cli_lines(&["TIME"])[0].parse().unwrap();
    for key in redis.cli_lines(&["--scan", "--pattern", "*:due"]) {
        for due in redis.cli_lines(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]).chunks(2) {
            let at: u64 = due[1].parse().unwrap();
            assert!(at < 1000 * (now + 30 * 86_400 - 20), "{due:?} at {now}");
        }
    }
    // The second one went back to the prices before.
    shop.products = before;
    shop.products.remove(&13);
    check_all(&service, &shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_is_under_way_is_not_undone_by_items_that_are_gone() {
    const ROUNDS: i64 = 30;
    let shop = ChangingShop::with_products(1, &CATEGORIES).await;
    let redis = RedisServer::start();
    let config = shop.config(&redis, "[pushed]\nnames = [\"promo:*\"]");
    let (service, other) = (Service::start(&config), Service::start(&config));
    let push = async |round: i64| {
        let items: Vec<_> = (1..=2000).map(|id| json!({ "id": id, "round": round })).collect();
        // A push that another write has overtaken is refused, and the client is told: it is sent again.
        loop {
            let push = other.admin(Method::PUT, "/v1/listings/promo:x").json(&items);
            let answer = push.send().await.unwrap();
            if answer.status() != StatusCode::CONFLICT {
                answer.error_for_status().unwrap();
                return;
            }
        }
    };
    push(0).await;
    for round in 1..=ROUNDS {
        // Some before the push is drawn, some after it, some once it is there.
        let gone = async {
            for part in 0..8 {
                tell(&service, json!({ "id": 100 + 8 * round + part, "gone": true })).await;
            }
        };
        tokio::join!(push(round), gone);
        let path = "/v1/listings/promo:x?limit=1";
        let page = json_of(service.request(Method::GET, path)).await;
        assert_eq!(page["items"][0]["round"], round, "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_word_about_an_item_counts_however_changes_are_worked_off() {
    let shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    let (changed, gone) = (json!({ "id": 7 }), json!({ "id": 7, "gone": true }));
    // Told together, and one after the other without waiting for either.
    tell(&service, json!([changed, gone])).await;
    refresh_all(&service).await;
    assert!(!holds(&service, 7).await);
    tell(&service, json!([gone, changed])).await;
    check_all(&service, &shop, &CATEGORIES).await;
    for _ in 0..10 {
        let first = service.admin(Method::POST, "/v1/changes").json(&changed);
        first.send().await.unwrap().error_for_status().unwrap();
        tell(&service, gone.clone()).await;
        refresh_all(&service).await;
        assert!(!holds(&service, 7).await);
    }
    // Of some of its listings only: it stays gone from all.
    tell(&service, json!({ "id": 7, "variants": { "grp": "1" } })).await;
    refresh_all(&service).await;
    assert!(!holds(&service, 7).await);
    tell(&service, changed).await;
    check_all(&service, &shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_listing_is_not_read_because_all_of_it_has_changed() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    command(&service, &["freeze", "category:a", "--for", "10m"]);
    eventually(async || {
        let explain = "/v1/listings/category:a/explain?sort=price&grp=0";
        let explained = json_of(service.admin(Method::GET, explain)).await;
        match explained["frozen_until"].is_null() {
            true => Err(explained),
            false => Ok(()),
        }
    })
    .await;
    let before = shown(&service, "a", 0, "price", false).await;
    shop.products.get_mut(&3).unwrap().offers = vec![Some(3)];
    shop.products.get_mut(&4).unwrap().offers = vec![Some(4)];
    shop.write(&[3, 4]).await;
    tell(&service, json!({ "listings": "category:*" })).await;
    check_all(&service, &shop, &["b"]).await;
    assert_eq!(shown(&service, "a", 0, "price", false).await, before);
    command(&service, &["thaw", "category:a"]);
    check_all(&service, &shop, &CATEGORIES).await;
}
