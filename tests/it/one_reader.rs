//! Invariant 6 across processes: one reads the origin, the others wait for it; a dead reader is replaced, one that was
//! paused past its lease is refused.

use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer, ApiRequest},
    eventually,
    load::{self, Outcome},
    service::{Service, TOKEN},
};

const PROCESSES: usize = 3;
const REQUESTS_A_PROCESS: usize = 1000;

/// The node that a request of the API came from.
fn node(request: &ApiRequest) -> usize {
    request.headers["x-node"].parse().unwrap()
}

/// 30 items that say which node has read them.
fn items_of(request: &ApiRequest) -> ApiAnswer {
    let node = node(request);
    let items: Vec<_> = (1..=30)
        .map(|id| serde_json::json!({"id": id, "read_by": node}))
        .collect();
    ApiAnswer::json(serde_json::to_vec(&items).unwrap())
}

fn start(redis: &RedisServer, api: &Api, node: usize) -> Service {
    let config = format!(
        r#"
        [http]
        fill_wait = "15s"
        [redis]
        url = "{}"
        [l1]
        ttl = "100ms"

        [origins.shop]
        kind = "http"
        url = "{}"
        paging = "none"
        headers.x-node = "{node}"

        [[listings]]
        name = "c:{{category}}"
        origin = "shop"
        query = "GET /:category"
        # The first due time is anywhere in the period.
        fresh_for = "1h"
        keep_for = "2h"
        pin_for = "2h"
        [listings.sorts]
        number = {{ by = ["id"] }}
        "#,
        redis.url(),
        api.url
    );
    Service::start_with(&config, &[("LISTCACHE_TOKEN", TOKEN)])
}

/// Which node read the page that a service has; its status where it has none.
async fn read_by(address: String, path: &str) -> Result<u64, u16> {
    let response = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    let status = response.status().as_u16();
    let page: Value = response.json().await.unwrap();
    page["items"][0]["read_by"].as_u64().ok_or(status)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures times: `make test` runs it by itself"]
async fn a_thousand_requests_to_each_of_three_processes_are_one_read() {
    const ORIGIN_TAKES: Duration = Duration::from_secs(1);
    // 3,000 connections, more than what many systems let a process open unless it asks for it.
    let id = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &id, "--nofile=16384:"]).status();
    assert!(raised.unwrap().success());

    let redis = RedisServer::start();
    let api = Api::start(|request| items_of(request).after(ORIGIN_TAKES));
    let services: Vec<_> = (0..PROCESSES).map(|node| start(&redis, &api, node)).collect();
    let mut connections = Vec::new();
    for service in &services {
        for _ in 0..REQUESTS_A_PROCESS {
            connections.push(load::connect(&service.address).await.unwrap());
        }
    }
    // A task each: one for all would still be reading what has long been answered.
    let mut asking = JoinSet::new();
    for mut connection in connections {
        asking.spawn(async move {
            let begun = Instant::now();
            let answer = load::ask(&mut connection, "/v1/listings/c:COLD").await.unwrap();
            (begun.elapsed(), answer, connection)
        });
    }
    let answers = asking.join_all().await;
    for (_, answer, _) in &answers {
        assert!(matches!(answer, Outcome::Answer { status: 200, .. }), "{answer:?}");
    }
    assert_eq!(api.requests().len(), 1, "{:?}", api.requests());
    let mut waits: Vec<_> = answers.into_iter().map(|(wait, ..)| wait).collect();
    waits.sort();
    let ratio = waits[waits.len() / 2].as_secs_f64() / ORIGIN_TAKES.as_secs_f64();
    eprintln!(
        "{} requests, one read: median wait {ratio:.2} x the origin's time, longest {:?}",
        waits.len(),
        waits[waits.len() - 1]
    );
    assert!(ratio <= 1.3, "{ratio}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reader_is_replaced_within_two_seconds() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let redis = RedisServer::start();
    // The first reader never gets its answer.
    let api = Api::start(|request| match ASKED.fetch_add(1, Ordering::SeqCst) {
        0 => items_of(request).after(Duration::from_secs(60)),
        _ => items_of(request),
    });
    let mut services: Vec<_> = (0..2).map(|node| start(&redis, &api, node)).collect();
    let waiting = services
        .iter()
        .map(|service| service.address.clone())
        .map(|address| read_by(address, "/v1/listings/c:COLD"));
    let mut waiting: Vec<_> = waiting.map(tokio::spawn).collect();
    let reader = eventually(async || api.requests().first().map(node).ok_or("nobody reads")).await;
    services[reader].kill();
    let killed = Instant::now();
    let answered = waiting.swap_remove(1 - reader).await.unwrap();
    let waited = killed.elapsed();
    assert_eq!(answered, Ok(1 - reader as u64));
    eprintln!("another node answered {waited:?} after the reader was killed");
    assert!(waited <= Duration::from_secs(2), "{waited:?}");
}

/// The paused reader has what it read long ago, and the lease is another's: its publish must be refused, though no later
/// generation is current yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_was_paused_past_its_lease_is_refused() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let redis = RedisServer::start();
    let api = Api::start(|request| {
        ASKED.fetch_add(1, Ordering::SeqCst);
        items_of(request).after(Duration::from_secs(4))
    });
    let services: Vec<_> = (0..2).map(|node| start(&redis, &api, node)).collect();
    let path = "/v1/listings/c:COLD";
    let refresh = services[0].admin(Method::POST, &format!("{path}/refresh"));
    assert_eq!(refresh.send().await.unwrap().status(), 202);
    eventually(async || {
        if ASKED.load(Ordering::SeqCst) == 1 {
            Ok(())
        } else {
            Err("nobody reads")
        }
    })
    .await;
    services[0].stop();
    let other = tokio::spawn(read_by(services[1].address.clone(), path));
    // The other reads once the lease has lapsed. Then the first goes on, and has its answer long before the other.
    eventually(async || {
        if ASKED.load(Ordering::SeqCst) == 2 {
            Ok(())
        } else {
            Err("still leased")
        }
    })
    .await;
    services[0].cont();
    let fenced = async || {
        let metrics = services[0].request(Method::GET, "/metrics").send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let refused = metrics.contains("listcache_refreshes_total{outcome=\"fenced\"} 1");
        if refused { Ok(()) } else { Err(metrics) }
    };
    eventually(fenced).await;
    assert_eq!(other.await.unwrap(), Ok(1));
    for service in &services {
        eventually(async || match read_by(service.address.clone(), path).await {
            Ok(1) => Ok(()),
            other => Err(other),
        })
        .await;
    }
    assert_eq!(ASKED.load(Ordering::SeqCst), 2);
}
