//! `listcache inspect`: where a listing lies, and what is in it.

use std::{
    path::Path,
    process::{Command, Output},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    RedisServer,
    service::{Service, Shop},
};

fn inspect(config: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_listcache"))
        .arg("inspect")
        .args(arguments)
        .env("LISTCACHE_CONFIG", config)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_chunk_is_shown_with_its_ids_wherever_it_lies() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let text = shop.config(&redis.url(), "");
    let service = Service::start(&text);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("listcache.toml");
    std::fs::write(&config, text).unwrap();
    let items = |changed: u64| -> Value {
        let revision = |id| u64::from(id == changed);
        (0..60).map(|id| json!({"id": id, "revision": revision(id)})).collect()
    };
    for changed in [60, 30] {
        let put = service.admin(Method::PUT, "/v1/listings/promo:a").json(&items(changed));
        assert!(put.send().await.unwrap().status().is_success());
    }
    let state = said(&inspect(&config, &["promo:a"]));
    assert!(state.contains(", but for chunks 2\n"), "{state}");
    assert!(state.contains("packed") && state.contains("changes"), "{state}");

    // Chunk 1 lies in the base, chunk 2 in the delta.
    for (chunk, first) in [("1", 12), ("2", 24)] {
        let shown = inspect(&config, &["promo:a", "--chunk", chunk]);
        let lines: Vec<String> = (first..first + 12)
            .map(|id| format!("{id}\t{}", json!({"id": id, "revision": u64::from(id == 30)})))
            .collect();
        assert_eq!(String::from_utf8(shown.stdout).unwrap(), lines.join("\n") + "\n");
        let shown = inspect(&config, &["promo:a", "--chunk", chunk, "--json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["chunk"].to_string(), chunk);
        assert_eq!(
            shown["items"][0],
            json!({"id": first.to_string(), "json": lines[0].split_once('\t').unwrap().1})
        );
    }
    for (arguments, says) in [
        (
            ["promo:a", "--chunk", "5"],
            "the listing has chunks 0 to 4, and chunk 5 is none or lost",
        ),
        (["promo:b", "--chunk", "0"], "the listing has no chunks"),
    ] {
        let refused = inspect(&config, &arguments);
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains(says), "{}", said(&refused));
    }
}
