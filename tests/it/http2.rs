//! HTTP/2 and TLS: the same answers as by HTTP/1.1 in plain, the same bounds, the same end.

mod bounds;
mod drain;
mod protocols;
mod requests;
mod slow_clients;
mod tls;

use reqwest::Method;

use crate::support::{Certificate, RedisServer, service::Service};

const PROMO: &str = "/v1/listings/promo:a";

/// Where only pushes are served. `http` goes first: the rest of `[http]`.
fn config(redis: &RedisServer, http: &str) -> String {
    let url = redis.url();
    // A loaded machine pauses longer than a production one.
    format!("{http}\n[redis]\nurl = \"{url}\"\nread_timeout = \"5s\"\n[pushed]\nnames = [\"promo:*\"]\n")
}

fn service(redis: &RedisServer, http: &str) -> Service {
    Service::start(&config(redis, http))
}

/// With TLS.
fn secure(redis: &RedisServer, certificate: &Certificate, http: &str) -> Service {
    service(redis, &format!("{}{http}", certificate.config())).asked_by(certificate.client())
}

/// Pushes so many items of some 400 bytes, or of so many.
async fn push(service: &Service, path: &str, count: usize, bytes: usize) {
    let items: Vec<_> = (0..count)
        .map(|id| serde_json::json!({"id": id, "pad": "x".repeat(bytes)}))
        .collect();
    let put = service.admin(Method::PUT, path).json(&items).send().await.unwrap();
    assert!(put.status().is_success(), "{}", put.status());
}

/// Whether it serves others as ever.
async fn is_well(service: &Service) {
    let answer = service.request(Method::GET, "/health/live").send().await.unwrap();
    assert_eq!(answer.status(), 200);
}
