//! SIGTERM under load: readiness first, then running requests end, and no answer is cut.

use std::{
    io::{BufRead, BufReader, Read, Write},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::json;

use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop, TOKEN},
};

const ITEMS: u64 = 250;
const LARGE: &str = "/v1/listings/promo:large?size=250";

/// One client on a kept connection: asks until the service closes it. Says how many answers it got.
fn ask_until_closed(service: &Service, closing: &AtomicBool, answered: &AtomicU64) -> u64 {
    let stream = service.connect();
    let mut reader = BufReader::new(&stream);
    let mut answers = 0;
    loop {
        let request = format!("GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n");
        if (&stream).write_all(request.as_bytes()).is_err() {
            return answers;
        }
        let mut status = String::new();
        match reader.read_line(&mut status) {
            // Closed between two answers: the request never began.
            Ok(0) => return answers,
            Err(_) if status.is_empty() => return answers,
            Ok(_) => {}
            Err(error) => panic!("cut in its status line: {error}"),
        }
        assert_eq!(status, "HTTP/1.1 200 OK\r\n");
        let (mut length, mut last) = (0, false);
        loop {
            let mut line = String::new();
            assert!(
                reader.read_line(&mut line).expect("cut in its head") > 0,
                "cut in its head"
            );
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            last |= line == "connection: close";
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("cut in its body");
        assert!(body.ends_with(b"]}"));
        answers += 1;
        answered.fetch_add(1, Ordering::SeqCst);
        if last {
            assert!(closing.load(Ordering::SeqCst), "closed without a reason");
            return answers;
        }
    }
}

/// The status of readiness; `None` where nobody listens any more.
async fn ready(service: &Service) -> Option<u16> {
    let response = service.request(Method::GET, "/health/ready").send().await.ok()?;
    Some(response.status().as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_cuts_no_answer_and_exits_0() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let mut service = Service::start(&shop.config(&redis.url(), ""));
    let items: Vec<_> = (0..ITEMS).map(|id| json!({"id": id, "pad": "x".repeat(400)})).collect();
    let put = service.admin(Method::PUT, "/v1/listings/promo:large").json(&items);
    assert_eq!(put.send().await.unwrap().status(), 201);
    eventually(async || match ready(&service).await {
        Some(200) => Ok(()),
        other => Err(other),
    })
    .await;

    // A push whose second half comes after the signal, and a follower.
    let half = "{\"id\":1}\n";
    let mut push = service.connect();
    let head = format!(
        "PUT /v1/listings/promo:slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{half}",
        half.len() * 2
    );
    push.write_all(head.as_bytes()).unwrap();
    let mut follower = service.connect();
    follower
        .write_all(b"GET /v1/listings/promo:large/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .unwrap();

    let (closing, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let (total, before, unready) = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| ask_until_closed(&service, &closing, &answered)))
            .collect();
        while answered.load(Ordering::SeqCst) < 200 {
            std::thread::sleep(Duration::from_millis(1));
        }
        closing.store(true, Ordering::SeqCst);
        service.terminate();
        let signalled = Instant::now();
        // Readiness says so while pages are still served.
        let unready = loop {
            let answer = service.raw_get("/health/ready");
            if answer.starts_with("HTTP/1.1 503 ") {
                break signalled.elapsed();
            }
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        };
        let before = answered.load(Ordering::SeqCst);
        let page = service.raw_get(LARGE);
        assert!(page.starts_with("HTTP/1.1 200 "), "pages are served still: {page:.200}");
        push.write_all(half.as_bytes()).unwrap();
        let total: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        (total, before, unready)
    });
    let mut answer = String::new();
    push.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let mut events = String::new();
    follower.read_to_string(&mut events).unwrap();
    assert!(
        events.starts_with("HTTP/1.1 200 ") && events.contains("event: published"),
        "{events}"
    );
    assert!(events.ends_with("0\r\n\r\n"), "the stream has an end: {events}");
    let status = service.ended();
    eprintln!(
        "{total} answers, {} after readiness said 503 ({unready:?} after the signal)",
        total - before
    );
    assert!(total > before, "pages were served on");
    assert_eq!(status.code(), Some(0), "{}", service.log());
    assert!(!service.log().contains("cut at the end"), "{}", service.log());
}
