//! The configuration is read again on SIGHUP: checked, then swapped; a bad one changes nothing.

mod pipes;

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer, ApiRequest},
    eventually,
    service::Service,
};

/// The shortest time in which what changed must be everywhere.
const FRESH_FOR: Duration = Duration::from_secs(2);

fn items(request: &ApiRequest) -> ApiAnswer {
    let from: usize = if request.path.starts_with("/new/") { 100 } else { 0 };
    let item = |number: usize| {
        format!(
            r#"{{"id": {}, "price": {}, "name": "{}"}}"#,
            from + number,
            50 - number,
            number % 7
        )
    };
    let items: Vec<String> = (1..=40).map(item).collect();
    ApiAnswer::json(format!("[{}]", items.join(",")))
}

fn config(redis: &RedisServer, api: &Api, listings: &str) -> String {
    format!(
        "redis.url = '{}'\n[origins.shop]\nkind = 'http'\nurl = '{}'\npaging = 'none'\n{listings}",
        redis.url(),
        api.url
    )
}

fn listing(name: &str, keys: &str) -> String {
    format!("[[listings]]\nname = '{name}:{{category}}'\norigin = 'shop'\nfresh_for = '2s'\n{keys}\n")
}

const QUERY: &str = "query = 'GET /old/:category'";
const PRICE: &str = "sorts.rank = { by = ['price'] }";

