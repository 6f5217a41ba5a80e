//! A real Varnish, which keeps pages for an hour and is banned.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;

use super::{DEBOUNCE, RedisServer, SECOND_AFTER, config, eventually, push};
use crate::support::{Varnish, service::Service};

/// Changes a second.
const CHANGES: u64 = 10;

/// How long the test changes the listing: `PURGE_SECONDS` for a long run.
fn so_long() -> Duration {
    let seconds = std::env::var("PURGE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6))
}

/// Waits until the place of the second purge is at the end of the only log.
async fn all_is_purged_twice(redis: &RedisServer) {
    let logs = redis.cli_lines(&["--scan", "--pattern", "listcache:2:{*}:log"]);
    let [log] = &logs[..] else { panic!("{logs:?}") };
    let number: usize = log["listcache:2:{".len()..][..2].parse().unwrap();
    eventually(async || {
        let newest = redis
            .cli_lines(&["XREVRANGE", log, "+", "-", "COUNT", "1"])
            .swap_remove(0);
        let done = redis.cli(&["HGET", "listcache:2:cdn:front", &format!("second:{number}")]);
        match done.starts_with(&format!("{newest}/")) {
            true => Ok(()),
            false => Err((newest, done)),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn varnish_shows_no_page_that_should_be_purged() {
    let redis = RedisServer::start();
    let service = Service::start(&config(&redis, ""));
    push(&service, "promo:a", 0).await;
    let vcl = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/edge/varnish.vcl")).unwrap();
    let port = service.address.rsplit(':').next().unwrap();
    assert_eq!(vcl.matches("\"8080\"").count(), 1);
    let varnish = Varnish::start(&vcl.replace("\"8080\"", &format!("{port:?}")));
    let bans = format!(
        "[cdn.front]\nprovider = \"varnish\"\nurl = \"http://{}\"",
        varnish.address
    );
    let purger = Service::start(&config(&redis, &bans));

    // Since when each item has been the newest.
    let shown_since = Arc::new(Mutex::new(vec![Instant::now()]));
    let (stop, pages, hits) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let url = format!("http://{}/v1/listings/promo:a", varnish.address);
    let reader = tokio::spawn({
        let (stop, pages, hits, shown_since) = (stop.clone(), pages.clone(), hits.clone(), shown_since.clone());
        async move {
            let client = reqwest::Client::new();
            let mut worst = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let page = client.get(&url).send().await.unwrap().error_for_status().unwrap();
                let status = page.headers()["cache-status"].to_str().unwrap().to_owned();
                hits.fetch_add(u64::from(status.ends_with("varnish; hit")), Ordering::Relaxed);
                pages.fetch_add(1, Ordering::Relaxed);
                let page: Value = page.json().await.unwrap();
                let item = page["items"][0]["id"].as_u64().unwrap() as usize;
                // Stale since the next one was there.
                if let Some(next) = shown_since.lock().get(item + 1) {
                    worst = worst.max(asked.saturating_duration_since(*next));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            worst
        }
    });
    let begun = Instant::now();
    let mut item = 0;
    while begun.elapsed() < so_long() {
        item += 1;
        push(&service, "promo:a", item).await;
        shown_since.lock().push(Instant::now());
        tokio::time::sleep(Duration::from_millis(1000 / CHANGES)).await;
    }
    all_is_purged_twice(&redis).await;
    stop.store(true, Ordering::Relaxed);
    let worst = reader.await.unwrap();
    let (pages, hits) = (pages.load(Ordering::Relaxed), hits.load(Ordering::Relaxed));
    let calls = purger.metric("listcache_purge_calls_total{outcome=\"done\"}").await;
    eprintln!("{item} changes, {pages} pages, {hits} hits, {calls} calls; the oldest page was stale for {worst:?}");
    assert!(hits * 2 > pages, "{hits} hits of {pages} pages: nothing was kept");
    assert!(calls >= 2.0);
    // What the second purge deletes may be shown until then.
    let most = DEBOUNCE + SECOND_AFTER + DEBOUNCE + Duration::from_secs(1);
    assert!(worst <= most, "{worst:?}");
    assert_eq!(
        purger.metric("listcache_purge_calls_total{outcome=\"widened\"}").await,
        0.0
    );
    let page: Value = reqwest::get(format!("http://{}/v1/listings/promo:a", varnish.address))
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(page["items"][0]["id"], item, "the newest, in the end");
}
