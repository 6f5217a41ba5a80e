//! Refreshes that a shop asks for with each change, many times a second and of any node: a listing is read at most once in
//! `coalesce_for`, no change is lost, and each is shown when that time and the refresh are over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer},
    eventually,
    service::{Service, TOKEN, json_of},
};

const COALESCE_FOR: Duration = Duration::from_secs(2);
/// What a refresh from an API that answers at once, and all that is between, may take on a machine that is busy.
const REFRESH_MAX: Duration = Duration::from_secs(4);
/// Between two looks of a node at what is due.
const SCHEDULE: Duration = Duration::from_millis(500);
const BREAD: &str = "/v1/listings/c:BREAD";

/// An API whose items say how often they were changed.
struct Shop {
    revision: Arc<AtomicU64>,
    /// Items say the number of the request too: what is read is never what is kept, so each read publishes.
    numbers: Arc<AtomicBool>,
    takes_ms: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    api: Api,
    redis: RedisServer,
}

impl Shop {
    fn start() -> Self {
        let (revision, takes_ms): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let (fails, numbers): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
        let (now, takes, failing) = (revision.clone(), takes_ms.clone(), fails.clone());
        let numbered = numbers.clone();
        let api = Api::start(move |request| {
            if failing.load(Ordering::SeqCst) {
                return ApiAnswer::status(500);
            }
            let revision = now.load(Ordering::SeqCst);
            let number = numbered.load(Ordering::SeqCst).then_some(request.number);
            let items: Vec<_> = (1..=30)
                .map(|id| serde_json::json!({"id": id, "revision": revision, "number": number}))
                .collect();
            let takes = Duration::from_millis(takes.load(Ordering::SeqCst));
            ApiAnswer::json(serde_json::to_vec(&items).unwrap()).after(takes)
        });
        Self {
            revision,
            numbers,
            takes_ms,
            fails,
            api,
            redis: RedisServer::start(),
        }
    }

    fn node(&self) -> Service {
        let config = format!(
            r#"
            [redis]
            url = "{}"
            # After its first read a listing is due at any time in `fresh_for`: not while a test counts reads.
            [defaults]
            fresh_for = "30d"
            keep_for = "60d"
            pin_for = "60d"
            coalesce_for = "{}s"
            [origins.shop]
            kind = "http"
            url = "{}"
            paging = "none"
            [[listings]]
            name = "c:{{category}}"
            origin = "shop"
            query = "GET /:category"
            [listings.sorts]
            number = {{ by = ["id"] }}
            "#,
            self.redis.url(),
            COALESCE_FOR.as_secs(),
            self.api.url
        );
        Service::start_with(&config, &[("LISTCACHE_TOKEN", TOKEN)])
    }

