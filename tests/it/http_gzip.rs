//! Compressed pages: one gzip member of parts that were deflated before, whose content is the plain page.

mod judges;
mod sizes;

use std::{fmt::Write as _, io::Read};

use flate2::read::GzDecoder;
use reqwest::{Method, Response, StatusCode};

use crate::support::{
    eventually, header,
    redis_server::RedisServer,
    service::{Service, TOKEN},
};

const WIDE: &str = "promo:wide";

struct World {
    _redis: RedisServer,
    service: Service,
}

/// A service with so much room in L1, and chunks of so many items.
fn world(chunks_max: &str, chunk_len: u32) -> World {
    let redis = RedisServer::start();
    let config = format!(
        r#"
[redis]
url = "{}"
[l1]
chunks_max = "{chunks_max}"
[defaults]
chunk_len = {chunk_len}
[pushed]
names = ["*"]
"#,
        redis.url()
    );
    let service = Service::start_with(&config, &[("LISTCACHE_TOKEN", TOKEN)]);
    World { _redis: redis, service }
}

/// So many items of some 100 bytes, no two alike.
fn items(total: usize) -> String {
    (0..total).fold(String::new(), |mut text, n| {
        let name = "loaf of bread ".repeat(3 + n % 4);
        let _ = writeln!(
            text,
            "{{\"id\":{n},\"name\":\"{name}{}\",\"price\": {}.50}}",
            n * n,
            n % 7
        );
        text
    })
}

impl World {
    async fn push(&self, name: &str, items: String) {
        let request = self.service.admin(Method::PUT, &format!("/v1/listings/{name}"));
        let response = request
            .header("Content-Type", "application/x-ndjson")
            .body(items)
            .send()
            .await;
        response.unwrap().error_for_status().unwrap();
    }

    async fn ask(&self, method: Method, path: &str, accept: Option<&str>) -> Response {
        let mut request = self.service.request(method, path);
        if let Some(accept) = accept {
            request = request.header("Accept-Encoding", accept);
        }
        request.send().await.unwrap()
    }

    async fn plain(&self, path: &str) -> Vec<u8> {
        let response = self.ask(Method::GET, path, None).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-encoding"), "");
        response.bytes().await.unwrap().to_vec()
    }

    /// The gzip member of a page, as it came, however small the page.
    async fn member(&self, path: &str) -> Vec<u8> {
        let response = self.ask(Method::GET, path, Some("gzip, br, identity;q=0")).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(header(&response, "content-encoding"), "gzip", "{path}");
        assert_eq!(header(&response, "vary"), "Accept-Encoding");
        let length: usize = header(&response, "content-length").parse().unwrap();
        let member = response.bytes().await.unwrap().to_vec();
        assert_eq!(member.len(), length, "{path}");
        member
    }

    async fn missed(&self) -> f64 {
        self.service.metric("listcache_fragments_missed_total").await
    }

    /// Asks for pages until none of them lacks a fragment any more, and each has its prefix deflated.
    async fn packed(&self, paths: &[String]) {
        eventually(async || {
            let before = self.missed().await;
            for path in paths {
                let member = self.member(path).await;
                // The first block's type stands behind the header: 00 is stored.
                if member[10] >> 1 & 0b11 == 0 {
                    return Err(format!("the prefix of {path} is stored"));
                }
            }
            let missed = self.missed().await - before;
            if missed == 0.0 {
                Ok(())
            } else {
                Err(format!("{missed} fragments were missing"))
            }
        })
        .await;
    }
}

fn unpacked(member: &[u8]) -> Vec<u8> {
    let mut decoder = GzDecoder::new(member);
    let mut text = Vec::new();
    decoder.read_to_end(&mut text).unwrap();
    assert!(decoder.into_inner().is_empty(), "one member and nothing behind it");
    text
}

/// Every page of a listing of so many items, by offset and limit, in both orders.
fn windows(name: &str, total: usize) -> Vec<String> {
    let mut paths = Vec::new();
    for order in ["asc", "desc"] {
        for offset in 0..=total {
            for limit in 1..=total + 1 {
                paths.push(format!(
                    "/v1/listings/{name}?order={order}&offset={offset}&limit={limit}"
                ));
            }
        }
    }
    paths
}

