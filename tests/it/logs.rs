//! The log: whatever becomes of its reader, the service goes on; no stranger fills it.

use std::{
    fs::OpenOptions,
    io::{Read, Write},
    net::Shutdown,
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};

use crate::support::{
    RedisServer, eventually,
    frames::{ACK, PING, Raw, frame},
    service::{Service, Shop, TOKEN, json_of},
};

const BREAD: &str = "/v1/listings/category:BREAD";
/// Lines that each kind of event may add to the log within a minute.
const LINES_A_MINUTE: usize = 30;

/// Requests whose access log is several times what the queue and a pipe hold.
fn fill_the_log(service: &Service) {
    const REQUESTS: usize = 600;
    let request = format!(
        "GET /health/live HTTP/1.1\r\nHost: x\r\nUser-Agent: {}\r\n\r\n",
        "x".repeat(4000)
    );
    let mut stream = service.connect();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        writer.write_all(request.repeat(REQUESTS).as_bytes()).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    writing.join().unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let full_disk = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let (nobody, closed) = std::io::pipe().unwrap();
    drop(nobody);
    // The reader is there until the end of the test, and reads nothing.
    let (_stalled, stalling) = std::io::pipe().unwrap();
    for (case, stderr, why) in [
        ("the disk is full", full_disk(), "write"),
        ("the reader is gone", closed.into(), "write"),
        ("the reader stalls", stalling.into(), "backlog"),
    ] {
        let redis = RedisServer::start();
        let shop = Shop::new().await;
        let config = shop.config(&redis.url(), "[http]\naccess_log = true\ndrain_timeout = '5s'\n");
        let mut service = Service::start_logging_to(stderr, &config);
        fill_the_log(&service);
        let lost = format!("listcache_log_lines_lost_total{{why=\"{why}\"}}");
        eventually(async || match service.metric(&lost).await {
            lost if lost > 0.0 => Ok(()),
            _ => Err(case),
        })
        .await;

        let first = json_of(service.request(Method::GET, BREAD)).await;
        let refreshed = json_of(service.admin(Method::POST, &format!("{BREAD}/refresh?wait=true"))).await;
        assert_eq!(refreshed["state"], "refreshed", "{case}");
        assert_ne!(refreshed["generation"], first["generation"], "{case}");
        let push = service.admin(Method::PUT, "/v1/listings/promo:a").json(&[1; 0]);
        assert_eq!(push.send().await.unwrap().status(), StatusCode::CREATED, "{case}");

        let terminated = Instant::now();
        service.terminate();
        assert_eq!(service.ended().code(), Some(0), "{case}");
        let took = terminated.elapsed();
        assert!(took < Duration::from_secs(5), "{case}: it ended after {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_line_is_written_before_the_end() {
    let redis = RedisServer::start();
    // An empty variable is none.
    let mut service = Service::start_with(&format!("redis.url = '{}'", redis.url()), &[("RUST_LOG", "")]);
    service.terminate();
    assert_eq!(service.ended().code(), Some(0));
    assert!(service.log().contains("\"stopped\""), "{}", service.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stranger_fills_the_log() {
    for environment in [
        &[("LISTCACHE_TOKEN", TOKEN)][..],
        &[("LISTCACHE_TOKEN", TOKEN), ("RUST_LOG", "info")],
    ] {
        let redis = RedisServer::start();
        let shop = Shop::new().await;
        let service = Service::start_with(&shop.config(&redis.url(), ""), environment);

        // Acknowledgements of pings that the service never sent; then a ping, whose answer says that all were read.
        let mut raw = Raw::connect(&service, &[]);
        raw.send(&frame(PING, ACK, 0, &[7; 8]).repeat(5000));
        raw.send(&frame(PING, 0, 0, &[8; 8]));
        raw.until(|frame| frame.kind == PING && frame.flags & ACK == ACK && frame.payload == [8; 8]);
        for _ in 0..200 {
            let answer = service.raw("\u{1}\u{2}\u{3}\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
        let log = service.log();
        assert!(
            log.len() < 32 * 1024,
            "{environment:?}: {} bytes, of which the last are {}",
            log.len(),
            &log[log.len() - 500..]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_strangers_cause_are_few_a_minute_and_the_rest_is_counted() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let numbers = || 0..3 * LINES_A_MINUTE;
    let names: Vec<String> = numbers().map(|number| format!("'{number}'")).collect();
    let listing = |name: &str| {
        let names = names.join(", ");
        format!(
            "[[listings]]\nname = '{name}:{{number}}'\norigin = 'shop'\nnames = [{names}]\n\
             query = 'select id from products where category = :number'\nsorts.id = {{ by = ['id'] }}\n"
        )
    };
    let config = shop.config(&redis.url(), "") + &listing("empty") + &listing("failing");
    let service = Service::start(&config);
    let ask = async |name: &str| {
        for number in numbers() {
            let page = service.request(Method::GET, &format!("/v1/listings/{name}:{number}"));
            page.send().await.unwrap();
        }
    };
    // Each is read from the shop for the first time; then the shop is away.
    ask("empty").await;
    shop.close();
    ask("failing").await;
    let log = service.log();
    for message in ["listing refreshed", "refresh failed"] {
        let lines = log.lines().filter(|line| line.contains(message)).count();
        // Where the minute ends within the test, there is another.
        assert!((1..=2 * LINES_A_MINUTE).contains(&lines), "{lines} of `{message}`");
    }
    assert!(log.contains("more lines of this kind are left out"), "{log}");
    let left_out = service.metric("listcache_log_lines_lost_total{why=\"rate\"}").await;
    assert!(left_out >= (2 * LINES_A_MINUTE) as f64, "{left_out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_sets_nothing_is_logged_at_debug() {
    let redis = RedisServer::start();
    let environment = [
        ("LISTCACHE_SERVICE_HOST", "10.96.0.7"),
        ("RUST_LOG", "listcache::config=debug"),
    ];
    let service = Service::start_with(&format!("redis.url = '{}'", redis.url()), &environment);
    let told = "\"unknown variable: ignored\",\"variable\":\"LISTCACHE_SERVICE_HOST\"";
    eventually(async || match service.log() {
        log if log.contains(told) => Ok(()),
        log => Err(log),
    })
    .await;
}
