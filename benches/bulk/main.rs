//! A million items from PostgreSQL into one listing: how fast, and in how much memory.
//!
//! ```text
//! make bulk                      cargo bench --bench bulk -- --items 1000000
//! ```
//! The program itself refreshes the listing, sorted by the database. It is held against what bounds it, in the same run: half
//! of what `redis-benchmark -P 16` reaches with chunks of the same size, and a bare loop over the same rows. It needs some
//! 3 GB: the table, the listing and the benchmark's stream.

// The servers are those of the tests, which use more of them.
#[allow(dead_code)]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;
#[allow(dead_code)]
#[path = "../../tests/it/support/redis_server.rs"]
mod redis_server;
#[allow(dead_code)]
#[path = "../../tests/it/support/server_program.rs"]
mod server_program;
#[allow(dead_code)]
#[path = "../../tests/it/support/service.rs"]
mod service;
#[path = "../../tests/it/support/watched.rs"]
mod watched;

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use postgres::PostgresDatabase;
use redis_server::RedisServer;
use reqwest::{Method, StatusCode};
use service::Service;
use sqlx::{AssertSqlSafe, Row};

const ITEMS: u64 = 1_000_000;
const ITEM_BYTES: usize = 600;
const CHUNK_LEN: u64 = 12;
/// The most that the service may grow.
const GROWTH_BYTES_MAX: u64 = 64 << 20;
/// The least part of the bound that it must reach.
const PART_LEAST: f64 = 0.7;
/// How often all three are measured.
const ROUNDS: usize = 5;
/// How often its memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(5);

const QUERY: &str = "select id, name, price, description from items";

#[tokio::main]
async fn main() {
    let items = items_asked_for();
    let mut database =
        PostgresDatabase::create("create table items (id bigint primary key, name text, price int, description text)")
            .await;
    let fill = format!(
        "insert into items select n, 'Item ' || n, n::bigint * 7919 % 100000, rpad('', {}, 'brown bread ') from generate_series(1, {items}) n",
        ITEM_BYTES - 70
    );
    // What the server would do with a new table by itself, in the middle of some round.
    for statement in [&fill, "vacuum (freeze, analyze) items", "checkpoint"] {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&mut database.writer)
            .await
            .unwrap();
    }

    // By turns: a machine that is slow for a while is slow for all three. And each Redis is a new one, as long after the one before
    // it: to find some 700 MB for it takes the machine a part of the time, and a virtual one the longer the longer ago it gave
    // that memory back to its host.
    let mut rounds = Vec::new();
    let (mut bytes, mut growth) = (0, 0);
    for _ in 0..ROUNDS {
        let first = bare_loop(&mut database, items).await;
        let by_redis = benchmark(&RedisServer::start(), items) / 2.0;
        let second = bare_loop(&mut database, items).await;
        let ours = refresh(&RedisServer::start(), &database, items).await;
        let bare = (first.0 + second.0) / 2.0;
        bytes = first.1;
        growth = growth.max(ours.1);
        rounds.push([by_redis, bare, ours.0, ours.0 / by_redis.min(bare)]);
        eprintln!(
            "half of redis-benchmark {by_redis:.0}, bare {bare:.0}, refresh {:.0}",
            ours.0
        );
    }
    println!(
        "\n{items} items of {} bytes, medians of {ROUNDS} rounds    items/s",
        bytes / items
    );
    let [by_redis, bare, ours, part] = std::array::from_fn(|at| median(rounds.iter().map(|round| round[at])));
    println!("half of redis-benchmark -P 16        {by_redis:>10.0}");
    println!("a bare loop over the rows            {bare:>10.0}");
    println!("a refresh                            {ours:>10.0}");
    let parts: Vec<String> = rounds.iter().map(|round| format!("{:.2}", round[3])).collect();
    println!(
        "of the lower bound of its round      {part:>10.2}   at least {PART_LEAST}; {}",
        parts.join(", ")
    );
    let [growth_mib, most_mib] = [growth, GROWTH_BYTES_MAX].map(|bytes| bytes as f64 / f64::from(1 << 20));
    println!("the service's memory grew by         {growth_mib:>10.1} MiB; at most {most_mib}");
}

fn items_asked_for() -> u64 {
    let mut arguments = env::args().skip_while(|argument| argument != "--items");
    arguments
        .nth(1)
        .map_or(ITEMS, |items| items.parse().expect("--items takes a number"))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Items a second that Redis takes as chunks from `redis-benchmark`.
fn benchmark(redis: &RedisServer, items: u64) -> f64 {
    let mut command = Command::new("redis-benchmark");
    command.arg("-s").arg(redis.socket());
    command.args([
        "-P",
        "16",
        "-n",
        &(items / CHUNK_LEN).to_string(),
        "--csv",
        "xadd",
        "chunks",
        "*",
    ]);
    for _ in 0..CHUNK_LEN {
        command.arg("1234567").arg("x".repeat(ITEM_BYTES));
    }
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    // The command, quoted, then requests a second.
    let last = said.lines().last().unwrap();
    let numbers: Vec<f64> = last
        .split(',')
        .filter_map(|field| field.trim_matches('"').parse().ok())
        .collect();
    numbers[0] * CHUNK_LEN as f64
}

/// Items a second of a loop that only reads, and their bytes.
async fn bare_loop(database: &mut PostgresDatabase, items: u64) -> (f64, u64) {
    let begun = Instant::now();
    let sql = format!("{QUERY} order by price, id");
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut database.writer);
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.try_next().await.unwrap() {
        let (id, price): (i64, i32) = (row.get(0), row.get(2));
        let (name, description): (&str, &str) = (row.get(1), row.get(3));
        count += 1;
        // What the item's JSON has besides.
        let digits = id.to_string().len() + price.to_string().len();
        bytes +=
            (name.len() + description.len() + digits + r#"{"id":,"name":"","price":,"description":""}"#.len()) as u64;
    }
    assert_eq!(count, items);
    (items as f64 / begun.elapsed().as_secs_f64(), bytes)
}

/// Items a second of a refresh by the program, and by how much its memory grew.
async fn refresh(redis: &RedisServer, database: &PostgresDatabase, items: u64) -> (f64, u64) {
    let service = Service::start(&format!(
        r#"
[http]
fill_wait = "10s"
[redis]
url = "{}"
[defaults]
max_items = {items}
[origins.shop]
kind = "sql"
url = "{}"
timeout = "10m"
[[listings]]
name = "all"
origin = "shop"
query = "{QUERY}"
[listings.sorts]
price = {{ by = ["price"] }}
"#,
        redis.url(),
        database.url()
    ));
    let before = service.resident_bytes();
    let mut most = before;
    let begun = Instant::now();
    loop {
        let mut asked = std::pin::pin!(service.request(Method::GET, "/v1/listings/all").send());
        let answer = loop {
            tokio::select! {
                answer = &mut asked => break answer.unwrap(),
                () = tokio::time::sleep(SAMPLE_EVERY) => most = most.max(service.resident_bytes()),
            }
        };
        if answer.status() == StatusCode::OK {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(600), "{}", service.log());
    }
    let seconds = begun.elapsed().as_secs_f64();
    let chunks: u64 = redis
        .cli_lines(&["--scan", "--pattern", "*:gen:*"])
        .iter()
        .map(|stream| redis.cli(&["xlen", stream]).parse::<u64>().unwrap())
        .sum();
    assert_eq!(chunks, items.div_ceil(CHUNK_LEN));
    (items as f64 / seconds, most.max(service.resident_bytes()) - before)
}