#[tokio::test(flavor = "multi_thread")]
async fn every_window_of_small_listings_inflates_to_the_plain_page() {
    let world = world("64MiB", 4);
    // Of none, of one chunk, with a last chunk that is full, and one that is not.
    for total in [0, 3, 8, 11] {
        let name = format!("promo:{total}");
        world.push(&name, items(total)).await;
        let paths = windows(&name, total);
        let mut expect = Vec::new();
        for path in &paths {
            // Its fragments are not there yet, or some are, from windows before.
            let member = world.member(path).await;
            expect.push(world.plain(path).await);
            assert_eq!(unpacked(&member), *expect.last().unwrap(), "{path}");
        }
        world.packed(&paths).await;
        for (path, expect) in paths.iter().zip(&expect) {
            assert_eq!(unpacked(&world.member(path).await), *expect, "{path}");
        }
    }
    let found = world.service.metric("listcache_fragments_found_total").await;
    let made = world.service.metric("listcache_fragments_made_total").await;
    assert!(made > 100.0 && found > made, "{found} found, {made} made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_page_is_packed_too() {
    let world = world("64MiB", 4);
    world.push(WIDE, items(30)).await;
    let first: serde_json::Value =
        serde_json::from_slice(&world.plain(&format!("/v1/listings/{WIDE}?limit=9")).await).unwrap();
    let next = first["links"]["next"].as_str().unwrap().to_owned();
    let plain = world.plain(&next).await;
    // Pinned to what was, whatever is current.
    world.push(WIDE, items(7)).await;
    assert_eq!(unpacked(&world.member(&next).await), plain);
    world.packed(std::slice::from_ref(&next)).await;
    assert_eq!(unpacked(&world.member(&next).await), plain);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_whose_fragments_do_not_fit_into_l1_are_whole() {
    // Room for few pages: chunks and fragments push each other out.
    let world = world("24KiB", 4);
    world.push(WIDE, items(200)).await;
    let paths: Vec<_> = (0..40)
        .map(|n| {
            format!(
                "/v1/listings/{WIDE}?offset={}&limit=20&order={}",
                n * 5,
                ["asc", "desc"][n % 2]
            )
        })
        .collect();
    for _ in 0..3 {
        for path in &paths {
            assert_eq!(unpacked(&world.member(path).await), world.plain(path).await, "{path}");
        }
    }
    let before = world.missed().await;
    for path in &paths {
        world.member(path).await;
    }
    assert!(world.missed().await > before, "everything fitted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coding_is_the_clients_choice() {
    let world = world("64MiB", 4);
    world.push(WIDE, items(30)).await;
    let path = format!("/v1/listings/{WIDE}");
    let plain = world.plain(&path).await;
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("x-gzip;q=0.2", "gzip"),
        ("*", "gzip"),
        ("br, *;q=0.1", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("", ""),
        ("identity", ""),
        ("br, zstd", ""),
        ("gzip;q=0", ""),
        ("gzip;q=0.5, identity", ""),
    ] {
        let response = world.ask(Method::GET, &path, Some(accept)).await;
        assert_eq!(
            (response.status(), header(&response, "content-encoding")),
            (StatusCode::OK, coding),
            "{accept}"
        );
        assert_eq!(header(&response, "vary"), "Accept-Encoding");
        assert_eq!(header(&response, "content-type"), "application/json");
        let body = response.bytes().await.unwrap().to_vec();
        let body = if coding == "gzip" { unpacked(&body) } else { body };
        assert_eq!(body, plain, "{accept}");
    }
    for accept in ["identity;q=0", "gzip;q=0, *;q=0"] {
        let response = world.ask(Method::GET, &path, Some(accept)).await;
        assert_eq!(
            (response.status(), header(&response, "vary")),
            (StatusCode::NOT_ACCEPTABLE, "Accept-Encoding")
        );
        assert_eq!(header(&response, "cache-control"), "no-store");
        let problem: serde_json::Value = response.json().await.unwrap();
        assert_eq!(problem["code"], "not-acceptable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_304_are_those_of_their_coding() {
    let world = world("64MiB", 4);
    world.push(WIDE, items(30)).await;
    let path = format!("/v1/listings/{WIDE}?offset=3&limit=20");
    world.packed(std::slice::from_ref(&path)).await;
    let mut etags = Vec::new();
    let mut lengths = Vec::new();
    for accept in [None, Some("gzip")] {
        let get = world.ask(Method::GET, &path, accept).await;
        let head = world.ask(Method::HEAD, &path, accept).await;
        // Those aside that tell times and what is left of them.
        let told = |response: &Response| {
            let mut headers: Vec<_> = response
                .headers()
                .iter()
                .filter(|(name, _)| {
                    ![
                        "date",
                        "cache-control",
                        "cache-status",
                        "last-modified",
                        "server-timing",
                    ]
                    .contains(&name.as_str())
                })
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            headers.sort();
            headers
        };
        assert_eq!((head.status(), told(&head)), (get.status(), told(&get)));
        etags.push(header(&get, "etag").to_owned());
        lengths.push(header(&get, "content-length").parse::<usize>().unwrap());
        assert!(head.bytes().await.unwrap().is_empty());
        for method in [Method::GET, Method::HEAD] {
            let mut request = world.service.request(method, &path).header("If-None-Match", &etags[0]);
            if let Some(accept) = accept {
                request = request.header("Accept-Encoding", accept);
            }
            let known = request.send().await.unwrap();
            assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(
                (header(&known, "etag"), header(&known, "vary")),
                (&*etags[0], "Accept-Encoding")
            );
            // There is nothing that would be coded.
            assert_eq!(
                (header(&known, "content-encoding"), header(&known, "content-type")),
                ("", "")
            );
            assert!(known.bytes().await.unwrap().is_empty());
        }
    }
    assert_eq!(etags[0], etags[1], "weak, from metadata: the same for both");
    assert!(etags[0].starts_with("W/"));
    assert!(lengths[1] * 2 < lengths[0], "{lengths:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tiny_page_goes_out_as_it_is() {
    let redis = RedisServer::start();
    let config = format!(
        r#"
[redis]
url = "{}"
[origins.file]
kind = "file"
path = "{}/fixtures/items.ndjson"
[[listings]]
name = "tiny"
origin = "file"
links = "plain"
[listings.sorts]
id = {{ by = ["id"] }}
"#,
        redis.url(),
        env!("CARGO_MANIFEST_DIR")
    );
    let service = Service::start(&config);
    let world = World { _redis: redis, service };
    let path = "/v1/listings/tiny?offset=1000&limit=1";
    let plain = world.plain(path).await;
    assert!(plain.len() < 600, "{} bytes", plain.len());
    let response = world.ask(Method::GET, path, Some("gzip")).await;
    assert_eq!(
        (header(&response, "content-encoding"), header(&response, "vary")),
        ("", "Accept-Encoding")
    );
    assert_eq!(response.bytes().await.unwrap(), plain);
    // Unless the client takes nothing else.
    let response = world.ask(Method::GET, path, Some("gzip, identity;q=0")).await;
    assert_eq!(header(&response, "content-encoding"), "gzip");
    assert_eq!(unpacked(&response.bytes().await.unwrap()), plain);
}
