//! The cases of the public HTTP cache tests (github.com/http-tests/cache-tests) on conditions, HEAD and `Vary`, by their ids, as far as
//! they apply to an origin. Theirs ask a cache in front of a server that answers as the test says; here what they ask of the cache is
//! asked of the service itself, which answers for its pages as an optimal cache would.
//!
//! [`LEFT_OUT`] has the others, each with the reason.

use std::collections::BTreeSet;

use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::patient;
use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop},
};

const BREAD: &str = "/v1/listings/category:BREAD";

/// Ids, or their common beginnings with `*`, and why they are not here.
#[rustfmt::skip]
const LEFT_OUT: &[(&str, &str)] = &[
    ("conditional-etag-unquoted-respond-unquoted", "our tags are always quoted"),
    ("conditional-etag-unquoted-respond-quoted", "our tags are always quoted"),
    ("conditional-etag-vary-headers", "of the condition that a cache makes for the server behind it; as an answer to one it is 304-…-Vary below"),
    ("conditional-etag-strong-generate", "a cache makes the condition; tests/it/edge has nginx and Varnish make it"),
    ("conditional-etag-weak-generate-weak", "a cache makes the condition; tests/it/edge has nginx and Varnish make it"),
    ("conditional-etag-strong-generate-unquoted", "a cache makes the condition, and our tags are quoted"),
    ("conditional-etag-forward*", "forwarding: there is no HTTP server behind a page"),
    ("conditional-lm-fresh-no-lm", "asks a cache to compare with Date; an origin that sent no Last-Modified has no date to compare (RFC 9110, 13.1.3)"),
    ("vary-2-*", "our Vary names one header"),
    ("vary-3-*", "our Vary names one header"),
    ("vary-normalise-lang-*", "pages are in no language: Accept-Language is not in Vary"),
    ("vary-star", "Vary is never `*`, which vary-syntax-* asserts"),
    ("head-writethrough", "of what a cache asks the server behind it"),
    ("304-lm-use-stored-*", "of what a cache adds to a 304 from the server behind it"),
    ("304-etag-update-response-{Test-Header,…}", "headers that we never send: Content-Foo, Content-MD5, Content-Range, Clear-Site-Data, Expires, Set-Cookie, …"),
];

struct World {
    _redis: RedisServer,
    shop: Shop,
    service: Service,
}

/// An answer to one of their requests.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map_or("", |value| value.to_str().unwrap());
        assert_eq!(values.next(), None, "{name} stands more than once");
        value
    }

    fn max_age(&self) -> u64 {
        let value = self.header("cache-control").strip_prefix("max-age=").unwrap();
        value.split(',').next().unwrap().parse().unwrap()
    }
}

async fn world() -> World {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&patient(shop.config(&redis.url(), "")));
    World {
        _redis: redis,
        shop,
        service,
    }
}

