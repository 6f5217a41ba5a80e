//! The real catalogue, most ordered first: early in a warm-up most requests hit already.

use std::path::Path;

use listcache::origin::SampleCatalogue;
use reqwest::StatusCode;

use super::*;
use crate::{catalogue::catalogue_file, support::service::Service};

/// Orders a category: as recorded, where the data lie beside the project, else the sum of its products'.
async fn orders(database: &Path) -> Vec<(String, u64)> {
    let recorded = catalogue_file().with_file_name("grocery-category-orders.csv");
    if recorded.exists() {
        let mut rows = csv::Reader::from_path(recorded).unwrap();
        let rows = rows.records().map(|row| row.unwrap());
        return rows.map(|row| (row[0].to_owned(), row[1].parse().unwrap())).collect();
    }
    use sqlx::{Connection, Row};
    let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{}", database.display()))
        .await
        .unwrap();
    let query =
        "select category, sum(orders) from products where category is not null group by category order by 2 desc";
    let rows = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get::<i64, _>(1) as u64))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_third_is_done_four_fifths_of_the_requests_hit() {
    const REQUESTS: u64 = 3000;
    let redis = RedisServer::start();
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("catalogue.db");
    SampleCatalogue::create_from(&database, &fs::read(catalogue_file()).unwrap())
        .await
        .unwrap();
    let orders = orders(&database).await;
    let popularity = directory.path().join("orders.csv");
    let mut writer = csv::Writer::from_path(&popularity).unwrap();
    writer.write_record(["product_category", "orders"]).unwrap();
    for (category, count) in &orders {
        writer.write_record([category.as_str(), &count.to_string()]).unwrap();
    }
    writer.flush().unwrap();
    let file = directory.path().join("listcache.toml");
    let config = format!(
        r#"
        [http]
        fill_wait = "0s"
        [redis]
        url = "{}"
        read_timeout = "2s"
        [defaults]
        fresh_for = "1h"
        keep_for = "2h"
        pin_for = "2h"
        [origins.shop]
        kind = "sql"
        url = "sqlite:{}"
        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        names = "select distinct category from products where category is not null order by category"
        query = "select *, list_cents - price_cents as discount from products where category = :category"
        [listings.sorts]
        price = {{ by = ["price_cents"] }}
        list_price = {{ by = ["list_cents"] }}
        name = {{ by = ["name"] }}
        popularity = {{ by = ["orders desc"] }}
        newest = {{ by = ["first_sold desc"] }}
        discount = {{ by = ["discount desc"] }}
        "#,
        redis.url(),
        database.display()
    );
    fs::write(&file, &config).unwrap();

    let shop = Shop {
        redis,
        api: Api::start(|_| ApiAnswer::status(404)),
        directory,
    };
    let popularity = popularity.to_str().unwrap();
    let mut warmer = shop.begin(&["--popularity", popularity, "--concurrency", "2"]);
    let begun = warmer.next().unwrap();
    let names = begun["of"].as_u64().unwrap();
    warmer.until_done(names / 3);
    warmer.kill();

    // The origin goes away: what is not warm by now is 503.
    fs::rename(&database, database.with_extension("away")).unwrap();
    let service = Service::start(&config);
    let sum: u64 = orders.iter().map(|(_, count)| count).sum();
    let (mut hits, mut all, mut warm, mut before) = (0, 0, 0, 0);
    let client = reqwest::Client::new();
    for (category, count) in &orders {
        // Every so many orders one request: no category is asked for more often than its orders say. In all its sorts.
        let requests = (before + count) * REQUESTS / sum - before * REQUESTS / sum;
        before += count;
        all += requests;
        let sorts = ["price", "list_price", "name", "popularity", "newest", "discount"];
        let mut hit = 0;
        for request in 0..requests {
            let mut url = reqwest::Url::parse(&service.url("/v1/listings/")).unwrap();
            url.path_segments_mut()
                .unwrap()
                .pop_if_empty()
                .push(&format!("category:{category}"));
            url.query_pairs_mut()
                .append_pair("sort", sorts[request as usize % sorts.len()]);
            hit += u64::from(client.get(url).send().await.unwrap().status() == StatusCode::OK);
        }
        hits += hit;
        warm += u64::from(hit > 0);
    }
    let rate = hits as f64 / all as f64;
    eprintln!(
        "{warm} of {names} names warm: {hits} of {all} requests hit, {:.1} %",
        rate * 100.0
    );
    // Two more may have ended before the kill.
    assert!(warm <= names / 3 + 2, "{warm} of {names}");
    assert!(rate >= 0.8, "{rate}");
}
