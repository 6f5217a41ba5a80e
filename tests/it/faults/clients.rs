//! Clients that are slow, endless or hostile: cut or refused, at a bounded cost.

use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use futures_util::stream;
use reqwest::{Body, Method, Response};
use serde_json::Value;

use super::get;
use crate::support::{RedisServer, service::Service};

const PROMO: &str = "/v1/listings/promo:a";

fn service(redis: &RedisServer, http: &str) -> Service {
    let url = redis.url();
    Service::start(&format!(
        "{http}\n[redis]\nurl = \"{url}\"\n[pushed]\nnames = [\"promo:*\"]\n"
    ))
}

/// Whether it serves others as ever.
async fn is_well(service: &Service) {
    assert_eq!(get(service, PROMO).await.status, 404);
}

#[test]
fn what_a_connection_touches_costs_no_huge_page() {
    let redis = RedisServer::start();
    assert_eq!(service(&redis, "").status("THP_enabled"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_byte_by_byte_is_cut() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nhead_timeout = \"1s\"\n");
    check_slow_head(service.connect(), &long_request());
    is_well(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_head_that_comes_byte_by_byte_is_cut_too() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nhead_timeout = \"1s\"\n");
    // One request is answered; of the next the first half comes with it.
    let request = format!("GET {PROMO} HTTP/1.1\r\nHost: x\r\n\r\n");
    for (beginning, rest) in [("", long_request()), ("GET /", "x".repeat(1000))] {
        let mut kept = service.connect();
        kept.write_all(format!("{request}{beginning}").as_bytes()).unwrap();
        let mut answer = [0; 4096];
        let read = kept.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        check_slow_head(kept, &rest);
    }
    // Between two requests a connection may be idle for longer than a head may take.
    let mut kept = service.connect();
    kept.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    assert!(kept.read(&mut answer).unwrap() > 0);
    kept.set_read_timeout(Some(Duration::from_millis(1500))).unwrap();
    let silence = kept.read(&mut answer).unwrap_err();
    assert_eq!(silence.kind(), std::io::ErrorKind::WouldBlock, "{silence}");
    kept.write_all(request.as_bytes()).unwrap();
    assert!(kept.read(&mut answer).unwrap() > 0, "it still serves");
    is_well(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_no_answer_is_cut() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nsend_timeout = \"1s\"\n");
    let items: Vec<_> = (0..250)
        .map(|id| serde_json::json!({"id": id, "pad": "x".repeat(60_000)}))
        .collect();
    let put = service.admin(Method::PUT, PROMO).json(&items).send().await.unwrap();
    assert_eq!(put.status(), 201);
    let mut deaf = service.connect();
    let begun = Instant::now();
    // 15 MB an answer, and none is read: what is asked for fills every buffer on the way.
    let request = format!("GET {PROMO}?size=250 HTTP/1.1\r\nHost: x\r\n\r\n");
    while deaf.write_all(request.as_bytes()).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "still open");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(get(&service, PROMO).await.status, 200);
}

/// A request of a thousand bytes.
fn long_request() -> String {
    format!("GET {PROMO} HTTP/1.1\r\nHost: {}\r\n\r\n", "x".repeat(1000))
}

/// Sends the rest of a head byte by byte until the connection is cut.
fn check_slow_head(mut slow: std::net::TcpStream, rest: &str) {
    slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    // A byte every tenth of a second: each alone would be soon enough.
    for byte in rest.bytes() {
        let sent = slow.write_all(&[byte]);
        let mut buffer = [0; 1024];
        match slow.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock && sent.is_ok() => {}
            Err(_) => break,
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "still open");
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{answer:?}");
}

