//! The recipes of docs/changes.md, run on the tables that the configurations of docs/shops.md read.
//!
//! After each change the pages of a service that hears of changes must become those of one that has just read everything.

mod magento;
mod medusa;
mod prestashop;
mod woocommerce;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use toml::Table;

use super::databases::{ShopDatabase, blocks, outbox_section};
use crate::support::{RedisServer, eventually, service::Service};

/// A shop system with its triggers.
struct RecipeShop {
    database: ShopDatabase,
    config: Table,
    /// Listings with their variants and sorts.
    paths: &'static [&'static str],
    service: Service,
    _redis: RedisServer,
    pages: Vec<Vec<Value>>,
}

impl RecipeShop {
    /// `tables` makes the tables with some products, `triggers` is the recipe.
    async fn start(
        shop: &str,
        mut database: ShopDatabase,
        tables: &str,
        triggers: &str,
        paths: &'static [&'static str],
    ) -> Self {
        database.run(tables).await;
        database.run(triggers).await;
        let config = config(shop, &database.url);
        let redis = RedisServer::start();
        let service = start(&config, &redis);
        let pages = pages(&service, paths).await;
        assert!(pages.iter().all(|items| !items.is_empty()), "{pages:?}");
        Self {
            database,
            config,
            paths,
            service,
            _redis: redis,
            pages,
        }
    }

    /// A change that is to be seen on some page.
    async fn change(&mut self, sql: &str) {
        self.database.run(sql).await;
        let new = self.read_anew().await;
        assert_ne!(new, self.pages, "changes no page: {sql}");
        eventually(async || {
            let shown = pages(&self.service, self.paths).await;
            let differ = self.paths.iter().zip(shown.iter().zip(&new));
            match differ.into_iter().find(|(_, (shown, new))| shown != new) {
                None => Ok(()),
                Some((path, (shown, new))) => Err(format!("{sql}\n{path} has\n{shown:?}, and should have\n{new:?}")),
            }
        })
        .await;
        self.database.outbox_is_empty().await;
        self.pages = new;
    }

    /// Pages of a service that knows nothing yet.
    async fn read_anew(&self) -> Vec<Vec<Value>> {
        let mut config = self.config.clone();
        origin(&mut config).remove("changes");
        let redis = RedisServer::start();
        let service = start(&config, &redis);
        pages(&service, self.paths).await
    }
}

fn start(config: &Table, redis: &RedisServer) -> Service {
    let mut config = config.clone();
    config["redis"]["url"] = redis.url().into();
    Service::start(&config.to_string())
}

/// The shop's configuration as docs/shops.md has it, with the outbox and the names of the recipe.
fn config(shop: &str, url: &str) -> Table {
    let mut config: Table = blocks("shops.md", shop, "toml").parse().unwrap();
    // Only changes bring something new.
    config["defaults"] = "fresh_for = \"1h\"\nkeep_for = \"2h\"\npin_for = \"2h\""
        .parse::<Table>()
        .unwrap()
        .into();
    let section: Table = outbox_section().parse().unwrap();
    let of_shop = origin(&mut config);
    of_shop["url"] = url.into();
    of_shop.insert("changes".to_owned(), section["origins"]["shop"]["changes"].clone());
    let recipe: Table = blocks("changes.md", shop, "toml").parse().unwrap();
    let names = recipe["listings"].as_array().unwrap();
    let listings = config["listings"].as_array_mut().unwrap();
    assert_eq!(names.len(), listings.len(), "each pattern has its names");
    for listing in listings {
        let of_pattern = names.iter().find(|names| names["name"] == listing["name"]);
        let names_of = of_pattern.expect("a recipe for each pattern")["names_of"].clone();
        listing.as_table_mut().unwrap().insert("names_of".to_owned(), names_of);
    }
    config
}

fn origin(config: &mut Table) -> &mut Table {
    config["origins"]["shop"].as_table_mut().unwrap()
}

/// The items of some listings.
async fn pages(service: &Service, paths: &[&str]) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for path in paths {
        let path = format!("/v1/listings/{path}&limit=250");
        let items = eventually(async || {
            let answer = service.request(Method::GET, &path).send().await.unwrap();
            match answer.status() {
                StatusCode::NOT_FOUND => Ok(Vec::new()),
                // The first read takes its time.
                StatusCode::SERVICE_UNAVAILABLE => Err(answer.text().await.unwrap()),
                _ => {
                    let page: Value = answer.error_for_status().unwrap().json().await.unwrap();
                    Ok(page["items"].as_array().unwrap().clone())
                }
            }
        });
        all.push(items.await);
    }
    all
}
