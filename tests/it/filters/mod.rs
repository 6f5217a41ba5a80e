//! Filters: pages, totals and counts of any combination, held against a plain filter of the rows; and all that a page has around it.

mod asking;
mod catalogue;
mod changes;
mod crawler;

use std::{fs, io::Read, path::Path, sync::LazyLock};

use flate2::read::GzDecoder;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::support::{RedisServer, service::Service};

/// A product, as far as the tests filter and sort by it.
#[derive(Clone, Debug)]
struct Product {
    id: i64,
    brand: String,
    kind: String,
    price: i64,
    json: String,
}

/// The demo's catalogue.
static PRODUCTS: LazyLock<Vec<Product>> = LazyLock::new(|| {
    let packed = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/catalogue.ndjson.gz")).unwrap();
    let mut lines = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut lines).unwrap();
    lines.lines().map(Product::of).collect()
});

impl Product {
    fn of(json: &str) -> Self {
        let product: Value = serde_json::from_str(json).unwrap();
        let text = |name: &str| product[name].as_str().unwrap_or_default().to_owned();
        Self {
            id: product["id"].as_i64().unwrap(),
            brand: text("brand"),
            kind: text("type"),
            price: product["price_cents"].as_i64().unwrap(),
            json: json.to_owned(),
        }
    }

    fn with_price(&self, price: i64) -> Self {
        let mut product: Value = serde_json::from_str(&self.json).unwrap();
        product["price_cents"] = price.into();
        Self::of(&product.to_string())
    }
}

const FILTERS: &str = r#"
[listings.filters]
brand = {}
kind = { at = "type" }
price_cents = { range = true, steps = [100, 500, 1000] }
"#;

/// A service whose listing `all` has the products of a file.
struct Shop {
    redis: RedisServer,
    service: Service,
    directory: tempfile::TempDir,
}

impl Shop {
    /// With these products, and filters.
    fn start(products: &[Product]) -> Self {
        Self::start_with(products, "", FILTERS)
    }

    fn start_with(products: &[Product], extra: &str, filters: &str) -> Self {
        let (redis, directory) = (RedisServer::start(), tempfile::tempdir().unwrap());
        write(directory.path(), products);
        let service = Service::start(&config(&redis, directory.path(), extra, filters));
        Self {
            redis,
            service,
            directory,
        }
    }

    fn config(&self, filters: &str) -> String {
        config(&self.redis, self.directory.path(), "", filters)
    }

    /// The file has other products from here on.
    fn replace(&self, products: &[Product]) {
        write(self.directory.path(), products);
    }

    async fn refresh(&self) {
        let refresh = self.service.admin(Method::POST, "/v1/listings/all/refresh?wait=true");
        let answer = refresh.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    async fn answer(&self, path: &str) -> Response {
        self.service.request(Method::GET, path).send().await.unwrap()
    }

    async fn page(&self, path: &str) -> Value {
        let answer = self.answer(path).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Reads of origins so far.
    async fn reads(&self) -> f64 {
        self.service.metric("listcache_origin_reads_total").await
    }

    /// The keys in Redis, without those that count reads of listings, and without roles, which a node takes soon after its start.
    fn keys(&self) -> Vec<String> {
        let mut keys = self.redis.cli_lines(&["KEYS", "*"]);
        keys.retain(|key| !key.ends_with(":reads") && !key.ends_with(":popular") && !key.contains(":role:"));
        keys.sort();
        keys
    }
}

/// Whole or not at all: a file that is written to while it is read is refused.
fn write(directory: &Path, products: &[Product]) {
    let lines: String = products.iter().map(|product| format!("{}\n", product.json)).collect();
    fs::write(directory.join("next.ndjson"), lines).unwrap();
    fs::rename(directory.join("next.ndjson"), directory.join("shop.ndjson")).unwrap();
}

fn config(redis: &RedisServer, directory: &Path, extra: &str, filters: &str) -> String {
    format!(
        r#"
        {extra}
        [redis]
        url = "{}"
        [defaults]
        fresh_for = "1h"
        keep_for = "2h"
        pin_for = "2h"
        [origins.shop]
        kind = "file"
        path = "{}/shop.ndjson"
        [[listings]]
        name = "all"
        origin = "shop"
        {filters}
        [listings.sorts]
        price = {{ by = ["price_cents"] }}
        name = {{ by = ["name"] }}
        [pushed]
        names = ["promo:*"]
        [pushed.filters."promo:shoes*"]
        brand = {{}}
        "#,
        redis.url(),
        directory.display()
    )
}

fn ids(page: &Value) -> Vec<i64> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_i64().unwrap()).collect()
}
