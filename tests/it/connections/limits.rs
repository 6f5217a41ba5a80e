//! As many connections as are allowed: probes and metrics are answered beyond, and the process may open as many files.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use reqwest::Method;

use super::{LIVE, PROMO, next_answer, send, service, until_closed};
use crate::support::{RedisServer, eventually, service::Service};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// Connections that take every place.
fn fill(service: &Service, count: usize) -> Vec<TcpStream> {
    let opened = (0..count).map(|_| {
        let mut stream = send(service, LIVE);
        next_answer(&mut stream);
        stream
    });
    opened.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_answered_while_every_place_is_taken() {
    let redis = RedisServer::start();
    let service = service(&redis, "connections_max = 4");
    let mut held = fill(&service, 4);
    for (path, status, says) in [
        ("/health/live", "200", "live"),
        ("/health/ready", "200", "ready"),
        ("/metrics", "200", "listcache_"),
        (PROMO, "503", "\"code\":\"overloaded\""),
        ("/openapi.json", "503", "overloaded"),
    ] {
        let (answer, took) = until_closed(&mut send(&service, &get(path)));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(
            answer.contains(says) && answer.to_lowercase().contains("connection: close"),
            "{path}: {answer}"
        );
        assert!(took < Duration::from_secs(4), "{path}: {took:?}");
    }
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for (path, status) in [("/health/ready", 200), (PROMO, 503)] {
        let answer = http2.get(service.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    // Those that were there are served as ever.
    held[0].write_all(get(PROMO).as_bytes()).unwrap();
    assert!(next_answer(&mut held[0]).starts_with("HTTP/1.1 404 "));
    // Others beyond the limit, which say nothing, keep a probe waiting for a second.
    let silent: Vec<_> = (0..16).map(|_| service.connect()).collect();
    let begun = Instant::now();
    assert!(
        until_closed(&mut send(&service, &get("/health/live")))
            .0
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for mut silent in silent {
        assert_eq!(until_closed(&mut silent).0, "");
    }
    // A place that comes free is one for all.
    held.pop();
    eventually(async || {
        match service
            .request(Method::GET, PROMO)
            .send()
            .await
            .map(|answer| answer.status())
        {
            Ok(status) if status == 404 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[test]
fn the_limit_of_open_files_is_raised_or_what_it_allows_is_said() {
    let redis = RedisServer::start();
    let url = redis.url();
    let config = format!("[http]\nconnections_max = 1000\n[redis]\nurl = \"{url}\"\n");
    let raised = Service::start_by("ulimit -Sn 256", &config);
    assert!(raised.open_files_max() >= 1000, "{}", raised.open_files_max());
    assert!(!raised.log().contains("connections_max lowered"), "{}", raised.log());
    let lowered = Service::start_by("ulimit -n 300", &config);
    assert_eq!(lowered.open_files_max(), 300);
    assert!(lowered.logs("http.connections_max lowered"), "{}", lowered.log());
    // And so many are served beside what else the program opens.
    let mut held = fill(&lowered, 134);
    let (answer, _) = until_closed(&mut send(&lowered, &get(PROMO)));
    assert!(answer.contains("\"code\":\"overloaded\""), "{answer}");
    held.truncate(0);
}
