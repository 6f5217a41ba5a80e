//! Writes over HTTP: pushes, deletes, refreshes, and who may.

use std::io::{Read, Write};

use flate2::{Compression, write::GzEncoder};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{
    redis_server::RedisServer,
    service::{Service, Shop, TOKEN},
};

const PROMO: &str = "/v1/listings/promo:summer";
const NDJSON: &str = "application/x-ndjson";
const LIMITS: &str = "[http]\nbody_max = \"1MiB\"\nitem_max = \"1KiB\"\n";

struct World {
    _redis: RedisServer,
    shop: Shop,
    service: Service,
}

async fn world() -> World {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), LIMITS));
    World {
        _redis: redis,
        shop,
        service,
    }
}

impl World {
    async fn put(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self
            .service
            .admin(Method::PUT, path)
            .header("Content-Type", content_type);
        request.body(body).send().await.unwrap()
    }

    async fn put_gzip(&self, path: &str, body: &[u8]) -> Response {
        let request = self
            .service
            .admin(Method::PUT, path)
            .header("Content-Type", NDJSON)
            .header("Content-Encoding", "gzip");
        request.body(body.to_vec()).send().await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        self.service
            .request(Method::GET, path)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    async fn page(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).unwrap()
    }
}

async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json",
        "{status}"
    );
    let body: Value = response.json().await.unwrap();
    (status, body["code"].as_str().unwrap().to_owned())
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_new_then_replaces_and_keeps_every_byte() {
    let world = world().await;
    let response = world
        .put(
            PROMO,
            NDJSON,
            "{\"id\":1,\"p\": 1.0}\n{\"id\":\"b\",\"x\":\"\\u00e9\"}\n",
        )
        .await;
    assert_eq!(response.status(), 201);
    let pushed: Value = response.json().await.unwrap();
    assert_eq!(
        (&pushed["listing"], &pushed["sort"], &pushed["total"]),
        (&json!("promo:summer"), &json!("default"), &json!(2))
    );
    let text = world.text(PROMO).await;
    assert!(
        text.ends_with("\"items\":[{\"id\":1,\"p\": 1.0},{\"id\":\"b\",\"x\":\"\\u00e9\"}]}"),
        "{text}"
    );

    let response = world
        .put(PROMO, "application/json", "[ {\"id\":3} ,\n {\"id\":3} ]")
        .await;
    assert_eq!(response.status(), 200);
    let replaced: Value = response.json().await.unwrap();
    assert_eq!(world.page(PROMO).await["generation"], replaced["generation"]);
    assert!(world.text(PROMO).await.ends_with("\"items\":[{\"id\":3},{\"id\":3}]}"));

    let other = world
        .put(&format!("{PROMO}?sort=price&id_field=sku"), NDJSON, "{\"sku\":9}")
        .await;
    assert_eq!(other.status(), 201);
    assert_eq!(
        world.page(&format!("{PROMO}?sort=price")).await["items"],
        json!([{"sku": 9}])
    );
    assert_eq!(world.page(PROMO).await["sort"], "default");

    let empty = world.put(&format!("{PROMO}?accept_shrink=true"), NDJSON, "").await;
    assert_eq!(empty.status(), 200);
    assert_eq!(world.page(PROMO).await["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_body_is_unpacked_and_counted_unpacked() {
    let world = world().await;
    let line = b"{\"id\":1,\"pad\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}\n";
    assert_eq!(world.put_gzip(PROMO, &gzip(&line.repeat(1000))).await.status(), 201);
    assert_eq!(world.page(PROMO).await["total"], 1000);
    let too_large = code(world.put_gzip(PROMO, &gzip(&line.repeat(100_000))).await).await;
    assert_eq!(too_large, (413, "body-too-large".to_owned()));
    // A bomb: 64 MiB of blank lines in 64 KB.
    let bomb = code(world.put_gzip(PROMO, &gzip(&b"\n".repeat(64 << 20))).await).await;
    assert_eq!(bomb, (413, "body-too-large".to_owned()));
    // Some tools fill the last block with zeros. Anything else behind the gzip is an error.
    let padded = [gzip(&line.repeat(1000)), vec![0; 5000]].concat();
    assert_eq!(world.put_gzip(PROMO, &padded).await.status(), 200);
    let trailed = code(world.put_gzip(PROMO, &[padded, b"x".to_vec()].concat()).await).await;
    assert_eq!(trailed, (400, "broken-body".to_owned()));
    let packed = gzip(line);
    let broken = code(world.put_gzip(PROMO, &packed[..packed.len() - 3]).await).await;
    assert_eq!(broken, (400, "broken-body".to_owned()));
    assert_eq!(world.page(PROMO).await["total"], 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_body_changes_nothing_and_says_where() {
    let world = world().await;
    assert_eq!(world.put(PROMO, NDJSON, "{\"id\":1}").await.status(), 201);
    for (content_type, body, line) in [
        (NDJSON, "{\"id\":1}\n{\"id\":2\n", 2),
        (NDJSON, "{\"id\":1}\n\n{\"no\":2}\n", 3),
        (NDJSON, "{\"id\":1.5}", 1),
        (NDJSON, "{\"id\":null}", 1),
        (NDJSON, "{\"id\":1}\n{\"id\":2,\"name\":\"Bread \\ud83d\"}", 2),
        ("application/json", "[{\"id\":1},\n{\"id\":2},\n{\"id\":[]}]", 3),
        ("application/json", "[{\"id\":1},\n{\"id\":2}", 2),
        ("application/json", "{\"id\":1}", 1),
    ] {
        let response = world.put(PROMO, content_type, body).await;
        assert_eq!(response.status(), 422, "{body}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(
            (&problem["code"], &problem["line"]),
            (&json!("bad-item"), &json!(line)),
            "{body}"
        );
        assert!(problem["detail"].is_string());
    }
    let large = format!("{{\"id\":1,\"pad\":\"{}\"}}", "x".repeat(2000));
    assert_eq!(
        code(world.put(PROMO, NDJSON, large).await).await,
        (413, "item-too-large".to_owned())
    );
    let large = "{\"id\":1}\n".repeat(200_000);
    assert_eq!(
        code(world.put(PROMO, NDJSON, large).await).await,
        (413, "body-too-large".to_owned())
    );
    assert_eq!(
        code(world.put(PROMO, "text/plain", "x").await).await,
        (415, "unsupported-media-type".to_owned())
    );
    let packed = world.service.admin(Method::PUT, PROMO).header("Content-Type", NDJSON);
    let packed = packed.header("Content-Encoding", "br").body("x").send().await.unwrap();
    assert_eq!(code(packed).await, (415, "unsupported-encoding".to_owned()));
    assert_eq!(world.page(PROMO).await["items"], json!([{"id": 1}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_changes_nothing() {
    let world = world().await;
    assert_eq!(world.put(PROMO, NDJSON, "{\"id\":1}").await.status(), 201);
    let mut stream = world.service.connect();
    let head = format!(
        "PUT {PROMO} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: {NDJSON}\r\nContent-Length: 1000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"{\"id\":2}\n{\"id\":3}\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    assert_eq!(world.page(PROMO).await["items"], json!([{"id": 1}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_hears_why() {
    let world = world().await;
    let service = &world.service;
    let strangers = service
        .request(Method::PUT, PROMO)
        .bearer_auth("wrong")
        .json(&[json!({"id": 1})]);
    let response = strangers.send().await.unwrap();
    assert!(
        response.headers()["www-authenticate"]
            .to_str()
            .unwrap()
            .starts_with("Bearer")
    );
    assert_eq!(code(response).await, (401, "unauthorized".to_owned()));
    let one = "{\"id\":1}";
    assert_eq!(
        code(world.put("/v1/listings/elsewhere", NDJSON, one).await).await,
        (403, "not-allowed".to_owned())
    );
    assert_eq!(
        code(world.put("/v1/listings/category:BREAD", NDJSON, one).await).await,
        (409, "has-origin".to_owned())
    );
    world.put(PROMO, NDJSON, one).await;
    let refresh = service
        .admin(Method::POST, &format!("{PROMO}/refresh"))
        .send()
        .await
        .unwrap();
    assert_eq!(code(refresh).await, (409, "no-origin".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_are_no_writes() {
    let redis = RedisServer::start();
    let service = Service::start_with(&Shop::new().await.config(&redis.url(), ""), &[]);
    let response = service
        .admin(Method::PUT, PROMO)
        .json(&[json!({"id": 1})])
        .send()
        .await
        .unwrap();
    assert_eq!(code(response).await, (403, "no-token-configured".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_push_overtaken_by_a_later_one_is_refused() {
    let world = world().await;
    let mut slow = world.service.connect();
    let head = format!(
        "PUT {PROMO} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: {NDJSON}\r\nContent-Length: 18\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).unwrap();
    // The service has begun to read, and so has drawn its generation, once it took the first item.
    let mut interim = [0; 25];
    slow.read_exact(&mut interim).unwrap();
    slow.write_all(b"{\"id\":1}\n").unwrap();
    let mut fast = world.put(PROMO, NDJSON, "{\"id\":2}").await;
    while fast.status() == 201 {
        // The first push only marks that the listing is there; the draw order of the two is not known yet.
        fast = world.put(PROMO, NDJSON, "{\"id\":2}").await;
    }
    let newest: Value = fast.json().await.unwrap();
    slow.write_all(b"{\"id\":3}\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
    assert!(answer.contains("\"code\":\"superseded\""), "{answer}");
    assert!(answer.contains(newest["generation"].as_str().unwrap()), "{answer}");
    assert_eq!(world.page(PROMO).await["items"], json!([{"id": 2}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_forgets_pins_too() {
    let world = world().await;
    world.put(PROMO, NDJSON, "{\"id\":1}").await;
    let page = world.page(PROMO).await;
    let response = world.service.admin(Method::DELETE, PROMO).send().await.unwrap();
    assert_eq!(response.status(), 204);
    let response = world.service.request(Method::GET, PROMO).send().await.unwrap();
    assert_eq!(code(response).await, (404, "unknown-listing".to_owned()));
    let pinned = page["links"]["self"].as_str().unwrap();
    let response = world.service.request(Method::GET, pinned).send().await.unwrap();
    assert!([404, 410].contains(&response.status().as_u16()));
    // What has an origin is filled again.
    let bread = "/v1/listings/category:BREAD";
    let before = world.page(bread).await;
    assert_eq!(
        world
            .service
            .admin(Method::DELETE, bread)
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    let after = world.page(bread).await;
    assert_ne!(before["generation"], after["generation"]);
    let pinned = format!("{bread}?generation={}", before["generation"].as_str().unwrap());
    let response = world.service.request(Method::GET, &pinned).send().await.unwrap();
    assert_eq!(code(response).await, (410, "generation-gone".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_waits_shows_what_was_there_when_it_was_asked() {
    let world = world().await;
    let bread = "/v1/listings/category:BREAD";
    let before = world.page(bread).await;
    world.shop.sql("update products set price_cents = 1 where id = 7").await;
    let response = world
        .service
        .admin(Method::POST, &format!("{bread}/refresh?wait=true"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["listing"], "category:BREAD");
    let page = world.page(bread).await;
    assert_eq!(page["items"][0]["id"], 7);
    assert_ne!(page["generation"], before["generation"]);
    let named: Vec<&Value> = answer["refreshed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["generation"])
        .collect();
    assert!(named.contains(&&page["generation"]), "{answer}");
    let response = world
        .service
        .admin(Method::POST, &format!("{bread}/refresh"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 202);
    let response = world
        .service
        .admin(Method::POST, &format!("{bread}/refresh?wait=maybe"))
        .send()
        .await
        .unwrap();
    assert_eq!(code(response).await, (400, "bad-parameters".to_owned()));
}
