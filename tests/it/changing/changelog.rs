//! Changelogs of other programs: rows are read behind a position, and no change is lost.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use fastrand::Rng;
use reqwest::Method;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{ChangingShop, check_all};
use crate::support::{RedisServer, all_the_while, eventually, service::Service};

const CATEGORIES: [&str; 2] = ["a", "b"];

/// As Magento has them: a row a change, and how far its indexer is.
const CHANGELOG: &str = "
    create table product_cl (version_id integer primary key autoincrement, entity_id integer not null);
    create table view_state (version_id integer);
    insert into view_state values (1000000);";
const TRIGGERS: &str = "
    create trigger products_added after insert on products
      begin insert into product_cl (entity_id) values (new.id); end;
    create trigger products_removed after delete on products
      begin insert into product_cl (entity_id) values (old.id); end;";

impl ChangingShop {
    async fn with_changelog(triggers: &'static str) -> Self {
        let mut shop = Self::with_products(60, &CATEGORIES).await;
        shop.sql(CHANGELOG).await;
        shop.sql(triggers).await;
        shop
    }

    /// The shop has told of changes for long before it is read.
    async fn sql(&mut self, statements: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(statements.into()))
            .execute(&mut self.database)
            .await
            .unwrap();
    }

    fn config_with_changelog(&self, redis: &RedisServer, keys: &str) -> String {
        let query = "select version_id, entity_id from product_cl where version_id > :after order by 1 limit 20";
        self.config_with_query(redis, &format!("query = \"{query}\"\n{keys}"))
    }

    fn config_with_query(&self, redis: &RedisServer, keys: &str) -> String {
        let config = self.config(redis, "");
        let (before, listings) = config.split_once("            [[listings]]").unwrap();
        format!("{before}[origins.shop.changes]\nevery = \"100ms\"\n{keys}\n[[listings]]{listings}")
    }

    async fn greatest(&mut self) -> i64 {
        sqlx::query_scalar("select coalesce(max(version_id), -1) from product_cl")
            .fetch_one(&mut self.database)
            .await
            .unwrap()
    }

    /// Changes the price of a product, unseen by the changelog.
    async fn reprice(&mut self, id: i64, price: i64) {
        self.products.get_mut(&id).unwrap().offers = vec![Some(price)];
        self.write(&[id]).await;
    }
}

async fn position_becomes(redis: &RedisServer, expect: i64) {
    eventually(async || match redis.cli(&["GET", "listcache:2:changelog:shop"]) {
        position if position == expect.to_string() => Ok(()),
        other => Err((other, expect)),
    })
    .await;
}

async fn recorded(service: &Service) -> f64 {
    service.metric("listcache_changes_total{source=\"database\"}").await
}

