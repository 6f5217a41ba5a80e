//! REDbot and httplint on an answer in every state of the contract (`docs/http.md`, 5), and on every other answer there is.
//!
//! The service is brought into each state by what brings it there in a shop: an origin that is slow or away, a Redis that stops. That
//! the answer is of the state is checked here; whether it is good HTTP is theirs to say. Of pages REDbot asks again in its own ways.

mod answers;
mod fresh;
mod linter;
mod troubled;

use std::time::Duration;

use linter::{Exchange, judge};
use reqwest::Method;
use serde_json::{Value, json};

use super::patient;
use crate::support::{
    RedisServer,
    api::{Api, ApiAnswer},
    eventually,
    service::{Service, Shop},
};

const BREAD: &str = "/v1/listings/category:BREAD";
const PROMO: &str = "/v1/listings/promo:linted";
/// What `Accept` and the like cannot tell apart, for a client that takes gzip.
const GZIP: (&str, &str) = ("Accept-Encoding", "gzip");
const STALE_ALLOWED: &str = ", stale-while-revalidate=30, stale-if-error=3600";

async fn page(service: &Service, path: &str) -> Value {
    let response = service.request(Method::GET, path).send().await.unwrap();
    response.error_for_status().unwrap().json().await.unwrap()
}

/// The path of a page's own, pinned link.
async fn pinned(service: &Service, path: &str) -> String {
    page(service, path).await["links"]["self"].as_str().unwrap().to_owned()
}

/// Asks until an answer's header shows this.
async fn until(service: &Service, path: &str, header: &str, shows: &str) {
    eventually(async || {
        let response = service.request(Method::GET, path).send().await.unwrap();
        let value = response
            .headers()
            .get(header)
            .map(|value| value.to_str().unwrap().to_owned());
        match value {
            Some(value) if value.contains(shows) => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// Asks until a page's parts are deflated: the first answers as gzip carry them as they are.
async fn packed(service: &Service, path: &str) {
    eventually(async || {
        let (name, value) = GZIP;
        let response = service
            .request(Method::GET, path)
            .header(name, value)
            .send()
            .await
            .unwrap();
        let packed = response.bytes().await.unwrap().len();
        let plain = service
            .request(Method::GET, path)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap()
            .len();
        if plain < 600 || packed < plain {
            Ok(())
        } else {
            Err((packed, plain))
        }
    })
    .await;
}