impl World {
    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &[u8])]) -> Answer {
        let mut request = self.service.request(method, path);
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_bytes(value).unwrap());
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().into(),
        }
    }

    async fn get(&self, headers: &[(&str, &[u8])]) -> Answer {
        self.ask(Method::GET, BREAD, headers).await
    }

    /// A page with its `Last-Modified`, which is sent once its second is over.
    async fn dated(&self, path: &str) -> Answer {
        eventually(async || {
            let answer = self.ask(Method::GET, path, &[]).await;
            match answer.header("last-modified") {
                "" => Err(answer),
                _ => Ok(answer),
            }
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_inm() {
    let world = world().await;
    let page = world.dated(BREAD).await;
    let ours = page.header("etag");
    let tag = ours.strip_prefix("W/").unwrap();
    let bare = tag.trim_matches('"');
    // What theirs only check, as it is not for a server to guess, is 200 here: a tag that is spelled wrongly is not ours.
    #[rustfmt::skip]
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("conditional-etag-strong-respond", tag.into(), 304),
        ("conditional-etag-weak-respond", ours.into(), 304),
        ("conditional-etag-strong-respond-obs-text", b"\"abcdef\xfc\"".to_vec(), 200),
        ("conditional-etag-strong-respond-obs-text, beside ours", [b"\"abcdef\xfc\", ", ours.as_bytes()].concat(), 304),
        ("conditional-etag-quoted-respond-unquoted", bare.into(), 200),
        ("conditional-etag-weak-respond-lowercase", format!("w/{tag}").into(), 200),
        ("conditional-etag-weak-respond-backslash", format!("W\\{tag}").into(), 200),
        ("conditional-etag-weak-respond-omit-slash", format!("W{tag}").into(), 200),
        ("conditional-etag-strong-respond-multiple-first", format!("{tag}, \"1234\", \"5678\"").into(), 304),
        ("conditional-etag-strong-respond-multiple-second", format!("\"1234\", {tag}, \"5678\"").into(), 304),
        ("conditional-etag-strong-respond-multiple-last", format!("\"1234\", \"5678\", {tag}").into(), 304),
    ];
    for (id, value, expect) in cases {
        for method in [Method::GET, Method::HEAD] {
            let answer = world.ask(method.clone(), BREAD, &[("If-None-Match", value)]).await;
            assert_eq!(answer.status, *expect, "{id} {method}");
            // conditional-304-etag
            assert_eq!(answer.header("etag"), ours, "{id}");
            assert_eq!(answer.body.is_empty(), *expect == 304 || method == Method::HEAD, "{id}");
        }
    }
    // conditional-etag-precedence
    let long_ago = "Thu, 01 Jan 1970 00:00:00 GMT";
    let both = |tag: &'static str, date: &'static str| {
        [
            ("If-None-Match", tag.to_owned()),
            ("If-Modified-Since", date.to_owned()),
        ]
    };
    for (headers, expect) in [
        (
            [
                ("If-None-Match", ours.to_owned()),
                ("If-Modified-Since", long_ago.to_owned()),
            ],
            304,
        ),
        (both("\"other\"", "Tue, 31 Dec 2999 00:00:00 GMT"), 200),
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        assert_eq!(world.get(&headers).await.status, expect, "conditional-etag-precedence");
    }
    // conditional-etag-vary-headers-mismatch: the tag is weak, so it is the page's in each coding.
    let other_coding = world
        .get(&[("Accept-Encoding", b"gzip"), ("If-None-Match", ours.as_bytes())])
        .await;
    assert_eq!(other_coding.status, 304, "conditional-etag-vary-headers-mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_lm() {
    let world = world().await;
    let short = "/v1/listings/short:BREAD";
    let page = world.dated(BREAD).await;
    let seconds = httpdate::parse_http_date(page.header("last-modified")).unwrap();
    let since = |path: &'static str, date: String| {
        let world = &world;
        async move {
            let headers: [(&str, &[u8]); 1] = [("If-Modified-Since", date.as_bytes())];
            world.ask(Method::GET, path, &headers).await.status
        }
    };
    let minute = std::time::Duration::from_secs(60);
    let exact = httpdate::fmt_http_date(seconds);
    assert_eq!(since(BREAD, exact.clone()).await, 304, "conditional-lm-fresh");
    let later = httpdate::fmt_http_date(seconds + minute);
    assert_eq!(since(BREAD, later).await, 304, "conditional-lm-fresh-earlier");
    let before = httpdate::fmt_http_date(seconds - minute);
    assert_eq!(
        since(BREAD, before).await,
        200,
        "the page is newer than what the client has"
    );
    assert_eq!(since(BREAD, rfc850(&exact)).await, 304, "conditional-lm-fresh-rfc850");
    // Stale, and no origin to make it newer: it is still the page that the client has.
    let page = world.dated(short).await;
    world.shop.close();
    eventually(async || {
        let answer = world.ask(Method::GET, short, &[]).await;
        match answer.header("cache-status").contains("ttl=-") {
            true => Ok(()),
            false => Err(answer),
        }
    })
    .await;
    let date = world.dated(short).await.header("last-modified").to_owned();
    assert_eq!(date, page.header("last-modified"));
    assert_eq!(since(short, date).await, 304, "conditional-lm-stale");
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850(date: &str) -> String {
    let (day, rest) = date.split_once(", ").unwrap();
    let long = [
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
        "Thursday",
        "Friday",
        "Saturday",
    ];
    let day = long.iter().find(|long| long.starts_with(day)).unwrap();
    let parts: Vec<&str> = rest.split(' ').collect();
    format!("{day}, {}-{}-{} {} GMT", parts[0], parts[1], &parts[2][2..], parts[3])
}

#[tokio::test(flavor = "multi_thread")]
async fn vary() {
    let world = world().await;
    let plain = world.get(&[]).await;
    // What is in L1 answers with stored parts first; what is kept is what counts.
    let packed = eventually(async || {
        let first = world.get(&[("Accept-Encoding", b"gzip")]).await;
        let second = world.get(&[("Accept-Encoding", b"gzip")]).await;
        match first.body == second.body && first.body.len() < plain.body.len() / 2 {
            true => Ok(second),
            false => Err(second),
        }
    })
    .await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let page_is = async |id: &str, headers: &[(&str, &[u8])], expect: &Answer| {
        let answer = world.get(headers).await;
        // What theirs see as reuse: the same bytes, and from L1.
        assert_eq!(answer.body, expect.body, "{id}");
        assert_eq!(
            answer.header("content-encoding"),
            expect.header("content-encoding"),
            "{id}"
        );
        assert!(answer.header("cache-status").starts_with("listcache-l1; hit"), "{id}");
        // vary-syntax-*: one header, on one line, never `*`.
        assert_eq!(answer.header("vary"), "Accept-Encoding", "{id}");
    };
    page_is("vary-match", &[("Accept-Encoding", b"gzip")], &packed).await;
    page_is("vary-no-match", &[("Accept-Encoding", b"br")], &plain).await;
    page_is("vary-omit", &[], &plain).await;
    page_is("vary-omit-stored", &[("Accept-Encoding", b"gzip")], &packed).await;
    page_is("vary-invalidate", &[], &plain).await;
    page_is("vary-invalidate", &[("Accept-Encoding", b"gzip")], &packed).await;
    for other in ["Accept", "Accept-Language", "Cookie", "User-Agent", "Origin", "Other"] {
        page_is("vary-cache-key", &[(other, b"2")], &plain).await;
        page_is(
            "vary-cache-key",
            &[("Accept-Encoding", b"gzip"), (other, b"3")],
            &packed,
        )
        .await;
    }
    page_is(
        "vary-normalise-combine",
        &[("Accept-Encoding", b"br"), ("Accept-Encoding", b"gzip")],
        &packed,
    )
    .await;
    page_is(
        "vary-normalise-space",
        &[("Accept-Encoding", b" br ,   gzip ")],
        &packed,
    )
    .await;
    for (path, status) in [
        ("/v1/listings/category:NOBODY", 404),
        ("/v1/nothing", 404),
        ("/health/live", 200),
    ] {
        let answer = world.ask(Method::GET, path, &[]).await;
        assert_eq!(
            (answer.status, answer.header("vary")),
            (status, "Accept-Encoding"),
            "vary-syntax-* {path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn update_head() {
    let world = world().await;
    world.dated(BREAD).await;
    // What a cache writes over its stored answer is what GET would have brought.
    for (id, path, status) in [
        ("head-200-update", BREAD, 200),
        (
            "head-410-update",
            "/v1/listings/category:BREAD?generation=1-00000000",
            410,
        ),
    ] {
        let get = world.ask(Method::GET, path, &[]).await;
        let head = world.ask(Method::HEAD, path, &[]).await;
        assert_eq!((head.status, get.status), (status, status), "{id}");
        assert!(head.body.is_empty(), "{id}");
        let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<BTreeSet<_>>();
        assert_eq!(names(&head), names(&get), "head-200-retain {path}");
        for name in names(&get) {
            if !["date", "server-timing", "cache-control", "cache-status"].contains(&&*name) {
                assert_eq!(head.header(&name), get.header(&name), "{id} {name}");
            }
        }
        // The lifetime that is left.
        assert!(get.max_age() - head.max_age() <= 1, "head-200-freshness-update {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn update_304() {
    let world = world().await;
    let page = world.dated(BREAD).await;
    let known = world.get(&[("If-None-Match", page.header("etag").as_bytes())]).await;
    assert_eq!(known.status, 304);
    // 304-etag-update-response-<header>: what a cache takes over from a 304 is what a 200 would say.
    for name in [
        "etag",
        "content-location",
        "last-modified",
        "vary",
        "link",
        "surrogate-key",
        "x-total-count",
        "x-content-type-options",
        "access-control-allow-origin",
    ] {
        assert!(!known.header(name).is_empty(), "304-etag-update-response-{name}");
        assert_eq!(known.header(name), page.header(name), "304-etag-update-response-{name}");
    }
    assert!(
        page.max_age() - known.max_age() <= 2,
        "304-etag-update-response-Cache-Control"
    );
    // What describes a body does not stand where there is none, so that nobody takes it over.
    for name in ["content-length", "content-encoding", "content-type"] {
        assert_eq!(known.header(name), "", "304-etag-update-response-{name}");
    }
    assert!(LEFT_OUT.iter().all(|(id, reason)| !id.is_empty() && !reason.is_empty()));
}