    fn change(&self) -> u64 {
        self.revision.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// When the generations of the listing were drawn, by Redis's clock.
    fn draws(&self) -> Vec<Duration> {
        let logs = self.redis.cli_lines(&["--scan", "--pattern", "*:log"]);
        let entries = logs
            .iter()
            .flat_map(|log| self.redis.cli_lines(&["XRANGE", log, "-", "+"]));
        let as_of = |line: String| {
            let body: Value = serde_json::from_str(&line).ok()?;
            body["head"]["as_of"].as_u64().map(Duration::from_millis)
        };
        entries.filter_map(as_of).collect()
    }

    /// Waits until nothing is asked for any more and the listing is due in its ordinary time.
    async fn settled(&self) {
        eventually(async || {
            let asked = self.redis.cli_lines(&["--scan", "--pattern", "*:asked:*"]);
            let mark = self.redis.cli(&["HGET", &asked[0], "mark"]);
            let due = self.redis.cli_lines(&["--scan", "--pattern", "*:due"]);
            let due = self.redis.cli(&["ZSCORE", &due[0], "c:BREAD"]);
            let now: u64 = self.redis.cli_lines(&["TIME"])[0].parse().unwrap();
            let left = due.parse::<u64>().unwrap_or_default() / 1000;
            // Some part of `fresh_for`; a claim ends after 30 s.
            match mark.is_empty() && left > now + 40 {
                true => Ok(()),
                false => Err((mark, due)),
            }
        })
        .await;
    }
}

async fn page(node: &Service) -> Value {
    let response = node.request(Method::GET, BREAD).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{}", node.log());
    response.json().await.unwrap()
}

async fn revision(node: &Service) -> u64 {
    page(node).await["items"][0]["revision"].as_u64().unwrap()
}

async fn ask(node: &Service) {
    let asked = node
        .admin(Method::POST, &format!("{BREAD}/refresh"))
        .send()
        .await
        .unwrap();
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
}

async fn until_shown(node: &Service, wanted: u64) {
    eventually(async || match revision(node).await {
        shown if shown >= wanted => Ok(()),
        shown => Err((shown, wanted)),
    })
    .await;
}

/// Fills the listing, and waits until nothing of that holds up a refresh.
async fn warm(shop: &Shop, nodes: &[&Service]) {
    for node in nodes {
        page(node).await;
    }
    let filled = *shop.draws().last().unwrap();
    eventually(async || {
        let now: u64 = shop.redis.cli_lines(&["TIME"])[0].parse().unwrap();
        match Duration::from_secs(now) > filled + COALESCE_FOR {
            true => Ok(()),
            false => Err(now),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_it_is_asked_for_a_listing_is_read_once_a_while_and_shows_the_last_change() {
    const CHANGES_FOR: Duration = Duration::from_secs(9);
    let shop = Shop::start();
    // A change may be read before it is said.
    shop.numbers.store(true, Ordering::SeqCst);
    let nodes = [shop.node(), shop.node()];
    warm(&shop, &[&nodes[0], &nodes[1]]).await;
    let began = Instant::now();
    let mut changes = Vec::new();
    while began.elapsed() < CHANGES_FOR {
        let revision = shop.change();
        changes.push(Instant::now());
        ask(&nodes[revision as usize % 2]).await;
    }
    let last = changes.len() as u64;
    for node in &nodes {
        until_shown(node, last).await;
    }
    let shown_after = changes.last().unwrap().elapsed();
    shop.settled().await;

    let draws = shop.draws();
    let gaps: Vec<Duration> = draws.windows(2).map(|two| two[1] - two[0]).collect();
    eprintln!(
        "{last} requests of two nodes: {} reads, {:?} apart; the last change was shown {shown_after:?} after it was made",
        draws.len(),
        gaps
    );
    // None between two draws that published nothing either: the API would have been asked.
    assert_eq!(shop.api.requests().len(), draws.len());
    assert!(gaps.iter().all(|gap| *gap >= COALESCE_FOR), "{gaps:?}");
    // The fill, and at least every other time.
    assert!(draws.len() >= 4, "{gaps:?}");
    assert!(shown_after <= COALESCE_FOR + REFRESH_MAX, "{shown_after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_after_a_while_is_not_put_off() {
    let shop = Shop::start();
    let node = shop.node();
    warm(&shop, &[&node]).await;
    let (revision, changed) = (shop.change(), Instant::now());
    ask(&node).await;
    until_shown(&node, revision).await;
    assert!(changed.elapsed() < COALESCE_FOR, "{:?}", changed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_during_a_read_causes_exactly_one_more() {
    let shop = Shop::start();
    let nodes = [shop.node(), shop.node()];
    warm(&shop, &[&nodes[0], &nodes[1]]).await;
    // Longer than `coalesce_for`: what is asked for meanwhile could begin before the read has ended.
    shop.takes_ms.store(3000, Ordering::SeqCst);
    shop.change();
    ask(&nodes[0]).await;
    eventually(async || match shop.api.requests().len() {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    // The API has made its answer: what changes from here on it does not show.
    let revision = shop.change();
    for _ in 0..10 {
        ask(&nodes[0]).await;
        ask(&nodes[1]).await;
    }
    for node in &nodes {
        until_shown(node, revision).await;
    }
    shop.settled().await;
    assert_eq!(shop.api.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_after_it_has_accepted_loses_nothing() {
    let shop = Shop::start();
    let (mut receiver, other) = (shop.node(), shop.node());
    warm(&shop, &[&receiver, &other]).await;
    let first = shop.change();
    ask(&receiver).await;
    until_shown(&other, first).await;
    // Within `coalesce_for` of a read, so it is put off; whoever was to attend to it dies.
    let (revision, changed) = (shop.change(), Instant::now());
    ask(&receiver).await;
    receiver.kill();
    assert_eq!(shop.api.requests().len(), 2, "it was not put off");
    until_shown(&other, revision).await;
    let shown_after = changed.elapsed();
    eprintln!("shown {shown_after:?} after the change");
    assert!(shown_after <= COALESCE_FOR + SCHEDULE + REFRESH_MAX, "{shown_after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_while_it_reads_loses_nothing() {
    let shop = Shop::start();
    let (mut reader, other) = (shop.node(), shop.node());
    warm(&shop, &[&reader, &other]).await;
    shop.takes_ms.store(60_000, Ordering::SeqCst);
    let revision = shop.change();
    ask(&reader).await;
    eventually(async || match shop.api.requests().len() {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    shop.takes_ms.store(0, Ordering::SeqCst);
    reader.kill();
    let killed = Instant::now();
    until_shown(&other, revision).await;
    let shown_after = killed.elapsed();
    eprintln!("shown {shown_after:?} after the reader was killed");
    // Its lease lapses, and the schedule looks.
    assert!(shown_after <= Duration::from_millis(1200) + SCHEDULE + REFRESH_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_stays_asked_for() {
    let shop = Shop::start();
    let node = shop.node();
    warm(&shop, &[&node]).await;
    shop.fails.store(true, Ordering::SeqCst);
    let revision = shop.change();
    ask(&node).await;
    eventually(async || match shop.api.requests().len() {
        0..=1 => Err("not read yet"),
        _ => Ok(()),
    })
    .await;
    shop.fails.store(false, Ordering::SeqCst);
    until_shown(&node, revision).await;
    shop.settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_and_has_not_changed_lives_on() {
    let shop = Shop::start();
    let node = shop.node();
    warm(&shop, &[&node]).await;
    let before = page(&node).await["generation"].clone();
    ask(&node).await;
    eventually(async || match shop.api.requests().len() {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    shop.settled().await;
    assert_eq!(page(&node).await["generation"], before);
    let waited = node.admin(Method::POST, &format!("{BREAD}/refresh?wait=true"));
    let answer = json_of(waited).await;
    assert_ne!(
        answer["generation"], before,
        "whoever waits gets a generation of their own"
    );
    assert_eq!(page(&node).await["generation"], answer["generation"]);
}
