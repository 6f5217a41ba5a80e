//! Outboxes and changelogs in PostgreSQL and MariaDB.

use reqwest::Method;
use serde_json::Value;

use crate::support::{MariadbDatabase, PostgresDatabase, RedisServer, eventually, service::Service};

fn config(redis: &RedisServer, database: &str, changes: &str) -> String {
    format!(
        r#"
        [redis]
        url = "{}"
        [defaults]
        fresh_for = "30d"
        keep_for = "60d"
        pin_for = "60d"
        [origins.shop]
        kind = "sql"
        url = "{database}"
        [origins.shop.changes]
        {changes}
        [[listings]]
        name = "all"
        origin = "shop"
        query = "select id, price from products"
        sorts.price = {{ by = ["price"] }}
        "#,
        redis.url()
    )
}

async fn price_becomes(service: &Service, expect: i64) {
    eventually(async || {
        let page = service.request(Method::GET, "/v1/listings/all").send().await.unwrap();
        let page: Value = page.json().await.unwrap();
        match page["items"][0]["price"].as_i64() {
            Some(price) if price == expect => Ok(()),
            _ => Err(page),
        }
    })
    .await;
}

async fn position_becomes(redis: &RedisServer, expect: &str) {
    eventually(async || match redis.cli(&["GET", "listcache:2:changelog:shop"]) {
        position if position == expect => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notified_row_of_postgresql_is_seen_long_before_it_is_time_to_look() {
    let mut database = PostgresDatabase::create(
        "create table products (id integer primary key, price integer not null);
         insert into products values (7, 100);
         create table listcache_outbox (id bigserial primary key, product_id integer not null);
         create function tell() returns trigger language plpgsql as $$ begin
           insert into listcache_outbox (product_id) values (new.id);
           perform pg_notify('listcache', '');
           return null; end $$;
         create trigger products_changed after update on products for each row execute function tell();",
    )
    .await;
    let redis = RedisServer::start();
    let changes = r#"every = "1h"
        listen = "listcache"
        outbox = { table = "listcache_outbox", key = "id", id = "product_id" }"#;
    let service = Service::start(&config(&redis, &database.url(), changes));
    price_becomes(&service, 100).await;
    database.run("update products set price = 200").await;
    price_becomes(&service, 200).await;
    database.run("update products set price = 300").await;
    price_becomes(&service, 300).await;
    assert_eq!(database.number("select count(*) from listcache_outbox").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_of_postgresql_is_read() {
    let mut database = PostgresDatabase::create(
        "create table products (id bigint primary key, price integer not null);
         insert into products values (7, 100);
         create table log (version serial primary key, product text not null);
         insert into log (product) select '7' from generate_series(1, 3000);
         create table state (version bigint);
         insert into state values (1000000);",
    )
    .await;
    let redis = RedisServer::start();
    let changes = r#"every = "100ms"
        query = "select version, product from log where version > :after order by version limit 1000"
        upto = "select version from state""#;
    let service = Service::start(&config(&redis, &database.url(), changes));
    price_becomes(&service, 100).await;
    position_becomes(&redis, "3000").await;
    database
        .run("update products set price = 200; insert into log (product) values ('7')")
        .await;
    price_becomes(&service, 200).await;
    position_becomes(&redis, "3001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_of_mariadb_is_read() {
    let mut database = MariadbDatabase::create(
        "create table products (id int primary key, price int not null);
         insert into products values (7, 100);
         create table product_cl (version_id bigint unsigned auto_increment primary key, entity_id int unsigned not null);
         insert into product_cl (entity_id) values (1), (2), (3);",
    )
    .await;
    let redis = RedisServer::start();
    let changes = r#"every = "100ms"
        query = "select version_id, entity_id from product_cl where version_id > :after order by version_id limit 2""#;
    let service = Service::start(&config(&redis, &database.url(), changes));
    price_becomes(&service, 100).await;
    position_becomes(&redis, "3").await;
    database
        .run("update products set price = 200; insert into product_cl (entity_id) values (7)")
        .await;
    price_becomes(&service, 200).await;
    position_becomes(&redis, "4").await;
}
