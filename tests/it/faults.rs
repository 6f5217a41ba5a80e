//! What goes wrong around a running service, and what its clients see of it: never a 500, never a short page, never a wait.

mod announcements_cut;
mod clients;
mod direct;
mod drain;
mod foreign_values;
mod histories;
mod known_failures;
mod origin_away;
mod origin_outage;
mod overload;
mod redis_away;
mod redis_full;
mod redis_slow;
mod scanner;
mod soak;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::support::service::Service;

/// No page may take longer, whatever is wrong: an origin's time-out, and a wait for a fill, are longer by far. A loaded machine answers
/// within it too.
const AT_ONCE: Duration = Duration::from_secs(2);

/// In the place of `[redis]`: what the service does by default when Redis is late.
const IMPATIENT: &str = "[redis]\nread_timeout = \"100ms\"";

const BREAD: &str = "/v1/listings/category:BREAD";

/// What matters of an answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    cache_control: String,
    cache_status: String,
    retry_after: Option<u32>,
    body: Value,
    took: Duration,
}

async fn get(service: &Service, path: &str) -> Answer {
    let begun = Instant::now();
    let response = service.request(Method::GET, path).send().await.unwrap();
    let header = |name: &str| {
        let value = response.headers().get(name);
        value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
    };
    Answer {
        status: response.status().as_u16(),
        cache_control: header("cache-control"),
        cache_status: header("cache-status"),
        retry_after: header("retry-after").parse().ok(),
        body: response.json().await.unwrap_or_default(),
        took: begun.elapsed(),
    }
}

impl Answer {
    /// "Not now, come back", and soon enough said.
    #[track_caller]
    fn is_a_clean_503(&self) {
        assert_eq!(self.status, 503, "{self:?}");
        assert_eq!(self.cache_control, "no-store", "{self:?}");
        assert!(self.retry_after.is_some_and(|seconds| seconds >= 1), "{self:?}");
        assert!(self.body["code"].is_string(), "{self:?}");
    }

    #[track_caller]
    fn came_at_once(&self) {
        assert!(self.took < AT_ONCE, "{self:?}");
    }

    /// The ids of the items.
    fn ids(&self) -> Vec<u64> {
        let items = self.body["items"].as_array().unwrap();
        items.iter().map(|item| item["id"].as_u64().unwrap()).collect()
    }
}