async fn recorded_becomes(service: &Service, expect: f64) {
    eventually(async || match recorded(service).await {
        recorded if recorded == expect => Ok(()),
        other => Err((other, expect)),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_changelog_are_on_the_pages_even_where_nodes_are_killed() {
    let mut shop = ChangingShop::with_changelog(TRIGGERS).await;
    let old: String = (0..5000)
        .map(|at| format!("({})", at % 60 + 1))
        .collect::<Vec<_>>()
        .join(",");
    shop.sql(format!("insert into product_cl (entity_id) values {old}"))
        .await;
    let redis = RedisServer::start();
    let config = shop.config_with_changelog(&redis, "overlap = 10");
    let mut nodes = [Service::start(&config), Service::start(&config)];
    for node in &nodes {
        check_all(node, &shop, &CATEGORIES).await;
    }
    // The rows from before the first start are old.
    position_becomes(&redis, 5000).await;
    assert_eq!(recorded(&nodes[0]).await + recorded(&nodes[1]).await, 0.0);
    let mut random = Rng::with_seed(12);
    for round in 0..12 {
        let ids: BTreeSet<i64> = (0..random.usize(1..30)).map(|_| random.i64(1..=60)).collect();
        for id in &ids {
            if random.u8(..8) == 0 {
                shop.products.remove(id);
            } else if let Some(product) = shop.products.get_mut(id) {
                product.offers = vec![Some(random.i64(80..200))];
            }
        }
        let ids: Vec<i64> = ids.into_iter().collect();
        shop.write(&ids).await;
        if round % 3 == 1 {
            // Whatever it has done by now of reading, recording and moving the position.
            tokio::time::sleep(Duration::from_millis(random.u64(..120))).await;
            let killed = random.usize(..2);
            nodes[killed].kill();
            nodes[killed] = Service::start(&config);
        }
        let greatest = shop.greatest().await;
        position_becomes(&redis, greatest).await;
        check_all(&nodes[round % 2], &shop, &CATEGORIES).await;
    }
    // Nothing is deleted.
    assert!(shop.greatest().await > 5000);
    let rows: i64 = sqlx::query_scalar("select count(*) from product_cl")
        .fetch_one(&mut shop.database)
        .await
        .unwrap();
    assert_eq!(rows, shop.greatest().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_position_moves_only_behind_what_redis_has() {
    let mut shop = ChangingShop::with_changelog(TRIGGERS).await;
    let redis = RedisServer::start();
    let config = shop.config_with_changelog(&redis, "overlap = 0");
    let mut service = Service::start(&config);
    check_all(&service, &shop, &CATEGORIES).await;
    position_becomes(&redis, -1).await;
    for price in 500.. {
        redis.pause();
        shop.reprice(3, price).await;
        // Read, and not recorded; but where the lease was lost first the row was not read.
        let begun = Instant::now();
        let mut is_read = false;
        while !is_read && begun.elapsed() < Duration::from_secs(4) {
            is_read = service.log().contains("the changelog is not worked off");
        }
        if is_read {
            break;
        }
        redis.resume();
        let greatest = shop.greatest().await;
        position_becomes(&redis, greatest).await;
        assert!(price < 510, "the row was never read while Redis stood still");
    }
    service.kill();
    redis.resume();
    let service = Service::start(&config);
    check_all(&service, &shop, &CATEGORIES).await;
    let greatest = shop.greatest().await;
    position_becomes(&redis, greatest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_within_the_overlap_is_seen_and_other_rows_are_recorded_once() {
    let mut shop = ChangingShop::with_changelog("").await;
    shop.sql("insert into product_cl values (1, 1), (2, 2)").await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config_with_changelog(&redis, "overlap = 10"));
    check_all(&service, &shop, &CATEGORIES).await;
    position_becomes(&redis, 2).await;
    shop.reprice(4, 400).await;
    shop.reprice(5, 500).await;
    // 13 is of a transaction that is not yet committed.
    shop.sql("insert into product_cl values (3, 4), (12, 5), (14, 8)").await;
    position_becomes(&redis, 14).await;
    check_all(&service, &shop, &CATEGORIES).await;
    recorded_becomes(&service, 3.0).await;
    shop.reprice(6, 600).await;
    shop.reprice(7, 700).await;
    shop.sql("insert into product_cl values (13, 6), (5, 7)").await;
    check_all(&service, &shop, &CATEGORIES).await;
    recorded_becomes(&service, 5.0).await;
    // More rows in the overlap than one query yields hide no later row.
    shop.sql("insert into product_cl select 14 + value, 20 + value from json_each('[1,2,3,4,5,6,7,8,9]')")
        .await;
    position_becomes(&redis, 23).await;
    recorded_becomes(&service, 14.0).await;
    // Before the overlap nothing is looked for.
    shop.sql("insert into product_cl values (6, 9)").await;
    all_the_while(Duration::from_millis(600), async || {
        assert_eq!(recorded(&service).await, 14.0, "each row once");
    })
    .await;
    assert_eq!(redis.cli(&["GET", "listcache:2:changelog:shop"]), "23");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overlap_that_is_wider_than_a_query_hides_no_later_row() {
    let mut shop = ChangingShop::with_changelog("").await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config_with_changelog(&redis, "overlap = 1000"));
    check_all(&service, &shop, &CATEGORIES).await;
    position_becomes(&redis, -1).await;
    for (id, to) in [(1, 50), (2, 100), (3, 150)] {
        shop.reprice(id, 900 + id).await;
        let rows: Vec<String> = (to - 49..=to).map(|version| format!("({version}, {id})")).collect();
        shop.sql(format!("insert into product_cl values {}", rows.join(",")))
            .await;
        position_becomes(&redis, to).await;
        check_all(&service, &shop, &CATEGORIES).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_wait_for_the_indexer_of_the_shop() {
    let mut shop = ChangingShop::with_changelog("").await;
    shop.sql("update view_state set version_id = 1; insert into product_cl values (1, 1), (2, 2)")
        .await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config_with_changelog(&redis, "upto = \"select version_id from view_state\""));
    check_all(&service, &shop, &CATEGORIES).await;
    // At the first start row 2 is not old: its index is still to be written.
    position_becomes(&redis, 1).await;
    shop.reprice(2, 222).await;
    shop.reprice(3, 333).await;
    shop.sql("insert into product_cl values (3, 3)").await;
    all_the_while(Duration::from_millis(600), async || {
        assert_eq!(recorded(&service).await, 0.0);
    })
    .await;
    shop.sql("update view_state set version_id = 2").await;
    position_becomes(&redis, 2).await;
    recorded_becomes(&service, 1.0).await;
    shop.sql("update view_state set version_id = 3").await;
    check_all(&service, &shop, &CATEGORIES).await;
    position_becomes(&redis, 3).await;
    recorded_becomes(&service, 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_whose_counter_begins_again_is_read_from_its_beginning() {
    let mut shop = ChangingShop::with_changelog("").await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config_with_changelog(&redis, ""));
    check_all(&service, &shop, &CATEGORIES).await;
    shop.sql("insert into product_cl values (100, 1), (200, 2)").await;
    position_becomes(&redis, 200).await;
    recorded_becomes(&service, 2.0).await;
    shop.reprice(3, 301).await;
    shop.reprice(4, 401).await;
    shop.sql("delete from product_cl; insert into product_cl values (1, 3), (2, 4)")
        .await;
    position_becomes(&redis, 2).await;
    check_all(&service, &shop, &CATEGORIES).await;
    assert!(service.logs("the changelog ends before the position"));
    // Emptied by those who cleaned it up: the counter goes on.
    shop.sql("delete from product_cl").await;
    position_becomes(&redis, -1).await;
    shop.reprice(5, 501).await;
    shop.sql("insert into product_cl values (3, 5)").await;
    position_becomes(&redis, 3).await;
    check_all(&service, &shop, &CATEGORIES).await;
    recorded_becomes(&service, 5.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_cannot_be_right_is_told_of_and_pages_go_on() {
    let mut shop = ChangingShop::with_changelog("").await;
    shop.sql("insert into product_cl values (1, 1), (2, 2)").await;
    let redis = RedisServer::start();
    let with = |query: &str| shop.config_with_query(&redis, &format!("query = \"{query}\""));
    let service = Service::start(&with(
        "select version_id, entity_id from no_table where version_id > :after",
    ));
    check_all(&service, &shop, &CATEGORIES).await;
    let health = async || -> Value {
        let ready = service.request(Method::GET, "/health/ready").send().await.unwrap();
        ready.error_for_status().unwrap().json().await.unwrap()
    };
    let is_told = async |why: &str| {
        eventually(async || match health().await {
            health if health["outboxes_unread"][0]["origin"] == "shop" => Ok(()),
            health => Err(health),
        })
        .await;
        assert!(service.logs(why), "{why}");
    };
    is_told("no such table: no_table").await;
    for (query, why) in [
        (
            "select version_id, entity_id from product_cl where version_id > :after order by 1 desc",
            "add `order by 1`",
        ),
        (
            "select version_id, null from product_cl where version_id > :after",
            "neither of them null",
        ),
        (
            "select version_id from product_cl where version_id > :after",
            "neither of them null",
        ),
    ] {
        service.reconfigure(&with(query));
        is_told(why).await;
    }
    service.reconfigure(&with(
        "select version_id, entity_id from product_cl where version_id > :before -- :after",
    ));
    assert!(service.logs("there is no value `:before`, only `:after`"));
    check_all(&service, &shop, &CATEGORIES).await;
    service.reconfigure(&with(
        "select version_id, entity_id from product_cl where version_id > :after order by 1",
    ));
    eventually(async || match health().await {
        health if health["outboxes_unread"].is_null() => Ok(()),
        health => Err(health),
    })
    .await;
    position_becomes(&redis, 2).await;
}
