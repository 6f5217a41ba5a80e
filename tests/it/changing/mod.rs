//! Changes: a shop says that items have changed, and exactly the listings that hold them follow.

mod apis;
mod asking;
mod changelog;
mod clock;
mod databases;
mod exactness;
mod gone;
mod histories;
mod hooks;
mod imports;
mod items;
mod kills;
mod narrowing;
mod outbox;
mod progress;
mod recall;
mod recipes;
mod reloads;
mod replay;
mod servers;
mod slow_reads;
mod transactions;
mod triggers;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::support::{RedisServer, eventually, service::Service};

/// The stored and mirrored sorts of the shop.
const SORTS: [&str; 4] = ["price", "name", "newest", "stock"];
const GROUPS: [i64; 2] = [0, 1];

/// A product: its offers are rows of their own, so an id may repeat.
#[derive(Clone, Debug, PartialEq)]
struct Product {
    name: Option<String>,
    offers: Vec<Option<i64>>,
    sold_out: bool,
    categories: BTreeSet<String>,
}

/// A shop with a database, and what it should show.
struct ChangingShop {
    directory: TempDir,
    database: SqliteConnection,
    products: BTreeMap<i64, Product>,
}

const SCHEMA: &str = "
    create table products (id integer primary key, name text, sold_out integer not null);
    create table offers (product_id integer, price_cents integer);
    create table product_category (product_id integer, category text);
    create index offers_of on offers (product_id);
    create index categories_of on product_category (product_id);";

impl ChangingShop {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(directory.path().join("shop.db"))
            .create_if_missing(true)
            .pragma("journal_mode", "wal");
        let mut database = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(SCHEMA).execute(&mut database).await.unwrap();
        Self {
            directory,
            database,
            products: BTreeMap::new(),
        }
    }

    /// With products of one offer each, the first ones in several categories.
    async fn with_products(count: i64, categories: &[&str]) -> Self {
        let mut shop = Self::new().await;
        shop.products = products(count, categories);
        let all: Vec<i64> = shop.products.keys().copied().collect();
        shop.write(&all).await;
        shop
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("shop.db")
    }

    /// Brings the database to what these products are, in one transaction.
    async fn write(&mut self, ids: &[i64]) {
        let mut changed = self.database.begin().await.unwrap();
        for id in ids {
            for table in [
                "products where id",
                "offers where product_id",
                "product_category where product_id",
            ] {
                let delete = format!("delete from {table} = {id}");
                sqlx::raw_sql(sqlx::AssertSqlSafe(delete))
                    .execute(&mut *changed)
                    .await
                    .unwrap();
            }
            let Some(product) = self.products.get(id) else { continue };
            let insert = sqlx::query("insert into products values (?, ?, ?)")
                .bind(id)
                .bind(&product.name);
            insert.bind(product.sold_out).execute(&mut *changed).await.unwrap();
            for offer in &product.offers {
                let insert = sqlx::query("insert into offers values (?, ?)").bind(id).bind(offer);
                insert.execute(&mut *changed).await.unwrap();
            }
            for category in &product.categories {
                let insert = sqlx::query("insert into product_category values (?, ?)")
                    .bind(id)
                    .bind(category);
                insert.execute(&mut *changed).await.unwrap();
            }
        }
        changed.commit().await.unwrap();
    }

    fn config(&self, redis: &RedisServer, extra: &str) -> String {
        config(redis, &format!("sqlite:{}", self.path().display()), extra)
    }

    /// The listing as an independent computation has it.
    fn expected(&self, category: &str, group: i64, sort: &str, desc: bool) -> Vec<(i64, Option<i64>)> {
        expected(&self.products, category, group, sort, desc)
    }
}

/// Products of one offer each, the first ones in several categories.
fn products(count: i64, categories: &[&str]) -> BTreeMap<i64, Product> {
    let product = |id: i64| {
        let at = usize::try_from(id).unwrap();
        let of = [categories[at % categories.len()], categories[at / 3 % categories.len()]];
        Product {
            name: Some(format!("product {}", id * 7919 % count)),
            offers: vec![Some(100 + id % 40)],
            sold_out: id % 9 == 0,
            categories: of.map(str::to_owned).into(),
        }
    };
    (1..=count).map(|id| (id, product(id))).collect()
}

/// The configuration of a shop, in whichever database it is.
fn config(redis: &RedisServer, url: &str, extra: &str) -> String {
    format!(
        r#"
            [redis]
            url = "{}"
            [defaults]
            fresh_for = "30d"
            keep_for = "60d"
            pin_for = "60d"
            {extra}
            [origins.shop]
            kind = "sql"
            url = "{url}"
            [[listings]]
            name = "category:{{category}}"
            origin = "shop"
            query = """
              select p.id, p.name, o.price_cents + cast(:grp as integer) * 10 as price_cents, p.sold_out
              from products p join offers o on o.product_id = p.id join product_category c on c.product_id = p.id
              where c.category = :category"""
            names_of = "select product_id as id, category from product_category"
            [listings.sorts]
            price = {{ by = ["price_cents"] }}
            name = {{ by = ["name desc", "price_cents"] }}
            newest = {{ by = ["id desc", "price_cents"], desc = false }}
            stock = {{ by = ["sold_out", "price_cents"], desc_by = ["sold_out", "price_cents desc"] }}
            [listings.variants]
            grp = ["0", "1"]
            "#,
        redis.url(),
    )
}

