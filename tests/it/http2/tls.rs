//! TLS: its versions, its certificate and the exchange of it, and what speaks no TLS.

use std::{
    fs,
    io::{Read, Write},
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{PROMO, config, is_well, push, secure};
use crate::support::{Certificate, RedisServer, eventually, frames::PREFACE, service::Service};

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_agree_on_the_protocol() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let service = secure(&redis, &certificate, "");
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        for stream in [
            certificate.connect(&service, offered).await.unwrap(),
            certificate.connect_by_tls12(&service, offered).await,
        ] {
            let chosen = stream.get_ref().1.alpn_protocol().map(String::from_utf8_lossy);
            assert_eq!(chosen.as_deref(), agreed, "{offered:?}");
        }
    }
    // Nothing that is spoken here.
    assert!(certificate.connect(&service, &["http/0.9", "spdy/3"]).await.is_err());
    is_well(&service).await;
}

async fn health(service: &Service) -> Value {
    let answer = service.request(Method::GET, "/health/ready").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let health: Value = answer.json().await.unwrap();
    health["configuration"].clone()
}

async fn is(service: &Service, state: &str) -> Value {
    eventually(async || match health(service).await {
        health if health["state"] == state => Ok(health),
        health => Err(health),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_after_sighup_and_a_bad_one_is_not() {
    let redis = RedisServer::start();
    let (first, second, third) = (Certificate::new(), Certificate::new(), Certificate::new());
    // The files are those of the first; what is in them changes.
    let file = fs::read(first.file()).unwrap();
    let service = secure(&redis, &first, "");
    let text = config(&redis, &first.config());
    push(&service, PROMO, 10, 10).await;
    let mut open = first.connect(&service, &["http/1.1"]).await.unwrap();

    // Health is asked for on a connection that is open; new ones are judged by what they are shown.
    first.take_key_of(&second);
    service.reconfigure(&text);
    assert_eq!(is(&service, "refused").await["errors"], json!(["http.tls_key"]));
    assert!(first.connect(&service, &["h2"]).await.is_ok());
    fs::remove_file(first.file()).unwrap();
    service.reconfigure(&text);
    let expected = json!({"state": "refused", "errors": ["http.tls_certificate"]});
    eventually(async || match health(&service).await {
        health if health == expected => Ok(()),
        health => Err(health),
    })
    .await;
    assert!(first.connect(&service, &["h2"]).await.is_ok());
    assert_eq!(service.metric("listcache_config_last_reload_successful").await, 0.0);

    first.become_like(&second);
    service.reconfigure(&text);
    assert_eq!(is(&service, "current").await["needs_restart"], Value::Null);
    assert!(second.connect(&service, &["h2"]).await.is_ok());
    assert!(first.connect(&service, &["h2"]).await.is_err());
    // Whoever is connected stays so.
    open.write_all(format!("GET {PROMO} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    // Another path is taken too; whether there is TLS at all is settled at start.
    service.reconfigure(&config(&redis, &third.config()));
    eventually(async || third.connect(&service, &["h2"]).await.map(drop)).await;
    service.reconfigure(&config(&redis, ""));
    eventually(async || match health(&service).await {
        health if health["needs_restart"] == json!(["http"]) => Ok(()),
        health => Err(health),
    })
    .await;
    assert!(third.connect(&service, &["h2"]).await.is_ok());
    let log = service.log();
    assert!(log.contains("is not the key of the certificate"), "{log}");
    let secret = fs::read_to_string(third.key_file()).unwrap();
    let key: Vec<_> = secret.lines().filter(|line| !line.starts_with('-')).collect();
    assert!(!key.is_empty() && key.iter().all(|line| !log.contains(line)));
    assert_ne!(file, fs::read(first.file()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_speaks_no_tls_is_cut_at_once() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let service = secure(&redis, &certificate, "");
    // Workers connect to Redis in their own time.
    let heard = || {
        let log = service.log();
        let lines = log.lines().filter(|line| !line.contains("connected to redis"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (begun, logged) = (Instant::now(), heard());
    for said in [
        format!("GET {PROMO} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(),
        PREFACE,
        b"\x16\x03\x01\x00\x05hello",
        &[0xff; 3000],
    ] {
        let mut plain = service.connect();
        plain.write_all(said).unwrap();
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    // A client that does not trust the certificate says so, and is gone.
    assert!(Certificate::new().connect(&service, &["h2"]).await.is_err());
    assert_eq!(heard(), logged, "the client hears of its fault, and nobody else");
    is_well(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_address_stays_plain() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let service = secure(&redis, &certificate, "[admin]\nlisten = '127.0.0.1:0'\n");
    let address = eventually(async || {
        let log = service.log();
        let line = log.lines().find(|line| line.contains("admin routes listening"));
        let at = line.and_then(|line| line.find("127.0.0.1:").map(|at| line[at..].to_owned()));
        let address = at.map(|rest| {
            let port = rest["127.0.0.1:".len()..]
                .chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>();
            format!("127.0.0.1:{port}")
        });
        address.ok_or(log)
    })
    .await;
    let metrics = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
    assert_eq!(metrics.status(), 200);
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let metrics = client.get(format!("http://{address}/metrics")).send().await.unwrap();
    assert_eq!(
        (metrics.status(), metrics.version()),
        (StatusCode::OK, reqwest::Version::HTTP_2)
    );
    is_well(&service).await;
}
