//! Queries that fail, or that do not fit.

use std::{fs, process::Command};

use reqwest::Method;
use tempfile::TempDir;

use super::shop::{PromotingShop, SQLITE};
use crate::{
    changing::databases::ShopDatabase,
    support::{RedisServer, service::json_of},
};

async fn shop() -> PromotingShop {
    PromotingShop::new(ShopDatabase::sqlite().await, SQLITE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_fails_the_refresh_and_is_told() {
    let mut shop = shop().await;
    shop.next = "select starts_at from promotions where product_id > 0".to_owned();
    let service = shop.start("");
    let page = service
        .request(Method::GET, &super::path(0, "price"))
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 503);
    let reason = "`next_change_query`: it yields no column `at`, only starts_at";
    assert!(service.logs(reason), "{}", service.log());
    let explain = service.admin(Method::GET, "/v1/listings/category:BREAD/explain");
    let told = json_of(explain).await["last_error"].as_str().unwrap().to_owned();
    assert!(told.contains(reason), "{told}");
}

/// What `check-config` says of a configuration.
fn checked(config: &str, more: &[&str]) -> String {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("listcache.toml");
    fs::write(&file, config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_listcache"))
        .args(["check-config", "--config"])
        .arg(&file)
        .args(more)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_asks_the_query() {
    let mut shop = shop().await;
    let origins = &["--origins"];
    let good = checked(&shop.config(""), origins);
    assert!(good.contains("the queries run"), "{good}");
    for (query, error) in [
        (
            "select 1 as starts",
            "`next_change_query`: it yields no column `at`, only starts",
        ),
        (
            "select 'soon' as at",
            "`next_change_query`: `soon` in the column `at`: it is no time",
        ),
        (
            "select :colour as at",
            "`next_change_query`: `:colour` stands for no value",
        ),
        ("select x as at from nowhere", "nowhere"),
    ] {
        shop.next = query.to_owned();
        let said = checked(&shop.config(""), origins);
        assert!(said.contains(error), "{query}: {said}");
    }
}

#[test]
fn only_a_database_can_be_asked() {
    let redis = RedisServer::start();
    let config = format!(
        "[redis]\nurl = \"{}\"\n[origins.f]\nkind = \"file\"\npath = \"x.json\"\n[[listings]]\nname = \"x\"\norigin = \"f\"\n\
         next_change_query = \"select 1 as at\"\n[listings.sorts]\np = {{ by = [\"p\"] }}\n",
        redis.url()
    );
    let said = checked(&config, &[]);
    assert!(
        said.contains("listings[0].next_change_query: only a `sql` origin can be asked"),
        "{said}"
    );
}
