//! The honest clients: each checks every answer, which must be right, or a clean 503.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use super::Setting;
use crate::support::service::Service;

/// Pushed listings, each of [`ITEMS`] items.
const LISTINGS: usize = 4;
pub const ITEMS: usize = 60;
/// Honest requests take no longer, whatever goes on.
const PATIENCE: Duration = Duration::from_secs(15);

/// Every kind of honest client: each must have had good answers.
pub const CLIENTS: [&str; 6] = ["walker", "newcomer", "cold listing", "health", "publisher", "refresh"];

pub fn begin(setting: &Arc<Setting>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..3 {
        clients.spawn(walk_on(setting.clone()));
    }
    clients.spawn(come_new(setting.clone()));
    clients.spawn(open_cold_listings(setting.clone()));
    clients.spawn(probe(setting.clone()));
    clients.spawn(publish_on(setting.clone()));
    clients
}

/// An answer on a connection of its own: its status and body.
pub async fn fresh_get(service: &Service, path: &str) -> reqwest::Result<(u16, String)> {
    let client = fresh_client();
    let answer = client.get(service.url(path)).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

fn fresh_client() -> Client {
    let client = Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0);
    client.build().unwrap()
}

/// The number of followers that the metrics say.
pub fn followers(metrics: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("listcache_followers "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

/// The body of a good answer; `None` for a clean 503, which counts, and for what is neither, which is noted.
async fn judged(
    setting: &Setting,
    client: &'static str,
    what: &str,
    answer: reqwest::Result<Response>,
) -> Option<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            setting.is_wrong(format!("{client}: {what}: {error:?}"));
            return None;
        }
    };
    let status = answer.status().as_u16();
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let clean =
        header("retry-after").parse::<u64>().is_ok_and(|after| after >= 1) && header("cache-control") == "no-store";
    let headers = format!("{:?}", answer.headers());
    let Ok(body) = answer.text().await else {
        setting.is_wrong(format!("{client}: {what}: an answer that breaks off"));
        return None;
    };
    match status {
        200..=202 => {
            setting.answered(client, 200);
            return Some(body);
        }
        503 if clean => setting.answered(client, 503),
        status => setting.is_wrong(format!("{client}: {what}: {status} {headers} {body}")),
    }
    None
}

/// A page of a pushed listing, or `None`; what is wrong with it is noted.
async fn page(setting: &Setting, client: &'static str, of: &Client, path: &str) -> Option<Value> {
    let answer = of.get(setting.service.url(path)).send().await;
    let body = judged(setting, client, path, answer).await?;
    let page: Value = serde_json::from_str(&body).unwrap_or_default();
    let items = page["items"].as_array().cloned().unwrap_or_default();
    let offset = page["offset"].as_u64().unwrap_or_default();
    let right = page["total"] == ITEMS
        && !items.is_empty()
        && (offset..)
            .zip(&items)
            .all(|(at, item)| item["id"] == at && item["revision"] == items[0]["revision"]);
    if !right {
        setting.is_wrong(format!("{client}: {path}: {body}"));
    }
    right.then_some(page)
}

/// From the first page to the last, by links.
async fn walk_on(setting: Arc<Setting>) {
    let client = Client::builder().timeout(PATIENCE).build().unwrap();
    while setting.goes_on() {
        let size = 1 + fastrand::usize(..25);
        let mut next = Some(format!(
            "/v1/listings/promo:{}?size={size}",
            fastrand::usize(..LISTINGS)
        ));
        let mut walked = 0;
        let mut whole: Option<Value> = None;
        while let Some(path) = next.take() {
            let Some(page) = page(&setting, "walker", &client, &path).await else {
                break;
            };
            let items = page["items"].as_array().unwrap();
            let revision = whole.get_or_insert_with(|| items[0]["revision"].clone());
            if *revision != items[0]["revision"] || page["offset"] != walked {
                setting.is_wrong(format!("walker: {path}: {walked} items of {revision}, then {page}"));
            }
            walked += items.len();
            next = page["links"]["next"].as_str().map(str::to_owned);
            if next.is_none() && walked != ITEMS {
                setting.is_wrong(format!("walker: {path}: {walked} items"));
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// A page on a new connection.
async fn come_new(setting: Arc<Setting>) {
    while setting.goes_on() {
        let path = format!("/v1/listings/promo:{}", fastrand::usize(..LISTINGS));
        page(&setting, "newcomer", &fresh_client(), &path).await;
        sleep(Duration::from_millis(100)).await;
    }
}

/// Real listings that nobody has asked for before.
async fn open_cold_listings(setting: Arc<Setting>) {
    let client = Client::builder().timeout(PATIENCE).build().unwrap();
    for number in 1..5000 {
        if !setting.goes_on() {
            return;
        }
        let path = format!("/v1/listings/category:COLD{number}");
        let answer = client.get(setting.service.url(&path)).send().await;
        if let Some(body) = judged(&setting, "cold listing", &path, answer).await
            && !body.contains("\"total\":1,")
        {
            setting.is_wrong(format!("cold listing: {path}: {body}"));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// A load balancer: it must always be answered 200.
async fn probe(setting: Arc<Setting>) {
    while setting.goes_on() {
        for path in ["/health/live", "/health/ready"] {
            match fresh_get(&setting.service, path).await {
                Ok((200, _)) => setting.answered("health", 200),
                other => setting.is_wrong(format!("health: {path}: {other:?}")),
            }
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Pushes once a second, and asks for a refresh.
async fn publish_on(setting: Arc<Setting>) {
    for revision in 1.. {
        if !setting.goes_on() {
            return;
        }
        push_all(&setting, revision).await;
        let refresh = "/v1/listings/category:BREAD/refresh?wait=true";
        let answer = setting.service.admin(Method::POST, refresh).send().await;
        judged(&setting, "refresh", refresh, answer).await;
        sleep(Duration::from_secs(1)).await;
    }
}

/// A revision of each pushed listing.
pub async fn push_all(setting: &Setting, revision: u64) {
    let items: Value = (0..ITEMS).map(|id| json!({"id": id, "revision": revision})).collect();
    for listing in 0..LISTINGS {
        let path = format!("/v1/listings/promo:{listing}");
        let answer = setting.service.admin(Method::PUT, &path).json(&items).send().await;
        judged(setting, "publisher", &path, answer).await;
    }
}
