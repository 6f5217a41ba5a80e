//! The configuration is read again while changes are under way: none is lost.

use std::collections::BTreeSet;

use fastrand::Rng;
use reqwest::{Method, StatusCode};

use super::{ChangingShop, check_all, of_ids, outbox::TRIGGERS, progress::Progress};
use crate::support::{RedisServer, eventually, service::Service};

const CATEGORIES: [&str; 2] = ["a", "b"];
const PRODUCTS: i64 = 60;
const ROUNDS: usize = 24;

/// Listings that some configurations have.
const ALSO: &str = r#"
            [[listings]]
            name = "also:{category}"
            origin = "shop"
            query = """
              select p.id, o.price_cents from products p join offers o on o.product_id = p.id
              join product_category c on c.product_id = p.id where c.category = :category"""
            names_of = "select product_id as id, category from product_category"
            [listings.sorts]
            price = { by = ["price_cents"] }
"#;

/// Configurations that follow one another: with and without the other listings, and with another name of the origin.
fn configuration(base: &str, round: usize) -> String {
    let also = if has_also(round) { ALSO } else { "" };
    let config = format!("{base}{also}");
    match round % 4 {
        2 | 3 => config
            .replace("[origins.shop", "[origins.store")
            .replace("origin = \"shop\"", "origin = \"store\""),
        _ => config,
    }
}

fn has_also(round: usize) -> bool {
    round % 2 == 1
}

async fn status(service: &Service) -> StatusCode {
    let page = service
        .request(Method::GET, "/v1/listings/also:a")
        .send()
        .await
        .unwrap();
    page.status()
}

/// Changes some products, and returns which.
async fn change(shop: &mut ChangingShop, random: &mut Rng) -> Vec<i64> {
    let ids: BTreeSet<i64> = (0..random.usize(1..5)).map(|_| random.i64(1..=PRODUCTS)).collect();
    for id in &ids {
        let product = shop.products.get_mut(id).unwrap();
        product.offers = vec![Some(random.i64(80..200))];
        if random.u8(..4) == 0 {
            product.categories = [CATEGORIES[random.usize(..2)].to_owned()].into();
        }
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    shop.write(&ids).await;
    ids
}

/// The other listings are what they should be.
async fn check_also(service: &Service, shop: &ChangingShop) {
    for category in CATEGORIES {
        eventually(async || {
            let path = format!("/v1/listings/also:{category}?limit=250");
            let page = service.request(Method::GET, &path).send().await.unwrap();
            let page: serde_json::Value = page.json().await.unwrap();
            let items = page["items"].as_array().cloned().unwrap_or_default().into_iter();
            let shown: Vec<_> = items
                .map(|item| (item["id"].as_i64().unwrap(), item["price_cents"].as_i64()))
                .collect();
            let expected = shop.expected(category, 0, "price", false);
            let differs = shown.iter().zip(&expected).find(|(one, other)| one != other);
            match shown == expected {
                true => Ok(()),
                false => Err((
                    category,
                    shown.len(),
                    expected.len(),
                    differs.map(|(one, other)| (*one, *other)),
                )),
            }
        })
        .await;
    }
}

/// `report` tells the service of products where nothing else does.
async fn changes_survive_reloads(shop: &mut ChangingShop, redis: &RedisServer, base: &str, posts: bool) {
    let service = Service::start(&configuration(base, 0));
    check_all(&service, shop, &CATEGORIES).await;
    let mut random = Rng::with_seed(21);
    let report = async |ids: &[i64]| {
        if posts {
            let post = service.admin(Method::POST, "/v1/changes").json(&of_ids(ids));
            assert_eq!(post.send().await.unwrap().status(), StatusCode::ACCEPTED);
        }
    };
    for round in 1..=ROUNDS {
        let before = change(shop, &mut random).await;
        report(&before).await;
        service.reconfigure(&configuration(base, round));
        let after = change(shop, &mut random).await;
        report(&after).await;
        let expect = if has_also(round) {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        eventually(async || match status(&service).await {
            status if status == expect => Ok(()),
            status => Err(status),
        })
        .await;
        if random.u8(..3) == 0 {
            check_all(&service, shop, &CATEGORIES).await;
        }
        if has_also(round) {
            check_also(&service, shop).await;
        }
    }
    if !posts {
        shop.empty_outbox().await;
    }
    Progress::of(redis).are_worked_off().await;
    check_all(&service, shop, &CATEGORIES).await;
    let other = Service::start(&configuration(base, ROUNDS));
    check_all(&other, shop, &CATEGORIES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_posted_while_the_configuration_is_read_again_are_not_lost() {
    let mut shop = ChangingShop::with_products(PRODUCTS, &CATEGORIES).await;
    let redis = RedisServer::start();
    let base = shop.config(&redis, "");
    changes_survive_reloads(&mut shop, &redis, &base, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_outbox_that_are_written_while_the_configuration_is_read_again_are_not_lost() {
    let mut shop = ChangingShop::with_products(PRODUCTS, &CATEGORIES).await;
    sqlx::raw_sql(TRIGGERS).execute(&mut shop.database).await.unwrap();
    let redis = RedisServer::start();
    let base = shop.config_with_outbox(&redis);
    changes_survive_reloads(&mut shop, &redis, &base, false).await;
}