/// Sends all of it and reads what comes, whichever ends first.
fn exchange(service: &Service, request: &[u8]) -> String {
    let stream = service.connect();
    let mut answer = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The service may close before it has read all.
            let _ = (&stream).write_all(request);
        });
        let _ = (&stream).read_to_end(&mut answer);
    });
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_a_mebibyte_is_refused() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let before = service.resident_bytes();
    for _ in 0..20 {
        let large = format!(
            "GET {PROMO} HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n",
            "x".repeat(1 << 20)
        );
        let answer = exchange(&service, large.as_bytes());
        assert!(
            answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 400 "),
            "{answer:?}"
        );
    }
    let grown = service.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes");
    is_well(&service).await;
}

async fn code(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["code"].clone())
}

fn ndjson(service: &Service) -> reqwest::RequestBuilder {
    let put = service.admin(Method::PUT, PROMO);
    // A busy machine may take long to unpack a bomb.
    put.header("Content-Type", "application/x-ndjson")
        .timeout(Duration::from_secs(120))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_413_however_it_comes() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nbody_max = \"1MiB\"\n");
    let line = "{\"id\":1}\n";
    let announced = ndjson(&service).body(line.repeat(1 << 18)).send().await.unwrap();
    assert_eq!(code(announced).await, (413, "body-too-large".into()));
    // Without a length, and without an end.
    let part = line.repeat(1000);
    let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(part.clone()));
    match ndjson(&service).body(Body::wrap_stream(endless)).send().await {
        Ok(answer) => assert_eq!(code(answer).await, (413, "body-too-large".into())),
        // Cut while it was still sending, before it read the answer.
        Err(error) => assert!(!error.is_timeout(), "{error}"),
    }
    // Whoever reads while sending hears why.
    let chunk = format!("{:x}\r\n{}\r\n", line.len() * 1000, line.repeat(1000));
    let token = crate::support::service::TOKEN;
    let head = format!(
        "PUT {PROMO} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/x-ndjson\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    let answer = exchange(&service, format!("{head}{}0\r\n\r\n", chunk.repeat(400)).as_bytes());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"code\":\"body-too-large\""), "{answer}");
    assert_eq!(get(&service, PROMO).await.status, 404, "nothing was published");
    assert_eq!(redis.cli(&["--scan", "--pattern", "*:gen:*"]), "", "nothing is left");
}

/// Packs `count` times the same piece.
fn bomb(piece: &[u8], count: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..count {
        encoder.write_all(piece).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_unpacks_to_too_much_is_413_and_costs_little_memory() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nbody_max = \"64MiB\"\n");
    assert_eq!(ndjson(&service).body("{\"id\":1}").send().await.unwrap().status(), 201);
    // 128 MiB of blank lines; of one item that does not end; of one that is all blanks, brackets, digits.
    let mebibyte = |byte: u8| vec![byte; 1 << 20];
    let before = service.resident_bytes();
    let mut most = before;
    for (piece, start) in [
        (mebibyte(b'\n'), ""),
        (mebibyte(b'x'), "{\"id\":1,\"a\":\""),
        (mebibyte(b' '), "{\"id\":1,"),
        (mebibyte(b'['), "{\"id\":1,\"a\":"),
        (mebibyte(b'1'), "{\"id\":"),
    ] {
        // Members follow one another in a gzip file.
        let packed = [bomb(start.as_bytes(), 1), bomb(&piece, 128)].concat();
        assert!(packed.len() < 1 << 20, "{}", packed.len());
        let put = ndjson(&service).header("Content-Encoding", "gzip").body(packed).send();
        let mut put = std::pin::pin!(put);
        let answer = loop {
            tokio::select! {
                answer = &mut put => break answer.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(5)) => most = most.max(service.resident_bytes()),
            }
        };
        let (status, code) = code(answer).await;
        assert!(
            (status == 413 && (code == "body-too-large" || code == "item-too-large"))
                || (status == 422 && !start.is_empty()),
            "{start:?}: {status} {code}"
        );
    }
    eprintln!("{} KiB more memory at most", (most - before) / 1024);
    assert!(most - before < 24 << 20, "{} bytes", most - before);
    assert_eq!(get(&service, PROMO).await.ids(), [1]);
}
