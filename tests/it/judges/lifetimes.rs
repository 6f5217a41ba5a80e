//! How long http-cache-semantics, by which many clients reckon, would use our answers: as long as we say they are good, to a second. On
//! nodes whose clocks differ too, for ages are reckoned by Redis's clock and lifetimes go out as seconds that are left.

use std::{path::PathBuf, time::SystemTime};

use reqwest::{Method, Response};
use serde_json::{Map, Value, json};

use super::{ask, node, patient};
use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop, TOKEN, json_of},
};

const BREAD: &str = "/v1/listings/category:BREAD";
const SHORT: &str = "/v1/listings/short:BREAD";

/// An exchange as the judge takes it.
async fn exchange(service: &Service, path: &str) -> Value {
    let response = service.request(Method::GET, path).send().await.unwrap();
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    json!({"url": path, "headers": {"host": service.address}, "status": response.status().as_u16(), "response": headers})
}

fn judged(exchanges: &[Value]) -> Vec<Value> {
    let verdict = ask(&mut node("lifetimes.cjs"), &exchanges.into());
    verdict.as_array().unwrap().clone()
}

/// What we say of our own: the last `ttl` in `Cache-Status`.
fn own_ttl(exchange: &Value) -> f64 {
    let status = exchange["response"]["cache-status"].as_str().unwrap();
    let (_, after) = status.rsplit_once("ttl=").unwrap_or_else(|| panic!("{status}"));
    after.split([';', ',']).next().unwrap().parse().unwrap()
}

fn number(verdict: &Value, member: &str) -> f64 {
    verdict[member]
        .as_f64()
        .unwrap_or_else(|| panic!("{member} of {verdict}"))
}

#[track_caller]
fn within_a_second(what: &str, judged: f64, ours: f64) {
    assert!((judged - ours).abs() <= 1.0, "{what}: {judged} s there, {ours} s here");
}

/// The judge uses a page as long as we say, then asks for it by its tag.
#[track_caller]
fn agrees(what: &str, exchange: &Value, verdict: &Value, ours: f64, swr: f64) {
    assert_eq!(verdict["storable"], true, "{what}: {exchange}");
    within_a_second(what, number(verdict, "ttl"), ours);
    within_a_second(what, number(verdict, "private_ttl"), ours);
    assert_eq!(number(verdict, "swr"), swr, "{what}");
    assert_eq!(
        (&verdict["fresh_now"], &verdict["fresh_a_second_after"]),
        (&json!(true), &json!(false)),
        "{what}: {verdict}"
    );
    assert_eq!(verdict["swr_just_after"], swr > 1.0, "{what}: {verdict}");
    assert_eq!(verdict["swr_too_late"], false, "{what}: {verdict}");
    assert_eq!(verdict["revalidates_with"], exchange["response"]["etag"], "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lifetimes_are_what_we_say() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&patient(shop.config(&redis.url(), "")));
    let page = json_of(service.request(Method::GET, BREAD)).await;
    let pinned = page["links"]["self"].as_str().unwrap();
    exchange(&service, SHORT).await;
    let mut asked = vec![
        ("fresh", exchange(&service, BREAD).await),
        ("pinned", exchange(&service, pinned).await),
        ("unknown", exchange(&service, "/v1/listings/category:NOBODY").await),
        (
            "gone",
            exchange(&service, &format!("{BREAD}?generation=1-00000000")).await,
        ),
        ("bad", exchange(&service, &format!("{BREAD}?page=0")).await),
    ];
    shop.close();
    let stale = |shows: &'static str| {
        let service = &service;
        async move {
            eventually(async || {
                let found = exchange(service, SHORT).await;
                match found["response"]["cache-status"].as_str().unwrap().contains(shows) {
                    true => Ok(found),
                    false => Err(found),
                }
            })
            .await
        }
    };
    asked.push(("failing", stale("detail=origin-error").await));
    asked.push(("nothing yet", exchange(&service, "/v1/listings/plain:NOTHING").await));
    // Some seconds old.
    let aged = eventually(async || {
        let found = exchange(&service, BREAD).await;
        if own_ttl(&found) <= 57.0 { Ok(found) } else { Err(found) }
    })
    .await;
    asked.push(("aged", aged));
    let exchanges: Vec<Value> = asked.iter().map(|(_, exchange)| exchange.clone()).collect();
    for ((what, exchange), verdict) in asked.iter().zip(judged(&exchanges)) {
        let lives = |seconds| within_a_second(what, number(&verdict, "ttl"), seconds);
        match *what {
            "fresh" | "aged" => agrees(what, exchange, &verdict, own_ttl(exchange), 30.0),
            "pinned" => agrees(what, exchange, &verdict, 60.0, 0.0),
            // The same URL's next answer is better soon.
            "failing" => agrees(what, exchange, &verdict, 5.0, 1.0),
            "unknown" => lives(5.0),
            "gone" => lives(60.0),
            // It keeps no 400, whatever that says.
            "bad" | "nothing yet" => assert_eq!(verdict["storable"], false, "{exchange}"),
            other => unreachable!("{other}"),
        }
    }
    println!("http-cache-semantics: {} lifetimes agree", asked.len());
}

