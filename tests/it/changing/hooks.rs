//! Webhooks: signed by their senders, they change exactly the listings that hold their items.

use std::fs;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{ChangingShop, check_all, shown};
use crate::support::{
    RedisServer, eventually,
    service::{Service, TOKEN},
};

const CATEGORIES: [&str; 2] = ["a", "b"];
const SECRET: &str = "correct-horse-battery";
const OTHER: &str = "another-secret-of-one";
const HEADER: &str = "X-Signature";
const HOOKS: &str = r#"
            [hooks.plain]
            signature = { header = "X-Signature" }
            ids = ["/id", "/variants/*/product_id"]
            gone_when = { at = "/event", is = ["product.deleted"] }
            [hooks.prefixed]
            signature = { header = "X-Hub-Signature-256", prefix = "sha256=" }
            ids = ["/product"]
            [hooks.shopify]
            signature = { header = "X-Shopify-Hmac-Sha256", encoding = "base64" }
            ids = ["/id"]
            gone_when = { header = "X-Shopify-Topic", is = ["products/delete"] }
"#;

fn start(shop: &ChangingShop, redis: &RedisServer) -> Service {
    let environment = [
        ("LISTCACHE_TOKEN", TOKEN),
        ("LISTCACHE_HOOKS__PLAIN__SECRET", SECRET),
        ("LISTCACHE_HOOKS__PREFIXED__SECRET", SECRET),
        ("LISTCACHE_HOOKS__SHOPIFY__SECRET", SECRET),
        ("RUST_LOG", "listcache=trace,actix_http=debug,actix_server=debug,info"),
    ];
    Service::start_with(&shop.config(redis, HOOKS), &environment)
}

fn sign(secret: &str, body: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.chain_update(body).finalize().into_bytes().to_vec()
}

