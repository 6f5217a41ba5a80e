//! The ways in which a shop reports its changes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    super::{
        config,
        databases::{ShopDatabase, blocks, outbox_section},
        hooks::hex,
        of_ids, tell,
    },
    model::Report,
};
use crate::support::{
    RedisServer,
    service::{Service, TOKEN},
};

const SECRET: &str = "a-secret-of-the-replay";
/// Events of a webhook.
const EVENTS: usize = 20;
const HOOK: &str = r#"
[hooks.shop]
signature = { header = "X-Signature", prefix = "sha256=" }
ids = ["/product/id"]
gone_when = { at = "/event", is = ["product.deleted"] }
"#;

/// A way of reporting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `POST /v1/changes`, for all products of a batch.
    Api,
    /// The triggers of the manual, and an outbox.
    Outbox,
    /// Signed webhooks, which say of a deleted product that it is gone.
    Webhook,
}

impl Way {
    /// Makes what the database needs for it.
    pub async fn prepare(self, database: &mut ShopDatabase) {
        if self == Self::Outbox {
            let heading = match database.url.split(':').next() {
                Some("sqlite") => "SQLite",
                Some("postgres") => "PostgreSQL",
                _ => "MySQL and MariaDB",
            };
            database.run(&blocks("changes.md", heading, "sql")).await;
        }
    }

    pub fn config(self, redis: &RedisServer, url: &str) -> String {
        let config = config(redis, url, if self == Self::Webhook { HOOK } else { "" });
        let config = config.replace("[redis]", "[redis]\nread_timeout = \"5s\"");
        // Fewer sorts, for many changes.
        let kept = |line: &&str| {
            !["newest = ", "stock = "]
                .iter()
                .any(|sort| line.trim().starts_with(sort))
        };
        let config = config.lines().filter(kept).collect::<Vec<_>>().join("\n");
        match self {
            Self::Outbox => config.replace("[[listings]]", &format!("{}\n[[listings]]", outbox_section())),
            Self::Api | Self::Webhook => config,
        }
    }

    pub fn start(self, config: &str) -> Service {
        let token = ("LISTCACHE_TOKEN", TOKEN);
        match self {
            Self::Webhook => Service::start_with(config, &[token, ("LISTCACHE_HOOKS__SHOP__SECRET", SECRET)]),
            Self::Api | Self::Outbox => Service::start_with(config, &[token]),
        }
    }

    /// Reports products that have changed. Redis has the changes when it returns.
    pub async fn report(self, service: &Service, database: &mut ShopDatabase, reports: &[Report]) {
        match self {
            Self::Api if reports.is_empty() => {}
            Self::Api => {
                let outcome = tell(service, of_ids(reports.iter().map(|report| &report.id))).await;
                assert_eq!((&outcome["state"], &outcome["failed"]), (&json!("done"), &json!({})));
            }
            Self::Outbox => database.outbox_is_empty().await,
            Self::Webhook => {
                for reports in reports.chunks(EVENTS) {
                    send(service, reports).await;
                }
            }
        }
    }
}

async fn send(service: &Service, reports: &[Report]) {
    let event = |report: &Report| {
        let event = if report.is_deleted {
            "product.deleted"
        } else {
            "product.updated"
        };
        json!({ "event": event, "product": { "id": report.id } })
    };
    let body = reports.iter().map(event).collect::<Value>().to_string();
    let signature = format!("sha256={}", hex(SECRET, body.as_bytes()));
    let request = service
        .request(Method::POST, "/v1/hooks/shop")
        .header("X-Signature", signature);
    let answer = request.body(body).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(
        answer.json::<Value>().await.unwrap(),
        json!({ "changes": reports.len() })
    );
}
