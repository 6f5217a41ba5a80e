//! The description at `/openapi.json`: Spectral lints it, and Schemathesis holds the service against it.

use std::{path::PathBuf, process::Command};

use serde_json::json;
use tempfile::TempDir;

use super::{filtered, installed, patient, script};
use crate::support::{
    RedisServer,
    service::{Service, Shop, TOKEN},
};

/// So many examples an operation where nothing else is said; `make judges` says 1,000.
const EXAMPLES: &str = "30";
/// What is made up is the same each time, unless `SCHEMATHESIS_SEED` says another: a finding must not be a matter of luck.
const SEED: &str = "1";

pub(super) async fn description(service: &Service, directory: &TempDir) -> PathBuf {
    let text = reqwest::get(service.url("/openapi.json"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let file = directory.path().join("openapi.json");
    std::fs::write(&file, text).unwrap();
    file
}

/// Runs a judge, which must find nothing; says what it found.
fn finds_nothing(command: &mut Command) -> String {
    let said = command.output().unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(said.status.success(), "{command:?}\n{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn spectral_finds_nothing_in_the_description() {
    let redis = RedisServer::start();
    let service = Service::start(&patient(filtered(Shop::new().await.config(&redis.url(), ""))));
    let directory = TempDir::new().unwrap();
    let mut spectral = Command::new(installed("node_modules/.bin/spectral"));
    spectral.args(["lint", "--fail-severity", "warn", "--ruleset"]);
    spectral
        .arg(script("spectral.yaml"))
        .arg(description(&service, &directory).await);
    println!("spectral: {}", finds_nothing(&mut spectral).trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_the_service_as_described() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&patient(filtered(shop.config(&redis.url(), ""))));
    for name in ["promo:a", "promo:b"] {
        let items: Vec<_> = (0..60).map(|id| json!({"id": id})).collect();
        let push = service
            .admin(reqwest::Method::PUT, &format!("/v1/listings/{name}"))
            .json(&items);
        push.send().await.unwrap().error_for_status().unwrap();
    }
    let directory = TempDir::new().unwrap();
    let said = |name: &str, unless: &str| std::env::var(name).unwrap_or_else(|_| unless.to_owned());
    let mut schemathesis = Command::new(installed("venv/bin/st"));
    schemathesis
        .arg("--config-file")
        .arg(script("schemathesis.toml"))
        .args(["--no-color", "run"])
        .arg(description(&service, &directory).await)
        .args([
            "--url",
            &service.url("/"),
            "--checks",
            "all",
            "--max-examples",
            &said("SCHEMATHESIS_EXAMPLES", EXAMPLES),
            "--seed",
            &said("SCHEMATHESIS_SEED", SEED),
            "--output-truncate",
            "false",
        ])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .env("SCHEMATHESIS_HOOKS", "schemathesis_hooks")
        .env("PYTHONPATH", script(""))
        .env("LISTCACHE_URL", service.url(""))
        .current_dir(&directory);
    println!("schemathesis: {}", finds_nothing(&mut schemathesis).trim());
}
