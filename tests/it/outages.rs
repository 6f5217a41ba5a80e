//! What operators do when the origin fails for long, or has published what is wrong: freeze, thaw, roll back.

use std::process::{Command, Output};

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    RedisServer, eventually,
    service::{Service, Shop, json_of},
};

const BREAD: &str = "/v1/listings/category:BREAD";

/// Stale after a second, gone after two.
const SHORT: &str = "[defaults]\nfresh_for = \"1s\"\nkeep_for = \"2s\"\nstale_while_revalidate = \"0s\"\npin_for = \"2m\"\n[l1]\nttl = \"50ms\"\n";

/// A service, and the command line on the same configuration.
struct Installation {
    service: Service,
    directory: TempDir,
}

impl Installation {
    fn start(config: &str) -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("listcache.toml"), config).unwrap();
        Self {
            service: Service::start(config),
            directory,
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_listcache"));
        command.args(arguments).current_dir(self.directory.path());
        command.output().unwrap()
    }

    /// What a command prints where it succeeds.
    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command complains of.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Status, `Cache-Status` and body of a page.
    async fn page(&self) -> (u16, String, Value) {
        let response = self.service.request(Method::GET, BREAD).send().await.unwrap();
        let status = response.headers()["cache-status"].to_str().map(str::to_owned);
        (
            response.status().as_u16(),
            status.unwrap(),
            response.json().await.unwrap(),
        )
    }

    /// Asks for the page until it is as wanted.
    async fn until(&self, wanted: impl Fn(&(u16, String, Value)) -> bool) -> Value {
        eventually(async || {
            let page = self.page().await;
            if wanted(&page) { Ok(page.2) } else { Err(page) }
        })
        .await
    }
}

