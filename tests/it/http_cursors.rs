//! Cursors that no link ever held.

use listcache::listing::{Cursor, ListingKey, Order};
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    redis_server::RedisServer,
    service::{Service, Shop},
};

const BREAD: &str = "/v1/listings/category:BREAD";

/// Anybody can make a cursor: its check sum is no secret. It must neither ask for more than others may, nor say anything
/// of a generation to those who come after.
#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_cursor_harms_nobody() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), ""));
    let get = async |path: &str| service.request(Method::GET, path).send().await.unwrap();
    let page_of = async |path: &str| -> Value {
        let response = get(path).await.error_for_status().unwrap();
        response.json().await.unwrap()
    };
    let page = page_of(&format!("{BREAD}?limit=5")).await;
    let generation = page["generation"].as_str().unwrap();
    let key = ListingKey::parse("category:BREAD/price?currency=EUR").unwrap();
    let cursor = Cursor {
        generation: generation.parse().unwrap(),
        offset: 0,
        limit: 5.try_into().unwrap(),
        order: Order::Asc,
        total: 30,
        chunk_len: 12.try_into().unwrap(),
    };
    let url = |cursor: &Cursor| format!("{BREAD}?cursor={}", cursor.encode(&key));
    let huge = Cursor {
        limit: 1_000_000.try_into().unwrap(),
        ..cursor.clone()
    };
    let refused = get(&url(&huge)).await;
    assert_eq!(refused.status(), 400);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["errors"][0]["parameter"], "cursor");
    // Its numbers have the bound that they have in a URL: they come back in bodies and links.
    for beyond in [(0, 1 << 53), (1 << 53, 1 << 53), (u64::MAX, u64::MAX)] {
        let (offset, total) = beyond;
        let refused = get(&url(&Cursor {
            offset,
            total,
            ..cursor.clone()
        }))
        .await;
        assert_eq!(refused.status(), 400, "{beyond:?}");
    }

    // The generation is replaced: what is known of it is what was said of it.
    shop.sql("update products set price_cents = 1 where id = 1").await;
    let refresh = service.admin(Method::POST, &format!("{BREAD}/refresh?wait=true"));
    refresh.send().await.unwrap().error_for_status().unwrap();
    let forged = Cursor {
        total: 3000,
        ..cursor.clone()
    };
    get(&url(&forged)).await;
    let pinned = page_of(&format!("{BREAD}?limit=5&generation={generation}")).await;
    assert_eq!(pinned["total"], 30);
    assert_eq!(pinned, page);
    assert_eq!(page_of(&url(&cursor)).await, page);
}
