//! A follower who closes gives its place back at once, by whatever protocol and whatever it said before.

use std::{
    io::{Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{LIVE, PROMO, send, service};
use crate::support::{
    Certificate, RedisServer, eventually,
    frames::{DATA, RST_STREAM, Raw, frame, get},
    service::Service,
};

/// Earlier than the first comment, which would show it too.
const AT_ONCE: Duration = Duration::from_secs(10);

fn follow() -> String {
    format!("GET {PROMO}/events HTTP/1.1\r\nHost: x\r\n\r\n")
}

async fn has_followers(service: &Service, expect: f64) {
    eventually(async || match service.metric("listcache_followers").await {
        found if found == expect => Ok(()),
        other => Err(other),
    })
    .await;
}

/// The follower leaves; its place is free before a comment was written.
async fn leaves_at_once(service: &Service, how: &str, begun: Instant) {
    has_followers(service, 0.0).await;
    assert!(begun.elapsed() < AT_ONCE, "{how}: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_who_closes_gives_its_place_back_at_once() {
    let redis = RedisServer::start();
    let service = service(&redis, "");
    let push = service
        .admin(reqwest::Method::PUT, PROMO)
        .json(&serde_json::json!([{"id": 1}]));
    push.send().await.unwrap().error_for_status().unwrap();
    for (how, behind) in [
        ("says nothing", String::new()),
        ("asks for more", LIVE.repeat(10)),
        ("asks for much more", LIVE.repeat(5000)),
        ("says what is no request", "\0\0\r\n\r\n".to_owned()),
    ] {
        for half in [false, true] {
            let begun = Instant::now();
            let mut follower = send(&service, &format!("{}{behind}", follow()));
            assert!(follower.read(&mut [0; 1024]).unwrap() > 0);
            has_followers(&service, 1.0).await;
            // Said later it changes nothing either.
            follower.write_all(behind.as_bytes()).unwrap();
            if half {
                follower.shutdown(Shutdown::Write).unwrap();
            } else {
                drop(follower);
            }
            leaves_at_once(&service, how, begun).await;
        }
    }
    for how in ["closes", "resets"] {
        let begun = Instant::now();
        let mut raw = Raw::connect(&service, &[]);
        raw.send(&get(1, &format!("{PROMO}/events")));
        raw.until(|frame| frame.kind == DATA).unwrap();
        has_followers(&service, 1.0).await;
        if how == "resets" {
            raw.send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()));
        } else {
            raw.0.shutdown(Shutdown::Both).unwrap();
        }
        leaves_at_once(&service, &format!("HTTP/2 {how}"), begun).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_tls_too() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let config = certificate.config().replace("[http]\n", "");
    let service = service(&redis, &config).asked_by(certificate.client());
    let begun = Instant::now();
    let mut follower = certificate.connect(&service, &["http/1.1"]).await.unwrap();
    follower.write_all(follow().as_bytes()).await.unwrap();
    follower.flush().await.unwrap();
    assert!(follower.read(&mut [0; 1024]).await.unwrap() > 0);
    has_followers(&service, 1.0).await;
    // It says that it closes, as browsers do, and stays.
    follower.shutdown().await.unwrap();
    leaves_at_once(&service, "TLS", begun).await;
}