fn total(page: &(u16, String, Value)) -> u64 {
    page.2["total"].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_frozen_is_served_long_after_its_time_and_not_refreshed() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let installed = Installation::start(&shop.config(&redis.url(), SHORT));
    let first = installed.page().await;
    assert_eq!((first.0, total(&first)), (200, 30));
    assert!(installed.refused(&["freeze", "[", "--for", "1h"]).contains("glob"));
    assert!(installed.refused(&["thaw", "category:*"]).contains("not frozen"));
    assert_eq!(installed.done(&["freezes"]), "nothing is frozen\n");

    let said = installed.done(&["freeze", "category:*", "--for", "1h"]);
    assert!(said.starts_with("frozen until "), "{said}");
    let (until, _) = said["frozen until ".len()..].split_once(": ").unwrap();
    assert_eq!(installed.done(&["freezes"]), format!("{until}  'category:*'\n"));
    let listed = installed.done(&["freezes", "--json"]);
    assert_eq!(
        listed,
        format!("[{{\"glob\":\"category:*\",\"frozen_until\":\"{until}\"}}]\n")
    );
    // A name under a frozen glob is not thawed by itself: the messages name the glob.
    let still = format!("`category:*` freezes it until {until}, and `listcache thaw 'category:*'` ends that");
    let refused = installed.refused(&["thaw", "category:BREAD"]);
    assert!(refused.contains(&still), "{refused}");
    installed.done(&["freeze", "category:BREAD", "--for", "2h"]);
    assert_eq!(
        installed.done(&["thaw", "category:BREAD"]),
        format!("thawed\n{still}\n")
    );
    // The origin is away for longer than the listing would live.
    shop.close();
    let page = installed
        .until(|(_, status, _)| status.contains("ttl=-3;") && status.contains("detail=origin-error"))
        .await;
    assert_eq!(page["generation"], first.2["generation"]);
    let reads = installed.service.request(Method::GET, "/metrics").send().await.unwrap();
    let reads = reads.text().await.unwrap();
    let reads = reads
        .lines()
        .find(|line| line.starts_with("listcache_origin_reads_total"))
        .unwrap()
        .to_owned();
    let heads = redis.cli_lines(&["KEYS", "*:head:*"]);
    let lives: u64 = redis.cli(&["TTL", &heads[0]]).parse().unwrap();
    assert!(lives > 3500, "{lives}");
    let explain = installed.service.admin(Method::GET, &format!("{BREAD}/explain"));
    let explained = json_of(explain).await;
    assert!(explained["frozen_until"].is_string(), "{explained}");

    shop.reopen();
    shop.sql("update products set price_cents = 1 where id = 5").await;
    // Nothing was read meanwhile, though it was asked for and due.
    let metrics = installed.service.request(Method::GET, "/metrics").send().await.unwrap();
    assert!(metrics.text().await.unwrap().contains(&reads));
    assert_eq!(installed.done(&["thaw", "category:*"]), "thawed\n");
    let page = installed
        .until(|(_, _, page)| page["generation"] != first.2["generation"])
        .await;
    assert_eq!(page["items"][0]["id"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rollback_goes_back_further_and_never_to_what_the_first_has_undone() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let installed = Installation::start(&shop.config(&redis.url(), SHORT));
    installed.page().await;
    let mut generations = Vec::new();
    for (price, change) in [
        (1, "update products set price_cents = 1 where category = 'BREAD'"),
        (2, "update products set price_cents = 2 where category = 'BREAD'"),
        (3, "update products set price_cents = 3 where category = 'BREAD'"),
    ] {
        shop.sql(change).await;
        let page = installed
            .until(|(_, _, page)| page["items"][0]["price_cents"] == price)
            .await;
        generations.push(page["generation"].as_str().unwrap().to_owned());
    }
    let rollback = ["rollback", "category:BREAD"];
    let back_to = |said: &str, generation: &str| {
        assert!(said.contains(&format!("30 items of {generation} as ")), "{said}");
    };
    back_to(&installed.done(&rollback), &generations[1]);
    back_to(&installed.done(&rollback), &generations[0]);
    installed
        .until(|(_, _, page)| page["items"][0]["price_cents"] == 1)
        .await;
    // The first fill is left.
    installed.done(&rollback);
    let refused = installed.refused(&rollback);
    for part in [
        "no older generation of `category:BREAD` is kept (category:BREAD/",
        " only)",
        "`listcache thaw 'category:BREAD'`",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    // What comes after a rollback can be undone too, and leads to what that brought back.
    installed.done(&["thaw", "category:BREAD"]);
    installed
        .until(|(_, _, page)| page["items"][0]["price_cents"] == 3)
        .await;
    installed.done(&rollback);
    let page = installed
        .until(|(_, _, page)| page["items"][0]["price_cents"] != 3)
        .await;
    assert_eq!(page["total"], 30);
    let undone = installed.page().await.2;
    assert_eq!(undone["items"], page["items"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_brings_the_older_generation_back_and_keeps_it() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let installed = Installation::start(&shop.config(&redis.url(), SHORT));
    assert!(
        installed
            .refused(&["rollback", "category:BREAD"])
            .contains("no such listing")
    );
    let first = installed.page().await;
    assert!(
        installed
            .refused(&["rollback", "category:BREAD"])
            .contains("no older generation")
    );

    // An import with wrong prices is published, and pinned pages of what was before are still kept.
    shop.sql("update products set price_cents = 0 where category = 'BREAD'")
        .await;
    let wrong = installed
        .until(|(_, _, page)| page["items"][0]["price_cents"] == 0)
        .await;
    let said = installed.done(&["rollback", "category:BREAD", "--hold", "1h"]);
    assert!(
        said.contains("category:BREAD/price?currency=EUR: 30 items of "),
        "{said}"
    );
    // The freeze is said, with the command that ends it.
    assert!(said.contains("\nfrozen until "), "{said}");
    assert!(
        said.ends_with(": `listcache thaw 'category:BREAD'` ends that\n"),
        "{said}"
    );
    assert!(installed.done(&["freezes"]).ends_with("  'category:BREAD'\n"));
    let good = installed
        .until(|(_, _, page)| page["generation"] != wrong["generation"])
        .await;
    assert_eq!(good["items"], first.2["items"]);
    let id = |page: &Value| -> String { page["generation"].as_str().unwrap().to_owned() };
    assert!(id(&good) > id(&wrong), "a new id, later than the wrong one's");
    // Stale by now, and still held.
    installed.until(|(_, status, _)| status.contains("ttl=-2;")).await;
    assert_eq!(installed.page().await.2["items"], first.2["items"]);
    installed.done(&["thaw", "category:BREAD"]);
    installed
        .until(|(_, _, page)| page["items"][0]["price_cents"] == 0)
        .await;
}
