//! Refreshes must be believable: an import that truncates a table does not empty the shop, and whoever runs it is told.

use reqwest::Method;
use serde_json::Value;

use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop},
};

const BREAD: &str = "/v1/listings/category:BREAD";

async fn get(service: &Service, path: &str) -> Value {
    let response = service.request(Method::GET, path).send().await.unwrap();
    response.error_for_status().unwrap().json().await.unwrap()
}

async fn post(service: &Service, path: &str) -> (u16, Value) {
    let response = service.admin(Method::POST, path).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn total(service: &Service) -> u64 {
    get(service, BREAD).await["total"].as_u64().unwrap()
}

async fn metric(service: &Service, line: &str) -> u64 {
    let metrics = service.request(Method::GET, "/metrics").send().await.unwrap();
    let text = metrics.text().await.unwrap();
    let value = text.lines().find_map(|found| found.strip_prefix(line));
    value
        .unwrap_or_else(|| panic!("no {line} in\n{text}"))
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_table_empties_no_listing_and_everybody_is_told() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), "[defaults]\nmax_shrink = 1.0\nmin_items = 20\n"));
    assert_eq!(total(&service).await, 30);
    let generation = get(&service, BREAD).await["generation"].clone();

    shop.sql("delete from products where category = 'BREAD' and id > 10")
        .await;
    let (status, problem) = post(&service, &format!("{BREAD}/refresh?wait=true")).await;
    assert_eq!(status, 502, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("min_items"), "{problem}");
    assert_eq!(
        (total(&service).await, &get(&service, BREAD).await["generation"]),
        (30, &generation)
    );
    assert_eq!(
        metric(&service, "listcache_refreshes_total{outcome=\"refused\"}").await,
        1
    );
    let explained = service
        .admin(Method::GET, &format!("{BREAD}/explain"))
        .send()
        .await
        .unwrap();
    let explained: Value = explained.json().await.unwrap();
    assert!(
        explained["last_error"].as_str().unwrap().contains("min_items"),
        "{explained}"
    );
    let health = get(&service, "/health/ready").await;
    assert_eq!(health["refused"], serde_json::json!(["category:BREAD?currency=EUR"]));

    // Somebody has looked: it is right.
    let (status, answer) = post(&service, &format!("{BREAD}/refresh?wait=true&accept_shrink=true")).await;
    assert_eq!((status, &answer["total"]), (200, &serde_json::json!(10)));
    assert_eq!(total(&service).await, 10);
    assert_eq!(get(&service, "/health/ready").await["refused"], Value::Null);
    // From there it may shrink no further, but a refresh that does not shrink it is believed.
    let (status, _) = post(&service, &format!("{BREAD}/refresh?wait=true")).await;
    assert_eq!(status, 200);
}

/// Redis's time, by which ages count, in milliseconds.
fn redis_time(redis: &RedisServer) -> u64 {
    let time = redis.cli_lines(&["TIME"]);
    let [seconds, micros] = [0, 1].map(|at| time[at].parse::<u64>().unwrap());
    seconds * 1000 + micros / 1000
}

async fn until_redis_time(redis: &RedisServer, time: u64) {
    eventually(async || match redis_time(redis) {
        now if now > time => Ok(()),
        now => Err(now),
    })
    .await;
}

/// Few items: a sold-out product goes at once, the last one when a second read says so, whichever node reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_listing_may_shrink_and_is_emptied_by_two_reads_that_say_so() {
    const FRESH_FOR_MS: u64 = 3000;
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let config = shop.config(&redis.url(), "[defaults]\nfresh_for = '3s'\n");
    let mut first = Service::start(&config);
    assert_eq!(total(&first).await, 30);
    for (statement, left) in [
        ("delete from products where category = 'BREAD' and id > 4", 4),
        ("delete from products where category = 'BREAD' and id > 1", 1),
    ] {
        shop.sql(statement).await;
        let (status, answer) = post(&first, &format!("{BREAD}/refresh?wait=true")).await;
        assert_eq!((status, &answer["total"]), (200, &serde_json::json!(left)), "{answer}");
    }

    shop.sql("delete from products").await;
    let (status, problem) = post(&first, &format!("{BREAD}/refresh?wait=true")).await;
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!(status, 502, "{problem}");
    for part in [
        "the items would fall from 1 to 0",
        "if a read 3s later says the same",
        "POST /v1/listings/category:BREAD/refresh?accept_shrink=true",
        "listcache warm --accept-shrink --include 'category:BREAD'",
    ] {
        assert!(detail.contains(part), "{detail}");
    }
    assert_eq!(total(&first).await, 1);
    let read_at = redis_time(&redis);
    first.kill();

    until_redis_time(&redis, read_at + FRESH_FOR_MS).await;
    let second = Service::start(&config);
    let (status, answer) = post(&second, &format!("{BREAD}/refresh?wait=true")).await;
    assert_eq!((status, &answer["total"]), (200, &serde_json::json!(0)), "{answer}");
    assert_eq!(total(&second).await, 0);
    assert_eq!(redis.cli(&["--scan", "--pattern", "*:fail:category:BREAD*"]), "");
}

