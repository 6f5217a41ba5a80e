//! The cost of a publish: two services, each with a Redis of its own, refresh the same listing by turns. The origin of one tells of
//! changes, and the service knows which listings hold which items.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    redis_server::RedisServer,
    service::{Service, TOKEN},
};

const ITEMS: u32 = 500;
/// Publishes between two changes, by which the service learns what listings hold now.
const CHANGE_EVERY: usize = 20;

struct Side {
    redis: RedisServer,
    service: Service,
    took: Vec<Duration>,
    busy: Duration,
    scripts: u64,
}

/// Refreshes so often on each side, and tells medians and processor time.
pub async fn run(publishes: usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut database = options
        .pragma("journal_mode", "wal")
        .pragma("synchronous", "off")
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(
        "create table products (id integer primary key, name text, price integer);
         create table outbox (id integer primary key autoincrement, product_id integer);",
    )
    .execute(&mut database)
    .await
    .unwrap();
    for id in 1..=ITEMS {
        let insert = sqlx::query("insert into products values (?1, ?2, ?1)").bind(id);
        insert
            .bind("a name of some sixty bytes, and a little of a description too")
            .execute(&mut database)
            .await
            .unwrap();
    }
    let url = format!("sqlite:{}", file.display());
    let changes = "[origins.shop.changes]\noutbox = { table = \"outbox\", key = \"id\", id = \"product_id\" }";
    let mut sides = [Side::start(&url, ""), Side::start(&url, changes)];
    for turn in 0..publishes + CHANGE_EVERY {
        change_price(&mut database, turn).await;
        let is_measured = turn >= CHANGE_EVERY;
        // Each is first as often as second.
        let order = if turn.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for side in order {
            sides[side].publish(is_measured).await;
        }
        if turn.is_multiple_of(CHANGE_EVERY) {
            // No listing has it: only what listings hold is brought up to date.
            sides[1].tell().await;
        }
    }
    let [without, with] = sides.map(|side| side.figures());
    println!("\n|                                  | without changes | with changes | ratio |");
    println!("|----------------------------------|----------------:|-------------:|------:|");
    for (name, at) in [
        "a refresh that publishes, median",
        "processor time of the service",
        "time of scripts in Redis",
    ]
    .into_iter()
    .zip(0..)
    {
        println!(
            "| {name:<32} | {:.1} µs | {:.1} µs | {:.3} |",
            without[at],
            with[at],
            with[at] / without[at]
        );
    }
}

async fn change_price(database: &mut SqliteConnection, turn: usize) {
    sqlx::query("update products set price = ?1 where id = ?2")
        .bind(1_000_000 + turn as i64)
        .bind(1 + turn as i64 * 37 % i64::from(ITEMS))
        .execute(database)
        .await
        .unwrap();
}

impl Side {
    fn start(database: &str, changes: &str) -> Self {
        let redis = RedisServer::start();
        let config = format!(
            r#"
            [http]
            workers = 1
            [redis]
            url = "{}"
            [defaults]
            fresh_for = "5m"
            keep_for = "4h"
            pin_for = "9m"
            [origins.shop]
            kind = "sql"
            url = "{database}"
            {changes}
            [[listings]]
            name = "all"
            origin = "shop"
            query = "select id, name, price from products"
            [listings.sorts]
            price = {{ by = ["price"] }}
            name = {{ by = ["name"] }}
            "#,
            redis.url()
        );
        let environment = [("LISTCACHE_TOKEN", TOKEN), ("RUST_LOG", "listcache=warn")];
        Self {
            service: Service::start_with(&config, &environment),
            redis,
            took: Vec::new(),
            busy: Duration::ZERO,
            scripts: 0,
        }
    }

    async fn publish(&mut self, is_measured: bool) {
        let before = (self.service.processor_time(), self.script_us());
        let begun = Instant::now();
        let refresh = self.service.admin(Method::POST, "/v1/listings/all/refresh?wait=true");
        assert_eq!(refresh.send().await.unwrap().status(), StatusCode::OK);
        if is_measured {
            self.took.push(begun.elapsed());
            self.busy += self.service.processor_time() - before.0;
            self.scripts += self.script_us() - before.1;
        }
    }

    async fn tell(&self) {
        let change = self.service.admin(Method::POST, "/v1/changes?wait=true");
        let answer = change.json(&serde_json::json!({ "id": "none" })).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    fn script_us(&self) -> u64 {
        let stats = self.redis.cli_lines(&["INFO", "commandstats"]);
        let line = stats.iter().find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
        let us = line.and_then(|line| line.split_once("usec=")?.1.split(',').next()?.parse().ok());
        us.unwrap_or_default()
    }

    /// The median of a refresh, the service's processor time and Redis's time in scripts, a publish, in microseconds.
    fn figures(mut self) -> [f64; 3] {
        self.took.sort();
        let count = self.took.len() as f64;
        let median = self.took.get(self.took.len() / 2).copied().unwrap_or_default();
        [
            median.as_secs_f64() * 1e6,
            self.busy.as_secs_f64() * 1e6 / count,
            self.scripts as f64 / count,
        ]
    }
}
