//! By whichever protocol: the same status, the same headers, the same bytes.

use std::process::Command;

use bytes::Bytes;
use reqwest::{
    Client, Method, StatusCode, Version,
    header::{HeaderMap, HeaderValue},
};

use super::{push, secure, service};
use crate::support::{Certificate, RedisServer, eventually, service::Service};

const ITEMS: usize = 100;
const WIDE: &str = "/v1/listings/promo:wide";

/// A method, a path, headers, and the status that it has.
type Request<'a> = (Method, String, Vec<(&'static str, &'a str)>, u16);

/// A way to ask.
struct Way<'a> {
    client: Client,
    service: &'a Service,
    version: Version,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Way<'_> {
    async fn ask(&self, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Answer {
        let mut request = self.client.request(method, self.service.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.version(), self.version);
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap(),
        }
    }
}

/// What tells of the moment, and of which node's memory answered.
const OF_THE_MOMENT: [&str; 4] = ["date", "server-timing", "cache-status", "cache-control"];

fn lasting(mut headers: HeaderMap) -> Vec<(String, HeaderValue)> {
    for name in OF_THE_MOMENT {
        assert!(!headers.get_all(name).iter().any(|value| value.is_empty()));
        headers.remove(name);
    }
    let mut lasting: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect();
    lasting.sort();
    lasting
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_same_by_every_protocol() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let plain = service(&redis, "");
    let secure = secure(&redis, &certificate, "");
    assert_eq!((&*plain.scheme, &*secure.scheme), ("http", "https"));
    push(&plain, WIDE, ITEMS, 400).await;
    let tls = || certificate.client();
    let ways = [
        (Client::builder().http1_only(), &plain, Version::HTTP_11),
        (Client::builder().http2_prior_knowledge(), &plain, Version::HTTP_2),
        (tls().http1_only(), &secure, Version::HTTP_11),
        (tls(), &secure, Version::HTTP_2),
        (
            tls().max_tls_version(reqwest::tls::Version::TLS_1_2),
            &secure,
            Version::HTTP_2,
        ),
    ];
    let ways = ways.map(|(client, service, version)| Way {
        client: client.build().unwrap(),
        service,
        version,
    });
    let page = format!("{WIDE}?limit=24");
    let etag = ways[0].ask(Method::GET, &page, &[]).await.headers["etag"].clone();
    let etag = etag.to_str().unwrap();
    let gzip = ("accept-encoding", "gzip");
    let (get, head) = (Method::GET, Method::HEAD);
    let requests: Vec<Request<'_>> = vec![
        (get.clone(), page.clone(), vec![], 200),
        (get.clone(), format!("{WIDE}?offset=7&limit=25&order=desc"), vec![], 200),
        (get.clone(), format!("{WIDE}?size=250"), vec![], 200),
        (get.clone(), format!("{WIDE}?offset=1000"), vec![], 200),
        (get.clone(), page.clone(), vec![gzip], 200),
        (
            get.clone(),
            format!("{WIDE}?offset=7&limit=25&order=desc"),
            vec![gzip],
            200,
        ),
        (head.clone(), page.clone(), vec![], 200),
        (head.clone(), page.clone(), vec![gzip], 200),
        (get.clone(), page.clone(), vec![("if-none-match", etag)], 304),
        (head, page.clone(), vec![("if-none-match", "*")], 304),
        (get.clone(), format!("{WIDE}?size=0&order=up"), vec![], 400),
        (get.clone(), "/v1/listings/promo:none".to_owned(), vec![], 404),
        (get.clone(), "/nothing/here".to_owned(), vec![], 404),
        (get.clone(), format!("{WIDE}?{}", "x".repeat(9000)), vec![], 414),
        (
            Method::OPTIONS,
            page.clone(),
            vec![("origin", "https://shop.example")],
            204,
        ),
        (Method::DELETE, WIDE.to_owned(), vec![], 401),
        (Method::PATCH, WIDE.to_owned(), vec![], 405),
        (get, "/openapi.json".to_owned(), vec![], 200),
    ];
    // What is deflated behind requests is there, in both services.
    for way in [&ways[0], &ways[2]] {
        eventually(async || {
            let missed = || way.service.metric("listcache_fragments_missed_total");
            let before = missed().await;
            for (method, path, headers, _) in &requests {
                let answer = way.ask(method.clone(), path, headers).await;
                // It says when it was made once that second is over.
                if answer.status == 200 && path.starts_with(WIDE) && !answer.headers.contains_key("last-modified") {
                    return Err("its second is not over".to_owned());
                }
                // The first block's type stands behind a member's header: 00 is stored.
                if answer.body.starts_with(&[0x1f, 0x8b]) && answer.body[10] >> 1 & 0b11 == 0 {
                    return Err("a prefix is stored".to_owned());
                }
            }
            match missed().await - before {
                0.0 => Ok(()),
                more => Err(format!("{more} fragments were missing")),
            }
        })
        .await;
    }
    for (method, path, headers, status) in &requests {
        let mut answers = Vec::new();
        for way in &ways {
            answers.push(way.ask(method.clone(), path, headers).await);
        }
        let first = &answers[0];
        assert_eq!(first.status, *status, "{method} {path}");
        for (answer, way) in answers.iter().zip(&ways) {
            assert_eq!(answer.status, first.status, "{method} {path} {headers:?}");
            assert_eq!(
                lasting(answer.headers.clone()),
                lasting(first.headers.clone()),
                "{method} {path} {headers:?} {:?} {}",
                way.version,
                way.service.scheme
            );
            assert!(answer.body == first.body, "{method} {path} {headers:?}");
            assert!(answer.headers.contains_key("date"));
            assert!(answer.headers.get_all("date").iter().count() == 1);
        }
        let is_empty = *method == Method::HEAD || *status == 304 || *status == 204;
        assert_eq!(first.body.is_empty(), is_empty, "{method} {path}");
    }
}

/// What curl got, and by which protocol.
fn curl(arguments: &[&str], url: &str) -> (String, Vec<u8>) {
    let said = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--write-out",
            "%{stderr}%{http_version}",
        ])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    let version = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{arguments:?}: {version}");
    (version, said.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_the_same_by_every_protocol() {
    let redis = RedisServer::start();
    let certificate = Certificate::new();
    let plain = service(&redis, "");
    let secure = secure(&redis, &certificate, "");
    push(&plain, WIDE, ITEMS, 400).await;
    let path = format!("{WIDE}?limit=50");
    let (plain, secure) = (plain.url(&path), secure.url(&path));
    let file = certificate.file();
    let trusting = ["--cacert", file.to_str().unwrap()];
    let (version, expected) = curl(&["--http1.1"], &plain);
    assert_eq!(version, "1.1");
    let ways: [(&[&str], &str, &str); 7] = [
        (&["--http2-prior-knowledge"], &plain, "2"),
        // It asks whether to change over, and is answered as if it had not.
        (&["--http2"], &plain, "1.1"),
        (&["--http1.0"], &plain, "1"),
        (&["--http2"], &secure, "2"),
        (&["--http1.1"], &secure, "1.1"),
        (&["--no-alpn"], &secure, "1.1"),
        (&["--http2", "--compressed"], &secure, "2"),
    ];
    for (arguments, url, version) in ways {
        let found = curl(&[arguments, &trusting].concat(), url);
        assert_eq!(found.0, version, "{arguments:?} {url}");
        assert!(found.1 == expected, "{arguments:?} {url}");
    }
}