/// A listing that shrinks too much is served as it was for as long as it may be, then as it is, and is never missing.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_is_believed_before_nothing_is_left_to_serve() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    shop.sql(
        "with recursive numbers(n) as (select 101 union all select n + 1 from numbers where n < 160)
         insert into products select n, 'CAKE', 'EUR', 'Other', n, 0 from numbers",
    )
    .await;
    let service = Service::start(&shop.config(&redis.url(), "[defaults]\nfresh_for = '1s'\nkeep_for = '5s'\n"));
    let cake = async || {
        get(&service, "/v1/listings/short:CAKE").await["total"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(cake().await, 60);
    shop.sql("delete from products where id > 110").await;
    let filled_at = redis_time(&redis);
    let (status, problem) = post(&service, "/v1/listings/short:CAKE/refresh?wait=true").await;
    assert_eq!(status, 502, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("the items would fall from 60 to 10; max_shrink is 0.5"),
        "{detail}"
    );
    // Each answer on the way is a page.
    eventually(async || match cake().await {
        10 => Ok(()),
        other => Err(other),
    })
    .await;
    assert!(redis_time(&redis) > filled_at + 4000, "{}", service.log());
    let told = "refused items are published";
    assert!(service.logs(told), "{}", service.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn warming_up_accepts_a_shrink_where_it_is_told_to() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let config = shop.config(&redis.url(), "[defaults]\nmax_shrink_from = 30\n");
    let service = Service::start(&config);
    assert_eq!(total(&service).await, 30);
    shop.sql("delete from products where category = 'BREAD' and id > 10")
        .await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("listcache.toml");
    std::fs::write(&file, config).unwrap();
    let warm = |options: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_listcache"));
        command.args(["warm", "--progress", "json", "--include", "category:BREAD", "--config"]);
        command.arg(&file).args(options).output().unwrap().status.code()
    };
    assert_eq!(warm(&[]), Some(1));
    assert_eq!(total(&service).await, 30);
    assert_eq!(warm(&["--accept-shrink"]), Some(0));
    eventually(async || match total(&service).await {
        10 => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_warm_is_filled_before_anybody_asks_and_never_idle() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(
        &redis.url(),
        "[defaults]\nkeep_warm = true\nidle_stop = \"1s\"\nfresh_for = \"1s\"\n",
    ));
    // BREAD and EMPTY in two currencies.
    eventually(
        async || match metric(&service, "listcache_refreshes_total{outcome=\"published\"}").await {
            4.. => Ok(()),
            other => Err(other),
        },
    )
    .await;
    // Far longer than `idle_stop`, and nobody reads.
    eventually(
        async || match metric(&service, "listcache_refreshes_total{outcome=\"unchanged\"}").await {
            12.. => Ok(()),
            other => Err(other),
        },
    )
    .await;
    assert!(!service.log().contains("no longer refreshed"));
    // What Redis forgets is due again.
    redis.cli(&["FLUSHALL"]);
    eventually(
        async || match metric(&service, "listcache_refreshes_total{outcome=\"published\"}").await {
            8.. => Ok(()),
            other => Err(other),
        },
    )
    .await;
}

/// Replaces a pushed listing by numbered items; gives status and body.
async fn put(service: &Service, query: &str, items: usize) -> (u16, Value) {
    let request = service.admin(Method::PUT, &format!("/v1/listings/promo:summer{query}"));
    let response = request
        .header("Content-Type", "application/x-ndjson")
        .body(lines(items));
    let response = response.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

fn lines(items: usize) -> String {
    (0..items).map(|id| format!("{{\"id\":{id}}}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_may_shrink_a_listing_but_empties_it_only_where_that_is_said() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let config = shop.config(&redis.url(), "[defaults]\nmin_items = 5\n");
    let service = Service::start(&config);
    let total = async || {
        get(&service, "/v1/listings/promo:summer").await["total"]
            .as_u64()
            .unwrap()
    };
    // An empty listing may be new, and nothing is lost where one stays empty.
    for status in [201, 200] {
        assert_eq!(put(&service, "?accept_shrink=false", 0).await.0, status);
    }
    for items in [100, 5] {
        assert_eq!(put(&service, "", items).await.0, 200);
    }
    for (items, bound) in [(4, "min_items is 5"), (0, "min_items is 5")] {
        let (status, problem) = put(&service, "", items).await;
        assert_eq!(
            (status, &problem["code"]),
            (409, &serde_json::json!("shrunk")),
            "{problem}"
        );
        assert_eq!((&problem["before"], &problem["after"]), (&5.into(), &items.into()));
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(bound) && detail.contains("accept_shrink=true"),
            "{detail}"
        );
        assert_eq!(total().await, 5);
    }
    assert_eq!(put(&service, "?accept_shrink=true", 3).await.0, 200);
    assert_eq!(put(&service, "", 3).await.0, 200);
    drop(service);

    // The same from a file, where no minimum is configured; and a bound for pushes.
    let file = |name: &str, text: &str| {
        let path = shop.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let load = |config: &str, items: usize, options: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_listcache"));
        command
            .arg("load")
            .arg("promo:summer")
            .arg(file("items.ndjson", &lines(items)));
        command
            .args(options)
            .env("LISTCACHE_CONFIG", file("listcache.toml", config));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let plain = shop.config(&redis.url(), "");
    let (code, error) = load(&plain, 0, &[]);
    assert_eq!(code, Some(1));
    assert!(
        error.contains("the items would fall from 3 to 0; --accept-shrink accepts it"),
        "{error}"
    );
    assert_eq!(load(&plain, 0, &["--accept-shrink"]).0, Some(0));
    assert_eq!(load(&plain, 100, &[]).0, Some(0));
    let bounded = format!("{plain}max_shrink = 0.1\n");
    let (code, error) = load(&bounded, 89, &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("from 100 to 89; max_shrink is 0.1"), "{error}");
    assert_eq!(load(&bounded, 90, &[]).0, Some(0));
}
