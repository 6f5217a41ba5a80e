//! Outboxes: rows that triggers write are changes, and none is lost.

use std::{collections::BTreeSet, time::Duration};

use fastrand::Rng;
use reqwest::Method;
use serde_json::Value;
use sqlx::Row as _;

use super::{ChangingShop, check_all};
use crate::support::{RedisServer, all_the_while, eventually, service::Service};

const CATEGORIES: [&str; 2] = ["a", "b"];

/// As docs/changes.md has them for SQLite.
pub const TRIGGERS: &str = "
    create table listcache_outbox (id integer primary key autoincrement, product_id integer not null);
    create trigger products_changed after update on products
      begin insert into listcache_outbox (product_id) values (new.id); end;
    create trigger products_added after insert on products
      begin insert into listcache_outbox (product_id) values (new.id); end;
    create trigger products_removed after delete on products
      begin insert into listcache_outbox (product_id) values (old.id); end;
    create trigger offers_changed after update on offers
      begin insert into listcache_outbox (product_id) values (new.product_id); end;
    create trigger categories_removed after delete on product_category
      begin insert into listcache_outbox (product_id) values (old.product_id); end;";

const OUTBOX: &str = r#"
            [origins.shop.changes]
            every = "100ms"
            outbox = { table = "main.listcache_outbox", key = "id", id = "product_id" }
"#;

impl ChangingShop {
    pub fn config_with_outbox(&self, redis: &RedisServer) -> String {
        let config = self.config(redis, "");
        let (before, listings) = config.split_once("            [[listings]]").unwrap();
        format!("{before}{OUTBOX}            [[listings]]{listings}")
    }

    pub async fn waiting_rows(&mut self) -> i64 {
        let row = sqlx::query("select count(*) from listcache_outbox")
            .fetch_one(&mut self.database)
            .await
            .unwrap();
        row.get(0)
    }

    pub async fn empty_outbox(&mut self) {
        eventually(async || match self.waiting_rows().await {
            0 => Ok(()),
            rows => Err(rows),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_triggers_write_is_on_the_pages_and_rows_are_deleted_even_where_nodes_are_killed() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    sqlx::raw_sql(TRIGGERS).execute(&mut shop.database).await.unwrap();
    let redis = RedisServer::start();
    let config = shop.config_with_outbox(&redis);
    let (mut first, second) = (Service::start(&config), Service::start(&config));
    check_all(&second, &shop, &CATEGORIES).await;
    let mut random = Rng::with_seed(11);
    for round in 0..12 {
        let ids: BTreeSet<i64> = (0..random.usize(1..5)).map(|_| random.i64(1..=60)).collect();
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
            // Whatever it has done by now of reading, recording, patching and deleting.
            tokio::time::sleep(Duration::from_millis(random.u64(..120))).await;
            first.kill();
            first = Service::start(&config);
        }
        shop.empty_outbox().await;
        check_all(&second, &shop, &CATEGORIES).await;
    }
    // A transaction that is rolled back has told of nothing.
    sqlx::raw_sql("begin; update products set name = 'never' where id = 3; rollback")
        .execute(&mut shop.database)
        .await
        .unwrap();
    assert_eq!(shop.waiting_rows().await, 0);
    check_all(&second, &shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_is_missing_is_told_of_and_pages_go_on() {
    let mut shop = ChangingShop::with_products(30, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = Service::start(&shop.config_with_outbox(&redis));
    check_all(&service, &shop, &CATEGORIES).await;
    let health = async || -> Value {
        let ready = service.request(Method::GET, "/health/ready").send().await.unwrap();
        ready.error_for_status().unwrap().json().await.unwrap()
    };
    eventually(async || match health().await {
        health if health["outboxes_unread"][0]["origin"] == "shop" => Ok(()),
        health => Err(health),
    })
    .await;
    assert!(service.logs("the outbox is not worked off") && service.logs("no such table: main.listcache_outbox"));
    check_all(&service, &shop, &CATEGORIES).await;
    sqlx::raw_sql(TRIGGERS).execute(&mut shop.database).await.unwrap();
    eventually(async || match health().await {
        health if health["outboxes_unread"].is_null() => Ok(()),
        health => Err(health),
    })
    .await;
    shop.products.get_mut(&4).unwrap().offers = vec![Some(1)];
    shop.write(&[4]).await;
    check_all(&service, &shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_stays_in_the_outbox_until_redis_has_its_change() {
    let mut shop = ChangingShop::with_products(30, &CATEGORIES).await;
    sqlx::raw_sql(TRIGGERS).execute(&mut shop.database).await.unwrap();
    let redis = RedisServer::start();
    let config = shop.config_with_outbox(&redis);
    let (mut first, second) = (Service::start(&config), Service::start(&config));
    check_all(&second, &shop, &CATEGORIES).await;
    // The outbox is being read.
    shop.write(&[3]).await;
    shop.empty_outbox().await;
    redis.cli(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    shop.products.get_mut(&4).unwrap().offers = vec![Some(7)];
    shop.write(&[4]).await;
    let rows = shop.waiting_rows().await;
    all_the_while(Duration::from_millis(700), async || {
        assert_eq!(shop.waiting_rows().await, rows);
    })
    .await;
    first.kill();
    redis.cli(&["CLIENT", "UNPAUSE"]);
    shop.empty_outbox().await;
    check_all(&second, &shop, &CATEGORIES).await;
}
