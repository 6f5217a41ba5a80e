//! CDNs that are purged when listings change: a scripted one that fails in every way, and a real Varnish.

mod killed;
mod varnish;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer, ApiRequest},
    eventually,
    service::{Service, TOKEN, json_of},
};

/// `l1.ttl`; the second purge is two seconds later still.
const L1_TTL: Duration = Duration::from_millis(500);
const SECOND_AFTER: Duration = Duration::from_millis(2500);
const DEBOUNCE: Duration = Duration::from_secs(1);

/// A call of the CDN.
#[derive(Clone, Debug)]
struct Call {
    at: Instant,
    tags: Vec<String>,
    is_done: bool,
}

/// A scripted CDN that takes calls as Fastly or Cloudflare does.
struct ScriptedCdn {
    api: Api,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl ScriptedCdn {
    /// Answers as the script says. A call is done where its status is good and it does not say otherwise.
    fn start(script: impl Fn(&ApiRequest) -> ApiAnswer + Send + Sync + 'static) -> Self {
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let heard = calls.clone();
        let api = Api::start(move |request| {
            let tags = request.body["surrogate_keys"]
                .as_array()
                .or(request.body["tags"].as_array());
            let tags = tags
                .unwrap()
                .iter()
                .map(|tag| tag.as_str().unwrap().to_owned())
                .collect();
            let answer = script(request);
            heard.lock().push(Call {
                at: Instant::now(),
                tags,
                is_done: answer.status == 200
                    && answer.delay < Duration::from_secs(10)
                    && !answer.body.ends_with(b"false}"),
            });
            answer
        });
        Self { api, calls }
    }

    fn willing() -> Self {
        Self::start(|_| ApiAnswer::json(r#"{"success":true}"#))
    }

    /// The calls that were done and had this tag.
    fn done(&self, tag: &str) -> Vec<Call> {
        let calls = self.calls.lock();
        let with = |call: &&Call| call.is_done && call.tags.iter().any(|other| other == tag);
        calls.iter().filter(with).cloned().collect()
    }

    /// Waits until a tag was purged so often.
    async fn purged(&self, tag: &str, times: usize) -> Vec<Call> {
        eventually(async || match self.done(tag) {
            calls if calls.len() >= times => Ok(calls),
            calls => Err((calls.len(), self.calls.lock().len())),
        })
        .await
    }
}

/// A service that may push `promo:*`, with CDNs of the configuration.
fn config(redis: &RedisServer, cdns: &str) -> String {
    format!(
        r#"
        [redis]
        url = "{}"
        [l1]
        ttl = "{}ms"
        [defaults]
        cdn_max_age = "1h"
        pin_for = "2h"
        [pushed]
        names = ["promo:*"]
        {cdns}
        "#,
        redis.url(),
        L1_TTL.as_millis()
    )
}

fn fastly(cdn: &ScriptedCdn) -> String {
    format!(
        "[cdn.edge]\nprovider = \"fastly\"\nservice = \"abc\"\nurl = \"{}\"",
        cdn.api.url
    )
}

fn start(config: &str) -> Service {
    let token = ("LISTCACHE_CDN__EDGE__TOKEN", "the-cdn's-token");
    Service::start_with(config, &[("LISTCACHE_TOKEN", TOKEN), token])
}

/// Keeps the role of purging, and purges nothing.
struct IdleWorker(std::process::Child);

impl IdleWorker {
    fn start(redis: &RedisServer) -> Self {
        let take = format!(
            "while :; do redis-cli -s {} SET listcache:2:role:cdn:edge nobody PX 2000; sleep 0.1; done",
            redis.socket().display()
        );
        let shell = std::process::Command::new("sh")
            .args(["-c", &take])
            .stdout(std::process::Stdio::null())
            .spawn();
        Self(shell.unwrap())
    }
}

impl Drop for IdleWorker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn push(service: &Service, name: &str, item: u64) {
    let path = format!("/v1/listings/{name}");
    let push = service.admin(Method::PUT, &path).json(&json!([{ "id": item }]));
    push.send().await.unwrap().error_for_status().unwrap();
}

/// The lifetimes that a page gives to every cache, and to CDNs.
async fn lifetimes(service: &Service, name: &str) -> [String; 2] {
    let page = service
        .request(Method::GET, &format!("/v1/listings/{name}"))
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    ["cache-control", "cdn-cache-control"].map(|header| {
        let value = page.headers().get(header).unwrap().to_str().unwrap();
        value.split(',').next().unwrap().to_owned()
    })
}

async fn is_told_to_keep(service: &Service, name: &str, long: bool) {
    eventually(async || match lifetimes(service, name).await {
        [_, cdn] if (cdn == "max-age=3600") == long => Ok(()),
        others => Err(others),
    })
    .await;
}

async fn health(service: &Service) -> Value {
    json_of(service.request(Method::GET, "/health/ready")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_purged_twice_and_no_more() {
    let (redis, cdn) = (RedisServer::start(), ScriptedCdn::willing());
    let service = start(&config(&redis, &fastly(&cdn)));
    // Nobody knows what the CDN holds at first.
    cdn.purged("~all", 1).await;
    let pushed = Instant::now();
    push(&service, "promo:a", 1).await;
    push(&service, "promo:b", 1).await;
    let calls = cdn.purged("promo:a", 2).await;
    assert!(
        calls[0].at - pushed >= DEBOUNCE - Duration::from_millis(50),
        "changes wait for each other"
    );
    assert!(
        calls[1].at - calls[0].at >= SECOND_AFTER,
        "when all nodes have heard for sure"
    );
    let together = |call: &Call| call.tags.contains(&"promo:b".to_owned());
    assert!(calls.iter().all(together), "one call for both: {calls:?}");
    let request = cdn.api.requests().pop().unwrap();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/service/abc/purge")
    );
    assert_eq!(request.headers["fastly-key"], "the-cdn's-token");
    assert_eq!(request.headers["fastly-soft-purge"], "1");
    cdn.purged("~all", 2).await;
    // A delete is a change too.
    let delete = service
        .admin(Method::DELETE, "/v1/listings/promo:a")
        .send()
        .await
        .unwrap();
    assert_eq!(delete.status(), StatusCode::NO_CONTENT);
    cdn.purged("promo:a", 4).await;
    assert_eq!((cdn.done("promo:b").len(), cdn.done("~all").len()), (2, 2));
    let calls = cdn.calls.lock().len() as f64;
    assert_eq!(service.metric("listcache_purge_calls_total").await, calls);
    assert!(!service.log().contains("the-cdn's-token"), "the token is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cdn_that_refuses_fails_hangs_or_lies_is_asked_until_it_purges() {
    let redis = RedisServer::start();
    let cdn = ScriptedCdn::start(|request| match request.number {
        0 => ApiAnswer::json(r#"{"success":true}"#),
        1 => ApiAnswer::json(r#"{"success":true}"#).after(Duration::from_secs(12)),
        2 => ApiAnswer::status(429).header("retry-after", "1"),
        3 => ApiAnswer::status(500),
        4 => ApiAnswer::json(r#"{"success":false}"#),
        _ => ApiAnswer::json(r#"{"success":true}"#),
    });
    let cloudflare = format!(
        "[cdn.edge]\nprovider = \"cloudflare\"\nzone = \"abc\"\nplan = \"pro\"\nurl = \"{}\"",
        cdn.api.url
    );
    let config = config(&redis, &cloudflare);
    let (service, other) = (start(&config), start(&config));
    cdn.purged("~all", 1).await;
    push(&service, "promo:a", 1).await;
    for node in [&service, &other] {
        is_told_to_keep(node, "promo:a", true).await;
    }
    // While it hangs nobody tells it to keep anything long.
    for node in [&service, &other] {
        is_told_to_keep(node, "promo:a", false).await;
        assert_eq!(lifetimes(node, "promo:a").await[0], lifetimes(node, "promo:a").await[1]);
        assert_eq!(health(node).await["cdns_unpurged"][0]["cdn"], "edge");
    }
    // It is asked less and less often.
    eventually(async || match cdn.calls.lock().len() {
        calls if calls >= 4 => Ok(()),
        calls => Err(calls),
    })
    .await;
    let calls = cdn.purged("promo:a", 2).await;
    assert!(calls[1].at - calls[0].at >= SECOND_AFTER);
    for node in [&service, &other] {
        is_told_to_keep(node, "promo:a", true).await;
        eventually(async || match health(node).await["cdns_unpurged"].clone() {
            Value::Null => Ok(()),
            others => Err(others),
        })
        .await;
    }
    let logs = format!("{}{}", service.log(), other.log());
    assert_eq!(
        logs.matches("the CDN is not purged").count(),
        1,
        "once a minute: {logs}"
    );
    assert!(logs.contains("the CDN is purged again"));
    let calls = cdn.calls.lock().clone();
    let after_the_busy = calls[3].at - calls[2].at;
    assert!(
        after_the_busy >= Duration::from_secs(1),
        "it asked for a second: {after_the_busy:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_node_that_purges_no_page_may_be_kept_long() {
    let (redis, cdn) = (RedisServer::start(), ScriptedCdn::willing());
    // Another node has the role, and does not do its work.
    let idle = IdleWorker::start(&redis);
    let config = config(&redis, &fastly(&cdn));
    let nodes = [start(&config), start(&config)];
    push(&nodes[0], "promo:a", 1).await;
    for node in &nodes {
        is_told_to_keep(node, "promo:a", false).await;
    }
    drop(idle);
    for node in &nodes {
        is_told_to_keep(node, "promo:a", true).await;
    }
    cdn.purged("~all", 2).await;
    let _idle = IdleWorker::start(&redis);
    let since = Instant::now();
    for node in &nodes {
        is_told_to_keep(node, "promo:a", false).await;
    }
    let took = since.elapsed();
    assert!(took <= Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_the_headers_that_their_cdns_read() {
    let (redis, cdn) = (RedisServer::start(), ScriptedCdn::willing());
    let dialects = "[http]\ncdn = [\"fastly\", \"cloudflare\"]";
    let service = start(&format!("{dialects}\n{}", config(&redis, &fastly(&cdn))));
    push(&service, "promo:a", 1).await;
    is_told_to_keep(&service, "promo:a", true).await;
    let said = async |path: &str, names: &[&str]| {
        let answer = service.admin(Method::GET, path).send().await.unwrap();
        let value = |name: &&str| {
            answer
                .headers()
                .get(*name)
                .map_or("", |value| value.to_str().unwrap())
                .to_owned()
        };
        names.iter().map(value).collect::<Vec<_>>()
    };
    let page = said(
        "/v1/listings/promo:a",
        &["surrogate-key", "cache-tag", "surrogate-control", "cdn-cache-control"],
    )
    .await;
    assert_eq!(page[..2], ["promo:a ~pushed ~all", "promo:a,~pushed,~all"]);
    assert!(page[2].starts_with("max-age=3600") && page[2] == page[3], "{page:?}");
    // Fastly stores whatever is not private.
    assert_eq!(said("/v1/listings", &["cache-control"]).await, ["private, no-store"]);
    assert_eq!(
        said("/v1/listings/promo:a/explain", &["cache-control"]).await,
        ["private, no-store"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_reach_back_purges_everything() {
    let (redis, cdn) = (RedisServer::start(), ScriptedCdn::willing());
    let config = config(&redis, &fastly(&cdn));
    let service = start(&config);
    push(&service, "promo:a", 1).await;
    cdn.purged("promo:a", 2).await;
    let all = cdn.purged("~all", 2).await.len();
    service.terminate();
    drop(service);
    let log = redis
        .cli_lines(&["--scan", "--pattern", "listcache:2:{*}:log"])
        .pop()
        .unwrap();
    redis.cli(&["DEL", &log]);
    let service = start(&config);
    push(&service, "promo:a", 2).await;
    cdn.purged("~all", all + 2).await;
    assert!(service.logs("all pages are purged") || cdn.done("~all").len() == all + 2);
    // From here on listings again.
    let before = cdn.done("promo:a").len();
    push(&service, "promo:a", 3).await;
    cdn.purged("promo:a", before + 2).await;
    assert_eq!(cdn.done("~all").len(), all + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_purges_names_and_all_pages() {
    let (redis, cdn) = (RedisServer::start(), ScriptedCdn::willing());
    let service = start(&config(&redis, &fastly(&cdn)));
    push(&service, "promo:a", 1).await;
    push(&service, "promo:b", 1).await;
    cdn.purged("promo:b", 2).await;
    let purge = |glob: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_listcache"))
            .args(["purge", glob])
            .env("LISTCACHE_CONFIG", service.file("listcache.toml"))
            .env("LISTCACHE_CDN__EDGE__TOKEN", "the-cdn's-token")
            .output()
            .unwrap();
        let [out, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code().unwrap(), format!("{out}{error}"))
    };
    assert_eq!(purge("promo:[ab]"), (0, "edge: 2 tags purged by 1 calls\n".to_owned()));
    let last = |cdn: &ScriptedCdn| cdn.calls.lock().last().unwrap().tags.clone();
    assert_eq!(last(&cdn), ["promo:a", "promo:b"]);
    assert_eq!(purge("*"), (0, "edge: 1 tags purged by 1 calls\n".to_owned()));
    assert_eq!(last(&cdn), ["~all"]);
    let (code, said) = purge("other:*");
    assert!(code == 1 && said.contains("fits no listing"), "{code} {said}");
    cdn.api.script(|_| ApiAnswer::status(403));
    let (code, said) = purge("promo:a");
    assert!(
        code == 1 && said.contains("it answers 403") && !said.contains("the-cdn's-token"),
        "{code} {said}"
    );
}
