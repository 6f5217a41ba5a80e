//! The states of a connection that others do not test: `faults/clients`, `http2/slow_clients` and `faults/drain` have the rest.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use reqwest::Method;
use tokio::io::AsyncReadExt;

use super::{LIVE, PROMO, next_answer, send, service, until_closed};
use crate::support::{
    Certificate, RedisServer, all_the_while,
    frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, Raw, frame, get_head, put_head},
    service::TOKEN,
};

/// Far more than any deadline in these tests, far less than none.
const SOON: Duration = Duration::from_secs(6);

#[test]
fn a_connection_whose_body_nobody_reads_is_closed_after_its_answer() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let chunked = "Transfer-Encoding: chunked";
    let rows = [
        ("GET /health/live", chunked, "200"),
        ("HEAD /health/live", chunked, "200"),
        ("GET /v1/listings/promo:a", chunked, "404"),
        ("GET /nowhere", chunked, "404"),
        ("OPTIONS /v1/listings/promo:a", chunked, "204"),
        ("POST /v1/listings/promo:a/refresh", chunked, "401"),
        ("PUT /v1/listings/promo:a", chunked, "401"),
        ("DELETE /v1/listings/promo:a", chunked, "401"),
        ("PATCH /v1/listings/promo:a", chunked, "405"),
        (
            "PUT /v1/listings/promo:a",
            "Expect: 100-continue\r\nTransfer-Encoding: chunked",
            "100",
        ),
        (
            "PUT /v1/listings/promo:a",
            "Expect: 100-continue\r\nContent-Length: 9",
            "100",
        ),
        ("GET /health/live", "Content-Length: 9", "200"),
        ("PUT /v1/listings/promo:a", "Content-Length: 9", "401"),
        ("GET /health/live", "Connection: upgrade\r\nUpgrade: websocket", "200"),
    ];
    std::thread::scope(|scope| {
        for (request, headers, status) in rows {
            let service = &service;
            scope.spawn(move || {
                let mut silent = send(service, &format!("{request} HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n"));
                let (answer, took) = until_closed(&mut silent);
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{request} {headers}: {answer}"
                );
                assert!(took < SOON, "{request} {headers}: {took:?}");
            });
        }
        // A byte now and then changes nothing.
        scope.spawn(|| {
            let head = "POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n";
            let mut slow = send(&service, head);
            let begun = Instant::now();
            while slow.write_all(b"x").is_ok() {
                assert!(begun.elapsed() < SOON, "still open");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
    });
}

#[test]
fn a_body_that_has_come_whole_keeps_its_connection() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    for (request, body) in [
        ("POST /nowhere", "Content-Length: 2\r\n\r\nab"),
        ("GET /health/live", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "PUT /v1/listings/promo:a",
            "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
        ),
    ] {
        let mut kept = send(&service, &format!("{request} HTTP/1.1\r\nHost: x\r\n{body}"));
        let answer = next_answer(&mut kept);
        assert!(!answer.to_lowercase().contains("connection: close"), "{answer}");
        kept.write_all(LIVE.as_bytes()).unwrap();
        assert!(next_answer(&mut kept).starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn nothing_behind_a_last_request_is_served() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let put = format!(
        "PUT {PROMO} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
    );
    for last in [
        "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /v1/listings/promo:b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /health/live HTTP/1.0\r\n\r\n",
        &format!("{put}Connection: close\r\nContent-Length: 2\r\n\r\n[]"),
        &format!("{put}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n"),
    ] {
        // It would be seen: it takes the listing away.
        let behind = format!("DELETE {PROMO} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
        let (answers, took) = until_closed(&mut send(&service, &format!("{last}{behind}")));
        assert_eq!(answers.matches("HTTP/1.").count(), 1, "{last}: {answers}");
        assert!(answers.to_lowercase().contains("connection: close"), "{answers}");
        assert!(took < SOON, "{took:?}");
    }
    // One that does not close is heard out for a moment only.
    let mut stays = send(
        &service,
        "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    until_closed(&mut stays);
    let begun = Instant::now();
    while stays.write_all(b"x").is_ok() {
        assert!(begun.elapsed() < SOON, "still read");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn silence_between_requests_has_an_end() {
    let redis = RedisServer::start();
    let service = service(&redis, "keep_alive = \"1s\"");
    let mut idle = send(&service, LIVE);
    next_answer(&mut idle);
    let (rest, took) = until_closed(&mut idle);
    assert_eq!(rest, "");
    assert!((400..6000).contains(&took.as_millis()), "{took:?}");
    // By HTTP/2 an answered request whose body has not come is no request any more.
    let mut raw = Raw::connect(&service, &[]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &get_head("/nowhere")));
    raw.until(|frame| frame.stream == 1 && frame.flags & END_STREAM != 0)
        .unwrap();
    let reset = raw.until(|frame| frame.kind == RST_STREAM).unwrap();
    assert_eq!((reset.stream, reset.reason()), (1, 0));
    let begun = Instant::now();
    raw.until(|frame| frame.kind == GOAWAY).unwrap();
    raw.rest();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_after_a_handshake_has_an_end() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let config = certificate.config().replace("[http]\n", "");
    let service = service(&redis, &format!("{config}head_timeout = \"1s\"\n"));
    for protocol in ["http/1.1", "h2"] {
        let begun = Instant::now();
        let mut silent = certificate.connect(&service, &[protocol]).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(SOON, silent.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{protocol}: still open after {:?}", begun.elapsed());
        assert!(
            begun.elapsed() >= Duration::from_millis(900),
            "{protocol}: {:?}",
            begun.elapsed()
        );
    }
}

/// Takes the 30 s that a body may pause.
#[test]
fn a_push_whose_body_stops_is_refused() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let patience = Some(Duration::from_secs(60));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let head = format!(
                "PUT {PROMO} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
            );
            let mut stopped = send(&service, &format!("{head}Content-Length: 9\r\n\r\n["));
            stopped.set_read_timeout(patience).unwrap();
            let (answer, took) = until_closed(&mut stopped);
            assert!(
                answer.starts_with("HTTP/1.1 408 ") && answer.contains("slow-body"),
                "{answer}"
            );
            assert!(took > Duration::from_secs(25), "{took:?}");
        });
        scope.spawn(|| {
            let mut raw = Raw::connect(&service, &[]);
            raw.0.set_read_timeout(patience).unwrap();
            raw.send(&frame(HEADERS, END_HEADERS, 1, &put_head(PROMO)));
            raw.until(|frame| frame.stream == 1 && frame.kind == HEADERS).unwrap();
            let problem = raw.until(|frame| frame.stream == 1 && frame.kind == DATA).unwrap();
            assert!(String::from_utf8_lossy(&problem.payload).contains("slow-body"));
            let reset = raw.until(|frame| frame.kind == RST_STREAM).unwrap();
            assert_eq!((reset.stream, reset.reason()), (1, 0));
        });
    });
}

#[test]
fn a_header_name_of_64_kib_is_refused_wherever_it_stands() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let named = |length: usize| {
        format!(
            "GET /health/live HTTP/1.1\r\nHost: x\r\n{}: x\r\n\r\n",
            "n".repeat(length)
        )
    };
    let answers = |requests: &str| {
        let mut stream = send(&service, requests);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        until_closed(&mut stream).0
    };
    assert!(answers(&named(65_535)).starts_with("HTTP/1.1 200 "));
    let after_a_body = format!(
        "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab{}",
        named(65_536)
    );
    for (requests, statuses) in [
        (named(65_536), vec!["400"]),
        (format!("{LIVE}{}", named(70_000)), vec!["200", "400"]),
        (after_a_body, vec!["404", "400"]),
    ] {
        let text = answers(&requests);
        let found: Vec<_> = text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        assert_eq!(found, statuses, "{text}");
    }
    assert!(!service.log().contains("panicked"), "{}", service.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_go_on_take_no_core() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let items: Vec<_> = (0..250)
        .map(|id| serde_json::json!({"id": id, "pad": "x".repeat(20_000)}))
        .collect();
    let put = service.admin(Method::PUT, PROMO).json(&items).send().await.unwrap();
    assert_eq!(put.status(), 201);
    // 5 MB an answer, of which none is read, and more requests than the service holds.
    let request = format!("GET {PROMO}?size=250 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut deaf = service.connect();
    deaf.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    while deaf.write_all(request.repeat(1000).as_bytes()).is_ok() {}
    let before = service.processor_time();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = service.processor_time() - before;
    assert!(used < Duration::from_millis(300), "{used:?} in two seconds");
    // It goes on where it was when the client reads again.
    deaf.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut piece = vec![0; 1 << 16];
    let mut read = 0;
    while read < 20 << 20 {
        read += deaf.read(&mut piece).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_sent_ahead_take_little_memory() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let put = service.admin(Method::PUT, PROMO).json(&[serde_json::json!({"id": 1})]);
    assert_eq!(put.send().await.unwrap().status(), 201);
    let requests = format!("GET {PROMO} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(3000);
    let deaf = |count| -> Vec<_> {
        let connections = (0..count).map(|_| {
            let mut deaf = service.connect();
            deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            let _ = deaf.write_all(requests.as_bytes());
            deaf
        });
        connections.collect()
    };
    // Memory that the service takes once, for whatever comes first, is taken.
    let _first = deaf(20);
    let before = service.resident_bytes();
    // None of their answers is read.
    let deaf = deaf(40);
    // What they hold is there once others have been answered for a while.
    let mut most = before;
    all_the_while(Duration::from_secs(2), async || {
        most = most.max(service.resident_bytes())
    })
    .await;
    let each = (most - before) / deaf.len() as u64;
    eprintln!("{} KiB a connection", each / 1024);
    // Taken apart at once, 3,000 requests are 20 MiB.
    assert!(each < 2 << 20, "{each} bytes a connection");
}
