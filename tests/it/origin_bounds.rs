//! What the refreshes of an origin may use up, and how long anybody waits for it.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use parking_lot::Mutex;
use reqwest::{Method, StatusCode};

use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer},
    eventually,
    service::Service,
};

fn config(redis: &RedisServer, api: &Api, bounds: &str, listing: &str) -> String {
    format!(
        r#"
        redis.url = "{}"
        [origins.shop]
        kind = "http"
        url = "{}"
        paging = "none"
        {bounds}
        [[listings]]
        name = "a:{{category}}"
        origin = "shop"
        query = "GET /:category"
        sorts.price = {{ by = ["price"] }}
        # The first due time is anywhere in the period.
        fresh_for = "1h"
        keep_for = "2h"
        pin_for = "2h"
        {listing}
        "#,
        redis.url(),
        api.url
    )
}

async fn get(service: &Service, path: &str) -> StatusCode {
    let answer = service.request(Method::GET, path).send().await.unwrap();
    answer.status()
}

const ITEMS: &str = r#"[{"id": 1, "price": 2}]"#;

/// Asks for thirty listings together of an origin that takes so long for each; returns when it was asked, in order.
async fn thirty_reads(bounds: &str, each_takes: Duration) -> Vec<Instant> {
    let redis = RedisServer::start();
    let begun = Arc::new(Mutex::new(Vec::new()));
    let seen = begun.clone();
    let api = Api::start(move |request| {
        seen.lock().push((request.path.clone(), Instant::now()));
        ApiAnswer::json(ITEMS).after(each_takes)
    });
    let service = Service::start(&config(&redis, &api, bounds, "fill_wait = '30s'"));
    let paths: Vec<String> = (0..30).map(|number| format!("/v1/listings/a:{number}")).collect();
    let answers = join_all(paths.iter().map(|path| get(&service, path))).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");

    let begun = begun.lock().clone();
    let listings: HashSet<&str> = begun.iter().map(|(path, _)| &**path).collect();
    assert_eq!((begun.len(), listings.len()), (30, 30));
    begun.into_iter().map(|(_, at)| at).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_is_read_by_so_many_at_once() {
    let each_takes = Duration::from_millis(150);
    let begun = thirty_reads("refreshes_at_once = 3", each_takes).await;
    // The fourth begins when the first of three has ended.
    for four in begun.windows(4) {
        assert!(four[3] - four[0] >= each_takes, "more than three at once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_is_read_by_so_many_a_second() {
    let bounds = "refreshes_at_once = 30\nrefreshes_per_second = 40";
    let begun = thirty_reads(bounds, Duration::ZERO).await;
    // 29 times 25 ms after the first, which is seen late on a busy machine.
    let all = begun[29] - begun[0];
    assert!(all >= Duration::from_millis(500), "thirty in {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_written_no_faster_than_so_many_a_second() {
    let redis = RedisServer::start();
    let api = Api::start(|_| {
        let item = |number: usize| format!(r#"{{"id": {number}, "price": 1, "text": "{}"}}"#, "x".repeat(1000));
        let items: Vec<String> = (0..600).map(item).collect();
        ApiAnswer::json(format!("[{}]", items.join(",")))
    });
    let service = Service::start(&config(
        &redis,
        &api,
        "bytes_per_second = '256KiB'",
        "fill_wait = '30s'",
    ));
    let began = Instant::now();
    assert_eq!(get(&service, "/v1/listings/a:A").await, StatusCode::OK);
    // Some 608 KB, of which the last 64 KiB are nobody's wait.
    assert!(began.elapsed() >= Duration::from_millis(1700), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_than_anybody_waits_is_kept_and_what_hangs_is_cut() {
    let redis = RedisServer::start();
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let api = Api::start(move |request| {
        counted.fetch_add(1, Ordering::SeqCst);
        let delay = if request.path == "/hung" { 3600 } else { 3 };
        ApiAnswer::json(ITEMS).after(Duration::from_secs(delay))
    });
    let listing = "fill_wait = '100ms'\norigin_timeout = '5s'";
    let service = Service::start(&config(&redis, &api, "", listing));
    let began = Instant::now();
    assert_eq!(
        get(&service, "/v1/listings/a:slow").await,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    eventually(async || match get(&service, "/v1/listings/a:slow").await {
        StatusCode::OK => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(reads.load(Ordering::SeqCst), 1, "the late result was kept");

    get(&service, "/v1/listings/a:hung").await;
    eventually(async || {
        let explained = service
            .admin(Method::GET, "/v1/listings/a:hung/explain")
            .send()
            .await
            .unwrap();
        match explained.text().await.unwrap() {
            text if text.contains("the origin did not answer in time") => Ok(()),
            text => Err(text),
        }
    })
    .await;
}
