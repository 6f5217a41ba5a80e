//! Live subscriptions over HTTP.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    redis_server::RedisServer,
    service::{Service, Shop},
};

const PROMO: &str = "/v1/listings/promo:live";

/// The events of a stream, comments left out.
struct Events {
    response: Response,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

impl Events {
    async fn of(service: &Service, path: &str) -> Self {
        let response = service.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            text: String::new(),
        }
    }

    /// `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim_start_matches(':').trim_start().to_owned())
                };
                let event = field("event").map(|kind| Event {
                    kind,
                    id: field("id").unwrap(),
                    data: serde_json::from_str(&field("data").unwrap()).unwrap(),
                });
                self.text = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let bytes = self.response.chunk().await.ok()??;
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

async fn push(service: &Service, sort: &str, items: &Value) -> String {
    let path = format!("{PROMO}?sort={sort}");
    let response = service.admin(Method::PUT, &path).json(items).send().await.unwrap();
    let pushed: Value = response.error_for_status().unwrap().json().await.unwrap();
    pushed["generation"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_event_is_the_current_head_then_one_a_publish() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    let first = push(&service, "price", &json!([{"id": 1}])).await;
    let mut events = Events::of(&service, &format!("{PROMO}/events?sort=price")).await;
    let expect = |generation: &str, total: u64| Event {
        kind: "published".to_owned(),
        id: generation.to_owned(),
        data: json!({"listing": "promo:live", "sort": "price", "generation": generation, "total": total}),
    };
    assert_eq!(events.next().await, Some(expect(&first, 1)));
    // Of another sort: not for this follower.
    push(&service, "name", &json!([])).await;
    let second = push(&service, "price", &json!([{"id": 1}, {"id": 2}])).await;
    assert_eq!(events.next().await, Some(expect(&second, 2)));
    service
        .admin(Method::DELETE, PROMO)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    let deleted = events.next().await.unwrap();
    assert_eq!(deleted.kind, "deleted");
    assert_eq!(
        (&deleted.data["listing"], &deleted.data["sort"]),
        (&json!("promo:live"), &json!("price"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sort_all_of_them_are_followed() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    push(&service, "price", &json!([{"id": 1}])).await;
    push(&service, "name", &json!([{"id": 1}])).await;
    let mut events = Events::of(&service, &format!("{PROMO}/events")).await;
    let mut sorts = Vec::new();
    for _ in 0..2 {
        sorts.push(events.next().await.unwrap().data["sort"].as_str().unwrap().to_owned());
    }
    sorts.sort_unstable();
    assert_eq!(sorts, ["name", "price"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_say_anything_is_not_followed() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    for (path, status) in [
        ("/v1/listings/category:NOBODY/events", 404),
        ("/v1/listings/no-definition/events", 404),
        ("/v1/listings/category:BREAD/events?sort=sideways", 400),
    ] {
        let response = service.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_have_a_limit_and_places_come_free() {
    let redis = RedisServer::start();
    let config = Shop::new().await.config(&redis.url(), "[http]\nfollowers_max = 1\n");
    let service = Service::start(&config);
    push(&service, "price", &json!([])).await;
    let path = format!("{PROMO}/events");
    let mut follower = Events::of(&service, &path).await;
    follower.next().await.unwrap();
    let response = service.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    drop(follower);
    // That it is gone is noticed before the next sign of life is written to it, which is after 15 s.
    let place = async {
        while service.request(Method::GET, &path).send().await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), place)
        .await
        .expect("a place comes free");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_service_does() {
    let redis = RedisServer::start();
    let mut service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    push(&service, "price", &json!([])).await;
    let mut events = Events::of(&service, &format!("{PROMO}/events")).await;
    events.next().await.unwrap();
    service.terminate();
    assert_eq!(events.next().await, None);
    assert!(service.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_says_that_it_lives() {
    let redis = RedisServer::start();
    let service = Service::start(&Shop::new().await.config(&redis.url(), ""));
    push(&service, "price", &json!([])).await;
    let response = service
        .request(Method::GET, &format!("{PROMO}/events"))
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    let mut parts = response.bytes_stream();
    // The client's own time-out of 20 s is longer than the 15 s between comments.
    while !text.contains("\n\n:") && !text.starts_with(':') {
        text.push_str(std::str::from_utf8(&parts.next().await.unwrap().unwrap()).unwrap());
    }
}