async fn get(service: &Service, path: &str) -> (StatusCode, Value) {
    let answer = service.admin(Method::GET, path).send().await.unwrap();
    let status = answer.status();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

async fn health(service: &Service) -> Value {
    let (status, health) = get(service, "/health/ready").await;
    assert_eq!(status, StatusCode::OK);
    health["configuration"].clone()
}

async fn is_current(service: &Service) {
    eventually(async || match health(service).await {
        health if health["state"] == "current" => Ok(()),
        health => Err(health),
    })
    .await;
}

/// Gives the service a configuration that loses so much that it is taken at the second signal only.
async fn insist_on(service: &Service, config: &str) {
    service.reconfigure(config);
    eventually(async || match health(service).await {
        health if health["loses"].is_array() => Ok(()),
        health => Err(health),
    })
    .await;
    service.hang_up();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_query_sort_or_chunk_len_is_everywhere_within_one_life_and_nothing_fails_meanwhile() {
    let redis = RedisServer::start();
    let api = Api::start(items);
    let old = [("query", QUERY, PRICE), ("sort", QUERY, PRICE), ("chunk", QUERY, PRICE)];
    let new = [
        ("query", "query = 'GET /new/:category'", PRICE),
        ("sort", QUERY, "sorts.rank = { by = ['name'] }"),
        ("chunk", "query = 'GET /old/:category'\nchunk_len = 5", PRICE),
    ];
    let write = |listings: [(&str, &str, &str); 3]| {
        let listings = listings.map(|(name, query, sorts)| listing(name, &format!("{query}\n{sorts}")));
        config(&redis, &api, &listings.concat())
    };
    let service = Arc::new(Service::start(&write(old)));
    for (name, ..) in old {
        assert_eq!(get(&service, &format!("/v1/listings/{name}:A")).await.0, StatusCode::OK);
    }

    // Readers of all three, all the time.
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = old
        .into_iter()
        .map(|(name, ..)| {
            let (service, stop, answers) = (service.clone(), stop.clone(), answers.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let (status, page) = get(&service, &format!("/v1/listings/{name}:A")).await;
                    assert_eq!((status, page["total"].as_u64()), (StatusCode::OK, Some(40)), "{page}");
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();

    service.reconfigure(&write(new));
    let began = Instant::now();
    eventually(async || {
        let first =
            async |name: &str| get(&service, &format!("/v1/listings/{name}:A")).await.1["items"][0]["id"].clone();
        let chunk_len = get(&service, "/v1/listings/chunk:A/explain").await.1["chunk_len"].clone();
        match (first("query").await, first("sort").await, chunk_len) {
            (query, sort, chunk_len) if query == 140 && sort == 7 && chunk_len == 5 => Ok(()),
            other => Err(other),
        }
    })
    .await;
    assert!(began.elapsed() < FRESH_FOR, "{:?}", began.elapsed());
    // And with all three as they are now.
    let enough = answers.load(Ordering::SeqCst) + 100;
    eventually(async || match answers.load(Ordering::SeqCst) {
        count if count > enough => Ok(()),
        count => Err(count),
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_was_asked_for_before_is_read_by_the_new_configuration() {
    let redis = RedisServer::start();
    let api = Api::start(items);
    // The first sort is the one that a bare URL asks for.
    let sorted = |first: &str, second: &str| {
        let keys = format!("{QUERY}\nsorts.{first} = {{ by = ['price'] }}\nsorts.{second} = {{ by = ['name'] }}");
        config(&redis, &api, &listing("bread", &keys)) + "\n[http]\nworkers = 1\n"
    };
    let service = Service::start(&sorted("rank", "label"));
    let asked = async || {
        let (status, page) = get(&service, "/v1/listings/bread:A").await;
        (status, page["sort"].as_str().map(str::to_owned))
    };
    let is = async |expect: (StatusCode, Option<&str>)| {
        eventually(async || match asked().await {
            (status, sort) if (status, sort.as_deref()) == expect => Ok(()),
            other => Err(other),
        })
        .await;
    };
    is((StatusCode::OK, Some("rank"))).await;
    service.reconfigure(&sorted("label", "rank"));
    is((StatusCode::OK, Some("label"))).await;
    insist_on(
        &service,
        &(config(&redis, &api, &listing("cake", &format!("{QUERY}\n{PRICE}"))) + "\n[http]\nworkers = 1\n"),
    )
    .await;
    is((StatusCode::NOT_FOUND, None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_keeps_the_old_configuration_and_shows_in_health() {
    let redis = RedisServer::start();
    let api = Api::start(items);
    let good = config(&redis, &api, &listing("a", &format!("{QUERY}\n{PRICE}")));
    let service = Service::start(&good);
    assert_eq!(health(&service).await, Value::Null);
    assert_eq!(get(&service, "/v1/listings/a:A").await.0, StatusCode::OK);

    let bad = good.replace("fresh_for = '2s'", "fresh_for = 'soon'\nfresh_four = '2s'");
    service.reconfigure(&bad);
    eventually(async || match health(&service).await {
        health if health["state"] == "refused" => {
            assert_eq!(
                health["errors"],
                serde_json::json!(["listings[0].fresh_for", "listings[0].fresh_four"])
            );
            Ok(())
        }
        health => Err(health),
    })
    .await;
    let metrics = service.admin(Method::GET, "/metrics").send().await.unwrap();
    assert!(
        metrics
            .text()
            .await
            .unwrap()
            .contains("listcache_config_last_reload_successful 0")
    );
    assert!(
        service.logs("the configuration is bad: the one before stays"),
        "{}",
        service.log()
    );
    assert_eq!(get(&service, "/v1/listings/a:B").await.0, StatusCode::OK);

    // What only a start can change is said, and the rest is taken.
    insist_on(
        &service,
        &format!("l1.ttl = '1s'\n{}", good.replace("a:{category}", "b:{category}")),
    )
    .await;
    is_current(&service).await;
    assert_eq!(health(&service).await["needs_restart"], serde_json::json!(["l1"]));
    assert_eq!(get(&service, "/v1/listings/b:A").await.0, StatusCode::OK);
    assert_eq!(get(&service, "/v1/listings/a:A").await.0, StatusCode::NOT_FOUND);
}

/// A file that is empty, or written to its half, is well-formed.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_loses_its_listings_is_taken_only_at_a_second_signal() {
    let redis = RedisServer::start();
    let api = Api::start(items);
    let listings = ["a", "b", "c"].map(|name| listing(name, &format!("{QUERY}\n{PRICE}")));
    let whole = config(&redis, &api, &listings.concat());
    let half = config(&redis, &api, &listings[0]);
    let service = Service::start(&whole);
    let is_served = async |name: &str| get(&service, &format!("/v1/listings/{name}:A")).await.0 == StatusCode::OK;
    let loses = async |lost: &[&str]| {
        let lost: Vec<_> = lost.iter().map(|name| format!("{name}:{{category}}")).collect();
        let expect = serde_json::json!({"state": "refused", "errors": ["listings"], "loses": lost});
        eventually(async || match health(&service).await {
            health if health == expect => Ok(()),
            health => Err(health),
        })
        .await;
        for name in ["a", "b", "c"] {
            assert!(is_served(name).await, "{name}");
        }
    };
    service.reconfigure("");
    loses(&["a", "b", "c"]).await;
    // Another file is no insistence.
    service.reconfigure(&half);
    loses(&["b", "c"]).await;
    assert_eq!(service.metric("listcache_config_last_reload_successful").await, 0.0);
    let told = "send SIGHUP again within a minute";
    assert!(service.logs(told), "{}", service.log());

    service.hang_up();
    is_current(&service).await;
    assert_eq!((is_served("a").await, is_served("b").await), (true, false));
    // What adds listings, or loses few, is taken at once.
    service.reconfigure(&whole);
    eventually(async || match is_served("b").await {
        true => Ok(()),
        false => Err(()),
    })
    .await;
    assert_eq!(health(&service).await["loses"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_is_configured_as_it_was_goes_on_and_another_takes_the_place_of_one_that_is_not() {
    let redis = RedisServer::start();
    let [first, second] = [0, 1].map(|_| Api::start(items));
    let listings = listing("a", &format!("{QUERY}\n{PRICE}\nnames = ['A', 'B', 'C']"));
    let service = Service::start(&config(&redis, &first, &listings));
    assert_eq!(get(&service, "/v1/listings/a:A").await.0, StatusCode::OK);

    service.reconfigure(&config(&redis, &second, &listings));
    is_current(&service).await;
    let before = first.requests().len();
    assert_eq!(get(&service, "/v1/listings/a:B").await.0, StatusCode::OK);
    assert_eq!(second.requests().last().unwrap().path, "/old/B");
    // What is due is read there, too.
    eventually(
        async || match second.requests().iter().any(|request| request.path == "/old/A") {
            true => Ok(()),
            false => {
                get(&service, "/v1/listings/a:A").await;
                Err(second.requests().len())
            }
        },
    )
    .await;
    assert_eq!(first.requests().len(), before);

    // A name that is declared no more is gone, a new one is there.
    service.reconfigure(&config(&redis, &second, &listings.replace("'A', 'B', 'C'", "'C', 'D'")));
    eventually(async || match get(&service, "/v1/listings/a:A").await.0 {
        StatusCode::NOT_FOUND => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(get(&service, "/v1/listings/a:D").await.0, StatusCode::OK);
}

/// Signals are numbered from 1, bits of `SigCgt` from 0: proc(5).
fn handles_hangups(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_comes_before_the_service_is_up_ends_nothing() {
    let redis = RedisServer::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("listcache.toml");
    fs::write(&file, format!("redis.url = '{}'", redis.url())).unwrap();
    redis.pause();
    let mut child = Command::new(env!("CARGO_BIN_EXE_listcache"))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually(async || match handles_hangups(child.id()) {
        true => Ok(()),
        false => Err("SIGHUP would end it"),
    })
    .await;
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    redis.resume();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("listening on "), "{line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_was_mended_does_not_wait_for_the_back_off_of_the_one_before() {
    let redis = RedisServer::start();
    let api = Api::start(|request: &ApiRequest| match request.path.starts_with("/broken/") {
        true => ApiAnswer::status(500),
        false => items(request),
    });
    let write = |query: &str| {
        let listings = listing("c", &format!("query = '{query}'\n{PRICE}"));
        config(&redis, &api, &listings).replace("paging = 'none'", "paging = 'none'\nretries = 0")
    };
    let broken = Service::start(&write("GET /broken/:category"));
    for name in ["A", "B"] {
        // So often that the next attempt is a minute away.
        for _ in 0..7 {
            let refresh = format!("/v1/listings/c:{name}/refresh?wait=true");
            let refused = broken.admin(Method::POST, &refresh).send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::BAD_GATEWAY);
        }
        let (status, problem) = get(&broken, &format!("/v1/listings/c:{name}")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    }
    let mended = write("GET /old/:category");
    // What Redis remembers of it, and what this process does.
    let other = Service::start(&mended);
    let (status, page) = get(&other, "/v1/listings/c:B").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    broken.reconfigure(&mended);
    is_current(&broken).await;
    let (status, page) = get(&broken, "/v1/listings/c:A").await;
    assert_eq!(status, StatusCode::OK, "{page}");
}
