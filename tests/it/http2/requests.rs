//! Many requests on one connection, bodies in both directions, and clients that change their mind.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, future::join_all, stream};
use reqwest::{Body, Client, Method, StatusCode, Version};

use super::{PROMO, push, service};
use crate::support::{
    RedisServer, eventually,
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Raw, frame, get_head, put_head},
    service::{Service, TOKEN},
};

fn client() -> Client {
    Client::builder().http2_prior_knowledge().build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_a_connection() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    push(&service, PROMO, 250, 400).await;
    let client = client();
    let pages: Vec<_> = (0..250)
        .map(|offset| service.url(&format!("{PROMO}?limit=50&offset={offset}")))
        .collect();
    // 1,000 at once, over 128 streams.
    let answers = (0..1000).map(async |number| {
        let answer = client.get(&pages[number % 250]).send().await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
        let page: serde_json::Value = answer.json().await.unwrap();
        let (offset, items) = (number % 250, page["items"].as_array().unwrap());
        assert_eq!(items.len(), 50.min(250 - offset));
        assert_eq!(items[0]["id"], offset);
    });
    assert_eq!(join_all(answers).await.len(), 1000);
}

async fn put(service: &Service, body: impl Into<Body>, gzip: bool) -> (StatusCode, String) {
    let mut put = client()
        .put(service.url(PROMO))
        .bearer_auth(TOKEN)
        .header("content-type", "application/x-ndjson");
    if gzip {
        put = put.header("content-encoding", "gzip");
    }
    let answer = put.body(body).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_come_in_whole_or_not_at_all() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nbody_max = \"8MiB\"\n");
    let lines: String = (0..20_000)
        .map(|id| format!("{{\"id\":{id},\"pad\":\"{}\"}}\n", "x".repeat(200)))
        .collect();
    let (status, answer) = put(&service, lines.clone(), false).await;
    assert_eq!(status, 201, "{answer}");
    assert!(answer.contains("\"total\":20000"), "{answer}");
    // In pieces, without a length.
    let pieces: Vec<_> = lines.as_bytes().chunks(10_000).map(<[u8]>::to_vec).collect();
    let (status, answer) = put(
        &service,
        Body::wrap_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>))),
        false,
    )
    .await;
    assert_eq!(status, 200, "{answer}");
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(lines.as_bytes()).unwrap();
    let (status, answer) = put(&service, packed.finish().unwrap(), true).await;
    assert_eq!(status, 200, "{answer}");
    // Too much, and said before it has all been sent.
    let (status, answer) = put(&service, lines.repeat(4), false).await;
    assert_eq!(status, 413, "{answer}");
    // Reset in the middle: nothing is published. What is asked after it, on the same connection, is answered.
    let mut broken = Raw::connect(&service, &[]);
    broken.send(&frame(HEADERS, END_HEADERS, 1, &put_head("/v1/listings/promo:broken")));
    broken.send(&frame(DATA, 0, 1, b"{\"id\":1}\n"));
    broken.send(&frame(3, 0, 1, &8_u32.to_be_bytes()));
    broken.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &get_head(PROMO)));
    let answered = broken.until(|frame| frame.stream != 0).unwrap();
    assert_eq!((answered.kind, answered.stream), (HEADERS, 3));
    eventually(async || match redis.cli(&["--scan", "--pattern", "*broken*"]) {
        none if none.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_follow_and_a_follower_who_leaves_makes_room() {
    let redis = RedisServer::start();
    let service = service(&redis, "[http]\nfollowers_max = 1\n");
    push(&service, PROMO, 10, 10).await;
    let client = client();
    let events = service.url(&format!("{PROMO}/events"));
    let mut first = client.get(&events).send().await.unwrap().bytes_stream();
    let current = first.next().await.unwrap().unwrap();
    assert!(current.starts_with(b"event: published"), "{current:?}");
    push(&service, PROMO, 11, 10).await;
    let next = first.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&next).contains("\"total\":11"), "{next:?}");
    assert_eq!(client.get(&events).send().await.unwrap().status(), 503);
    // Its stream is reset; the connection, on which others ask, stays.
    drop(first);
    let left = Instant::now();
    eventually(async || match client.get(&events).send().await.unwrap().status() {
        StatusCode::OK => Ok(()),
        other => Err(other),
    })
    .await;
    // Seen at once, and not when there is next something to send.
    assert!(left.elapsed() < Duration::from_secs(5), "{:?}", left.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_requests_are_answered_like_others() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let status = |head: Vec<u8>| {
        let mut raw = Raw::connect(&service, &[]);
        raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head));
        let answer = raw.until(|frame| frame.stream == 1).unwrap();
        // The first thing in it is the status, or the stream was reset.
        (answer.kind, answer.payload.first().copied().unwrap_or_default())
    };
    let literal = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
    let (method, path, authority) = (0x02, 0x04, 0x01);
    // CONNECT has neither scheme nor path; an asterisk is no path.
    let connect = [literal(method, "CONNECT"), literal(authority, "localhost:80")].concat();
    let options = [literal(method, "OPTIONS"), vec![0x86], literal(path, "*")].concat();
    let unheard = [literal(method, "BREW"), vec![0x86], literal(path, PROMO)].concat();
    // 404 is 0x8d in the static table; 405 is none of it, and begins a literal.
    assert_eq!(status(connect), (HEADERS, 0x8d));
    assert_eq!(status(options), (HEADERS, 0x8d));
    assert_eq!(status(unheard), (HEADERS, 0x48));
    // A GET with a body: nobody reads it.
    let mut raw = Raw::connect(&service, &[]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &get_head(PROMO)));
    raw.send(&frame(DATA, 0, 1, &[b'x'; 1000]));
    let answer = raw.until(|frame| frame.stream == 1).unwrap();
    assert_eq!((answer.kind, answer.payload[0]), (HEADERS, 0x8d));
    assert_eq!(
        service
            .request(Method::GET, "/health/live")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}