/// What a process preloads to believe in another time of day.
fn faketime() -> PathBuf {
    let places = std::fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = places
        .map(|place| place.join("faketime/libfaketime.so.1"))
        .filter(|file| file.exists());
    found.next().expect("libfaketime is missing: run .ci/install judges")
}

/// How far ahead of ours the clock is that dated an answer.
fn clock_ahead(response: &Response) -> f64 {
    let date = httpdate::parse_http_date(response.headers()["date"].to_str().unwrap()).unwrap();
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
    seconds(date) - seconds(SystemTime::now())
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_whose_clocks_are_60_s_apart_say_the_same() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let library = faketime();
    let config = patient(shop.config(&redis.url(), ""));
    let node = |ahead: &str| {
        // Sleeps and time-outs stay as they are: only the time of day is another.
        let environment = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME", ahead),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("LISTCACHE_TOKEN", TOKEN),
        ];
        Service::start_with(&config, &environment)
    };
    let nodes = [
        ("behind", -60.0, node("-60s")),
        ("right", 0.0, node("+0s")),
        ("ahead", 60.0, node("+60s")),
    ];
    // Who fills it dates it, and the others serve it: each in turn.
    for (filled_by, _, filler) in &nodes {
        let refresh = filler.admin(Method::POST, &format!("{BREAD}/refresh?wait=true"));
        refresh.send().await.unwrap().error_for_status().unwrap();
        let page = json_of(filler.request(Method::GET, BREAD)).await;
        let generation = page["generation"].as_str().unwrap();
        let pinned = page["links"]["self"].as_str().unwrap();
        let mut asked = Vec::new();
        for (served_by, ahead, service) in &nodes {
            let response = service.request(Method::GET, BREAD).send().await.unwrap();
            // Else nothing is tested.
            assert!(
                (clock_ahead(&response) - ahead).abs() < 5.0,
                "{served_by}: {:?}",
                response.headers()["date"]
            );
            eventually(async || {
                let found = exchange(service, BREAD).await;
                match found["response"]["etag"].as_str().unwrap().contains(generation) {
                    true => Ok(()),
                    false => Err(found),
                }
            })
            .await;
            asked.push((
                served_by,
                exchange(service, BREAD).await,
                exchange(service, pinned).await,
            ));
        }
        let exchanges: Vec<Value> = asked
            .iter()
            .flat_map(|(_, bare, pinned)| [bare.clone(), pinned.clone()])
            .collect();
        let verdicts = judged(&exchanges);
        let ttl = |at: usize| number(&verdicts[at], "ttl");
        for (at, (served_by, bare, pinned)) in asked.iter().enumerate() {
            let what = format!("filled by the one {filled_by}, served by the one {served_by}");
            agrees(&what, bare, &verdicts[2 * at], own_ttl(bare), 30.0);
            within_a_second(&what, ttl(2 * at), ttl(0));
            agrees(&format!("{what}, pinned"), pinned, &verdicts[2 * at + 1], 60.0, 0.0);
            // Never later than the answer's own date (RFC 9110, 8.8.2.1), whoever's clock that is.
            if let Some(modified) = bare["response"]["last-modified"].as_str() {
                let date = |text: &str| httpdate::parse_http_date(text).unwrap();
                assert!(
                    date(modified) <= date(bare["response"]["date"].as_str().unwrap()),
                    "{what}: {bare}"
                );
            }
        }
    }
}