/// Ids and prices in their order.
fn expected(
    products: &BTreeMap<i64, Product>,
    category: &str,
    group: i64,
    sort: &str,
    desc: bool,
) -> Vec<(i64, Option<i64>)> {
    let of_category = products
        .iter()
        .filter(|(_, product)| product.categories.contains(category));
    let mut rows: Vec<(i64, Option<i64>, &Product)> = of_category
        .flat_map(|(id, product)| {
            let price = move |offer: &Option<i64>| offer.map(|price| price + 10 * group);
            product.offers.iter().map(move |offer| (*id, price(offer), product))
        })
        .collect();
    // Nulls come last, whichever way a column is sorted.
    let up = |value: Option<i64>| (value.is_none(), value);
    let down = |value: Option<i64>| (value.is_none(), value.map(|value| -value));
    match (sort, desc) {
        ("price", _) => rows.sort_by_key(|(id, price, _)| (up(*price), *id)),
        ("newest", _) => rows.sort_by_key(|(id, price, _)| (-id, up(*price))),
        ("name", _) => rows.sort_by(|(a, price_a, one), (b, price_b, other)| {
            let by_name = (one.name.is_none(), &other.name).cmp(&(other.name.is_none(), &one.name));
            by_name.then((up(*price_a), a).cmp(&(up(*price_b), b)))
        }),
        ("stock", false) => rows.sort_by_key(|(id, price, product)| (product.sold_out, up(*price), *id)),
        _ => rows.sort_by_key(|(id, price, product)| (product.sold_out, down(*price), *id)),
    }
    if desc && matches!(sort, "price" | "name") {
        rows.reverse();
    }
    rows.into_iter().map(|(id, price, _)| (id, price)).collect()
}

/// Ids and prices of a whole listing.
async fn shown(service: &Service, category: &str, group: i64, sort: &str, desc: bool) -> Vec<(i64, Option<i64>)> {
    let order = if desc { "desc" } else { "asc" };
    let path = format!("/v1/listings/category:{category}?grp={group}&sort={sort}&order={order}&limit=250");
    let mut rows = Vec::new();
    let mut next = Some(path);
    while let Some(path) = next {
        let answer = service.request(Method::GET, &path).send().await.unwrap();
        if answer.status() == StatusCode::NOT_FOUND {
            return Vec::new();
        }
        let page: Value = answer.error_for_status().unwrap().json().await.unwrap();
        for item in page["items"].as_array().unwrap() {
            rows.push((item["id"].as_i64().unwrap(), item["price_cents"].as_i64()));
        }
        next = page["links"]["next"].as_str().map(str::to_owned);
    }
    rows
}

/// Tells of changes, and waits until they are worked off.
async fn tell(service: &Service, changes: Value) -> Value {
    // Where Redis is late, on a machine that does much else, they are sent again.
    let (status, body) = eventually(async || {
        let request = service.admin(Method::POST, "/v1/changes?wait=true").json(&changes);
        let answer = request.send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        match status {
            StatusCode::SERVICE_UNAVAILABLE => Err(body),
            _ => Ok((status, body)),
        }
    })
    .await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).unwrap()
}

fn of_ids<'a>(ids: impl IntoIterator<Item = &'a i64>) -> Value {
    ids.into_iter().map(|id| json!({ "id": id })).collect()
}

/// Every listing of some categories shows what it should, on a node.
async fn check_all(service: &Service, shop: &ChangingShop, categories: &[&str]) {
    check_all_of(service, &shop.products, categories).await;
}

async fn check_all_of(service: &Service, products: &BTreeMap<i64, Product>, categories: &[&str]) {
    for category in categories {
        for (group, sort, desc) in orders() {
            eventually(async || {
                let (shown, expected) = (
                    shown(service, category, group, sort, desc).await,
                    expected(products, category, group, sort, desc),
                );
                let differs = (0..)
                    .zip(shown.iter().zip(&expected))
                    .find(|(_, (one, other))| one != other);
                match shown == expected {
                    true => Ok(()),
                    false => Err((
                        category,
                        group,
                        sort,
                        desc,
                        shown.len(),
                        expected.len(),
                        differs.map(|(at, _)| at),
                    )),
                }
            })
            .await;
        }
    }
}

fn orders() -> impl Iterator<Item = (i64, &'static str, bool)> {
    let sorts = SORTS.into_iter().flat_map(|sort| [(sort, false), (sort, true)]);
    let sorts = sorts.filter(|order| *order != ("newest", true));
    sorts.flat_map(|(sort, desc)| GROUPS.map(|group| (group, sort, desc)))
}
