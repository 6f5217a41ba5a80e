//! How the service reaches Redis: its workers by connections of their own, and any server by TLS, as a user, in a database.

use std::collections::BTreeSet;

use listcache::store::ConnectError;
use reqwest::Method;

use crate::support::{
    certificate::Certificate,
    eventually,
    redis_server::RedisServer,
    service::{Service, TOKEN, json_of},
    store,
};

const ITEMS: usize = 240;
const SIZE: usize = 24;

/// Pages are read from Redis each time.
fn config(redis_url: &str) -> String {
    format!(
        "[http]\nworkers = 2\n[redis]\nurl = \"{redis_url}\"\nread_connections = 1\n[pushed]\nnames = [\"*\"]\n[l1]\nttl = \"5m\"\nchunks_max = \"1KiB\"\n"
    )
}

async fn push(service: &Service) {
    let description = "Baked this morning".repeat(10);
    let line = |number| format!("{{\"id\":{number},\"name\":\"Loaf\",\"description\":\"{description}\"}}\n");
    let pushed = service
        .admin(Method::PUT, "/v1/listings/bread")
        .header("content-type", "application/x-ndjson")
        .body((0..ITEMS).map(line).collect::<String>());
    assert_eq!(json_of(pushed).await["total"], ITEMS);
}

/// A page over a connection of its own, so that the workers take turns.
async fn page(service: &Service, number: usize) {
    let path = format!("/v1/listings/bread?page={number}&size={SIZE}");
    let request = service.request(Method::GET, &path).header("connection", "close");
    let answer = request.send().await.unwrap();
    let status = answer.headers()["cache-status"].to_str().unwrap().to_owned();
    assert!(status.contains("listcache-redis; hit"), "{status}");
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["items"][0]["id"], (number - 1) * SIZE);
}

/// Connections whose last command read a page.
fn reading(redis: &RedisServer) -> BTreeSet<String> {
    let clients = redis.cli_lines(&["CLIENT", "LIST", "TYPE", "normal"]);
    let readers = clients.iter().filter(|client| client.contains(" cmd=xrange "));
    readers
        .map(|client| {
            client
                .split(' ')
                .next()
                .unwrap()
                .strip_prefix("id=")
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_reads_by_a_connection_of_its_own() {
    let redis = RedisServer::start();
    let service = Service::start(&config(&redis.url()));
    push(&service).await;
    let all_read = async || {
        for number in 1..=ITEMS / SIZE {
            page(&service, number).await;
        }
        let readers = reading(&redis);
        // Without, there is the one of `read_connections`.
        if readers.len() >= 2 { Ok(readers) } else { Err(readers) }
    };
    let before = eventually(all_read).await;
    // Cut off, they are opened anew; pages come by the others meanwhile, or fail no more than once each.
    for id in &before {
        redis.cli(&["CLIENT", "KILL", "ID", id]);
    }
    let after = eventually(async || {
        for number in 1..=ITEMS / SIZE {
            page(&service, number).await;
        }
        let readers = reading(&redis);
        if readers.len() >= 2 { Ok(readers) } else { Err(readers) }
    })
    .await;
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_by_tls_as_a_user_and_in_a_database() {
    let certificate = Certificate::new();
    let user = ["--user", "shop", "on", ">pass%word", "~*", "&*", "+@all"];
    let redis = RedisServer::start_tls([&certificate.file(), &certificate.key_file()], &user);
    let trusted = certificate.file();
    let url = redis.tls_url("shop:pass%25word@", "/3");
    let service = Service::start_with(
        // A URL with a password stands in no file.
        &config("redis://elsewhere"),
        &[
            ("LISTCACHE_TOKEN", TOKEN),
            ("LISTCACHE_REDIS__URL", &url),
            ("SSL_CERT_FILE", trusted.to_str().unwrap()),
        ],
    );
    push(&service).await;
    page(&service, 2).await;
    assert_ne!(redis.cli(&["-n", "3", "DBSIZE"]), "0");
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
    let clients = redis.cli_lines(&["CLIENT", "LIST", "TYPE", "normal"]);
    // One that has said nothing yet is about to say who it is.
    let is_ours = |client: &&String| !client.contains("cmd=client") && !client.contains("cmd=NULL");
    let ours = clients.iter().filter(is_ours);
    for client in ours {
        assert!(client.contains(" user=shop ") && client.contains(" db=3 "), "{client}");
    }

    // Nobody vouches for it where its certificate is not trusted: it might be anybody.
    let refused = store::try_connect(&url).await;
    assert!(matches!(refused, Err(ConnectError::NoServer { .. })), "{refused:?}");
}