pub fn hex(secret: &str, body: &[u8]) -> String {
    sign(secret, body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a body with headers. Returns the status and the JSON of the answer.
async fn send(service: &Service, hook: &str, body: impl Into<Vec<u8>>, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = service.request(Method::POST, &format!("/v1/hooks/{hook}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body.into()).send().await.unwrap();
    let status = answer.status().as_u16();
    if status == 401 {
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert!(challenge.starts_with("HMAC-SHA256 header=\"x-"), "{challenge}");
    }
    (status, answer.json().await.unwrap())
}

/// Sends a body to the hook `plain`, rightly signed.
async fn send_plain(service: &Service, body: impl Into<Vec<u8>>) -> (u16, Value) {
    let body = body.into();
    let signature = hex(SECRET, &body);
    send(service, "plain", body, &[(HEADER, &signature)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_changes_the_listings_of_its_items() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = start(&shop, &redis);
    check_all(&service, &shop, &CATEGORIES).await;
    let price = |shop: &mut ChangingShop, id: i64, price: i64| {
        shop.products.get_mut(&id).unwrap().offers = vec![Some(price)];
    };
    // Bytes as they are sent: blanks, order and escapes of the JSON do not matter, but for the signature.
    for (at, body) in [
        (1, "{\"id\":1}".to_owned()),
        (
            2,
            "\n{ \"title\": \"\\u00e4\", \"variants\": [{\"product_id\": \"2\"}] }\n".to_owned(),
        ),
    ] {
        price(&mut shop, at, 500 + at);
        shop.write(&[at]).await;
        assert_eq!(send_plain(&service, body).await, (202, json!({"changes": 1})));
        check_all(&service, &shop, &CATEGORIES).await;
    }
    for id in 3..6 {
        price(&mut shop, id, 600 + id);
    }
    shop.write(&[3, 4, 5]).await;
    let events = json!([{"id": 3}, {"id": 4, "variants": [{"product_id": 5}, {"product_id": 3}]}, {"other": 1}]);
    assert_eq!(
        send_plain(&service, events.to_string()).await,
        (202, json!({"changes": 3}))
    );
    check_all(&service, &shop, &CATEGORIES).await;

    price(&mut shop, 6, 700);
    shop.write(&[6]).await;
    let body = br#"{"product":"6","event":"product.deleted"}"#;
    let signature = format!("sha256={}", hex(SECRET, body));
    let sent = send(&service, "prefixed", body, &[("x-hub-signature-256", &signature)]).await;
    assert_eq!(sent, (202, json!({"changes": 1})));
    check_all(&service, &shop, &CATEGORIES).await;

    price(&mut shop, 7, 710);
    shop.write(&[7]).await;
    let body = br#"{"id":7}"#;
    let signature = BASE64_STANDARD.encode(sign(SECRET, body));
    let headers = [
        ("x-shopify-hmac-sha256", &*signature),
        ("x-shopify-topic", "products/update"),
    ];
    assert_eq!(send(&service, "shopify", body, &headers).await.0, 202);
    check_all(&service, &shop, &CATEGORIES).await;
    assert_eq!(service.metric("listcache_changes_total{source=\"webhook\"}").await, 7.0);
    assert_eq!(service.metric("listcache_hooks_refused_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_may_say_that_items_are_gone() {
    let mut shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = start(&shop, &redis);
    check_all(&service, &shop, &CATEGORIES).await;
    // The database has them still.
    shop.products.remove(&1);
    let (status, _) = send_plain(&service, r#"{"event":"product.deleted","id":1}"#).await;
    assert_eq!(status, 202);
    check_all(&service, &shop, &CATEGORIES).await;
    shop.products.remove(&2);
    let body = br#"{"id":2}"#;
    let signature = BASE64_STANDARD.encode(sign(SECRET, body));
    let headers = [
        ("x-shopify-hmac-sha256", &*signature),
        ("x-shopify-topic", "products/delete"),
    ];
    assert_eq!(send(&service, "shopify", body, &headers).await.0, 202);
    check_all(&service, &shop, &CATEGORIES).await;
    // An event of an array speaks for itself only.
    shop.products.remove(&3);
    shop.products.get_mut(&4).unwrap().offers = vec![Some(444)];
    shop.write(&[4]).await;
    let events = json!([{"id": 3, "event": "product.deleted"}, {"id": 4, "event": "product.updated"}]);
    assert_eq!(send_plain(&service, events.to_string()).await.0, 202);
    check_all(&service, &shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_webhook_is_refused_and_its_body_stands_in_no_log() {
    const PERSON: &str = "Ada Lovelace";
    let shop = ChangingShop::with_products(60, &CATEGORIES).await;
    let redis = RedisServer::start();
    let service = start(&shop, &redis);
    check_all(&service, &shop, &CATEGORIES).await;
    let before = shown(&service, "a", 0, "price", false).await;
    let body = format!("{{\"id\":1,\"customer\":\"{PERSON}\"}}");
    let right = hex(SECRET, body.as_bytes());
    let prefixed = format!("sha256={right}");
    let (wrong, of_other_body) = (hex(OTHER, body.as_bytes()), hex(SECRET, b"{}"));
    let base64 = BASE64_STANDARD.encode(sign(SECRET, body.as_bytes()));
    let mut refused = 0.0;
    for (hook, headers) in [
        ("plain", vec![]),
        ("plain", vec![(HEADER, "")]),
        ("plain", vec![(HEADER, wrong.as_str())]),
        ("plain", vec![(HEADER, of_other_body.as_str())]),
        ("plain", vec![(HEADER, prefixed.as_str())]),
        ("plain", vec![(HEADER, base64.as_str())]),
        ("plain", vec![(HEADER, &right[..63])]),
        ("plain", vec![("X-Other", right.as_str())]),
        ("prefixed", vec![("X-Hub-Signature-256", right.as_str())]),
        ("shopify", vec![("X-Shopify-Hmac-Sha256", right.as_str())]),
    ] {
        let (status, problem) = send(&service, hook, body.as_str(), &headers).await;
        assert_eq!(
            (status, &problem["code"]),
            (401, &json!("bad-signature")),
            "{hook} {headers:?}"
        );
        refused += 1.0;
    }
    assert_eq!(service.metric("listcache_hooks_refused_total").await, refused);
    // Good signatures of bad requests.
    for (body, status, code) in [
        (format!("{PERSON} is no JSON"), 400, "bad-request"),
        (String::new(), 400, "bad-request"),
        (format!("webhook_id=1&by={PERSON}"), 400, "bad-request"),
        (" ".repeat((1 << 20) + 1), 413, "body-too-large"),
        (
            format!("[{}]", vec!["{\"variants\":[]}"; 70_000].join(",")),
            413,
            "body-too-large",
        ),
        (
            Value::from_iter((0..10_001).map(|id| json!({"id": id}))).to_string(),
            422,
            "bad-change",
        ),
    ] {
        let (answered, problem) = send_plain(&service, body).await;
        assert_eq!((answered, &problem["code"]), (status, &json!(code)), "{problem}");
        assert!(!problem.to_string().contains(PERSON), "{problem}");
    }
    let signed = [(HEADER, right.as_str())];
    let unknown = send(&service, "unknown", body.as_str(), &signed).await;
    assert_eq!((unknown.0, &unknown.1["code"]), (404, &json!("unknown-hook")));
    let packed = [(HEADER, right.as_str()), ("content-encoding", "gzip")];
    let packed = send(&service, "plain", body.as_str(), &packed).await;
    assert_eq!((packed.0, &packed.1["code"]), (415, &json!("unsupported-encoding")));
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let answer = service.request(method, "/v1/hooks/plain").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "POST, OPTIONS");
    }
    // In pieces, without a length that says it first.
    let pieces = (0..17).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 16]));
    let signature = hex(SECRET, &vec![b' '; 17 << 16]);
    let request = service
        .request(Method::POST, "/v1/hooks/plain")
        .header(HEADER, signature);
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let answer = request.body(stream).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Good ones that name nothing, the largest among them.
    let largest = format!(
        "{{\"id\":null,\"customer\":\"{PERSON}\"{}}}",
        " ".repeat((1 << 20) - 37)
    );
    assert_eq!(largest.len(), 1 << 20);
    for body in ["{}", "[]", "\"1\"", "{\"id\":true}", &largest] {
        assert_eq!(send_plain(&service, body).await, (202, json!({"changes": 0})));
    }
    assert_eq!(service.metric("listcache_changes_total").await, 0.0);
    assert_eq!(service.metric("listcache_hooks_refused_total").await, refused);
    assert_eq!(shown(&service, "a", 0, "price", false).await, before);
    assert_eq!(send_plain(&service, body).await, (202, json!({"changes": 1})));
    assert_eq!(service.metric("listcache_changes_total").await, 1.0);
    assert!(service.logs("a webhook was refused: the signature is wrong"));
    assert!(service.logs("a webhook has no id where the configuration says"));
    let log = service.log();
    for hidden in [PERSON, "customer", SECRET, &right] {
        assert!(!log.contains(hidden), "the log has `{hidden}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_rotated_and_hooks_are_replaced_without_a_restart() {
    let shop = ChangingShop::with_products(10, &CATEGORIES).await;
    let redis = RedisServer::start();
    let file = shop.directory.path().join("secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    let environment = [
        ("LISTCACHE_TOKEN", TOKEN),
        ("LISTCACHE_HOOKS__SHOP__SECRET_FILE", file.to_str().unwrap()),
        ("LISTCACHE_HOOKS__SHOP__SECRET_2", OTHER),
    ];
    let hook = "[hooks.shop]\nsignature = { header = \"X-Signature\" }\nids = [\"/id\"]\n";
    let config = shop.config(&redis, hook);
    let service = Service::start_with(&config, &environment);
    let status = async |secret: &str| {
        let signature = hex(secret, b"{}");
        send(&service, "shop", "{}", &[(HEADER, &signature)]).await.0
    };
    assert_eq!((status(SECRET).await, status(OTHER).await), (202, 202));
    assert_eq!(status("some-third-secret").await, 401);
    let becomes = async |secret: &str, expect: u16| {
        eventually(async || match status(secret).await {
            status if status == expect => Ok(()),
            status => Err(status),
        })
        .await;
    };
    fs::write(&file, "some-third-secret\n").unwrap();
    service.hang_up();
    becomes("some-third-secret", 202).await;
    assert_eq!((status(SECRET).await, status(OTHER).await), (401, 202));
    // A bad configuration changes nothing.
    service.reconfigure(&config.replace("[\"/id\"]", "[\"id\"]"));
    assert!(service.logs("hooks.shop.ids[0]"));
    assert_eq!(status(OTHER).await, 202);
    service.reconfigure(&config.replace("X-Signature", "X-New-Signature"));
    becomes(OTHER, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_sender_is_told_to_send_again() {
    let mut shop = ChangingShop::with_products(30, &CATEGORIES).await;
    let mut redis = RedisServer::start();
    let service = start(&shop, &redis);
    check_all(&service, &shop, &CATEGORIES).await;
    redis.kill();
    shop.products.get_mut(&4).unwrap().offers = vec![Some(1)];
    shop.write(&[4]).await;
    let (status, problem) = send_plain(&service, r#"{"id":4}"#).await;
    assert_eq!((status, &problem["code"]), (503, &json!("redis-down")), "{problem}");
    redis.restart_empty();
    eventually(async || match send_plain(&service, r#"{"id":4}"#).await {
        (202, _) => Ok(()),
        other => Err(other),
    })
    .await;
    check_all(&service, &shop, &CATEGORIES).await;
}
