//! The connection that hears announcements is killed again and again while heads move: what a node serves stays young.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::json;

use super::get;
use crate::support::{
    Proxy, RedisServer,
    service::{Service, Shop},
};

/// Heads outlive the test: nothing but announcements renews them.
const PATIENT: &str = "[l1]\nttl = \"5m\"\n";
const LISTINGS: usize = 20;
const WRITERS: usize = 4;
/// A heartbeat, and a quarter of a second.
const OLDEST: Duration = Duration::from_millis(1250);
const CUT_EVERY: Duration = Duration::from_secs(2);

/// What was published of a listing: each revision with when that was known.
type Published = Mutex<Vec<(Instant, u64)>>;

fn path(listing: usize) -> String {
    format!("/v1/listings/promo:{listing}")
}

fn during() -> Duration {
    let seconds = std::env::var("CUT_SECONDS").ok();
    Duration::from_secs(seconds.map_or(7, |seconds| seconds.parse().unwrap()))
}

async fn publish(node: &Service, listing: usize, revision: u64, published: &Published) {
    let put = node.admin(Method::PUT, &path(listing));
    let answer = put
        .json(&[json!({"id": 1, "revision": revision})])
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    published.lock().push((Instant::now(), revision));
}

/// The least revision that may be served by whoever asks now.
fn least(published: &Published, age: Duration) -> u64 {
    let now = Instant::now();
    let published = published.lock();
    let old = published.iter().rev().find(|(at, _)| *at + age <= now);
    old.map_or(0, |(_, revision)| *revision)
}

async fn served(node: &Service, listing: usize) -> u64 {
    let page = get(node, &path(listing)).await;
    assert_eq!(page.status, 200, "{page:?}");
    page.body["items"][0]["revision"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_every_two_seconds_a_node_serves_nothing_older_than_a_heartbeat() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let shop = Shop::new().await;
    let writer = Service::start(&shop.config(&redis.url(), PATIENT));
    let reader = Service::start(&shop.config(&proxy.url(), PATIENT));
    let published: Arc<Vec<Published>> = Arc::new((0..LISTINGS).map(|_| Mutex::default()).collect());
    for listing in 0..LISTINGS {
        publish(&writer, listing, 0, &published[listing]).await;
        served(&reader, listing).await;
    }
    proxy.clear();
    let (stop, written, read) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let writers = (0..WRITERS).map(|number| {
        let (writer, published, stop, written) = (&writer, &published, &stop, &written);
        async move {
            let mut revision = 0;
            let mut tick = tokio::time::interval(Duration::from_secs(1) * WRITERS as u32 / 100);
            while !stop.load(Ordering::SeqCst) {
                tick.tick().await;
                revision += 1;
                let listing = number + WRITERS * (revision as usize % (LISTINGS / WRITERS));
                publish(writer, listing, revision, &published[listing]).await;
                written.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let reading = async {
        let mut oldest = Duration::ZERO;
        while !stop.load(Ordering::SeqCst) {
            for listing in 0..LISTINGS {
                let least = least(&published[listing], OLDEST);
                let revision = served(&reader, listing).await;
                assert!(
                    revision >= least,
                    "promo:{listing}: {revision} served, {least} is old already"
                );
                let now = Instant::now();
                let newer = published[listing].lock().iter().find(|(_, of)| *of > revision).copied();
                oldest = oldest.max(newer.map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(at)));
                read.fetch_add(1, Ordering::SeqCst);
            }
        }
        oldest
    };
    let cutting = async {
        let begun = Instant::now();
        let mut cuts = 0;
        while begun.elapsed() < during() {
            tokio::time::sleep(CUT_EVERY).await;
            let killed: u32 = redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]).parse().unwrap();
            assert!(killed >= 1, "nobody was listening");
            cuts += 1;
        }
        // What is published by now is served a second later.
        let now: Vec<u64> = published
            .iter()
            .map(|published| least(published, Duration::ZERO))
            .collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (listing, least) in now.into_iter().enumerate() {
            let revision = served(&reader, listing).await;
            assert!(
                revision >= least,
                "promo:{listing}: {revision} served, {least} was published a second ago"
            );
        }
        stop.store(true, Ordering::SeqCst);
        cuts
    };
    let (_, oldest, cuts) = tokio::join!(futures_util::future::join_all(writers), reading, cutting);
    let head_reads = proxy
        .turns()
        .iter()
        .filter(|turn| turn.commands.first().is_some_and(|command| command == "HMGET"))
        .count();
    eprintln!(
        "{} publishes and {} pages in {:?}, {cuts} cuts: the oldest head was {oldest:?} behind; {head_reads} heads read",
        written.load(Ordering::SeqCst),
        read.load(Ordering::SeqCst),
        during(),
    );
    // Announcements bring the heads: at most one reading a listing and cut. The checker's are its own.
    let checked = reader.metric("listcache_l1_checked_total").await as usize;
    assert!(
        head_reads <= LISTINGS * cuts + checked,
        "{head_reads}, {checked} of them the checker's"
    );
    assert_eq!(reader.metric("listcache_l1_inconsistent_total").await, 0.0);
    assert!(reader.metric("listcache_announcement_seconds_count").await >= written.load(Ordering::SeqCst) as f64 * 0.9);
}
