//! Cursors that no link ever held.

use futures_util::{FutureExt, future::join_all};
use listcache::{
    engine::{EngineError, Place},
    listing::{Cursor, ListingKey, Order},
};
use reqwest::Method;
use serde_json::Value;

use crate::support::{
    Proxy, eventually,
    proxy::Turn,
    redis_server::RedisServer,
    service::{Service, Shop},
    shop::{self, ScriptedOrigin, definitions, engine, items, page, place, push, select},
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
        filters: 0,
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

/// A forged cursor is 410 for its own client. Clients that follow good links to the same chunks at the same time get their
/// pages, whoever began to read first; and a replaced generation says only once what shape it has.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_cursor_that_comes_first_spoils_no_good_link() {
    const TOTAL: u64 = 60;
    const GOOD: usize = 99;
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis.url());
    let origin = ScriptedOrigin::new(Vec::new());
    let writer = engine(&redis.url(), &origin, definitions(Vec::new())).await;
    let name = shop::name("pushed:x");
    let generation = push(&writer, &name, items(TOTAL, 0)).await.unwrap();
    push(&writer, &name, items(TOTAL, 1)).await.unwrap();
    let node = engine(&proxy.url(), &origin, definitions(Vec::new())).await;
    page(&node, &name, &place(0, 12)).await.unwrap();
    let selection = select(&node, &name, Order::Asc).await.unwrap();
    let cursor = |offset, chunk_len: u32, total| {
        let cursor = Cursor {
            generation,
            offset,
            limit: 12.try_into().unwrap(),
            order: Order::Asc,
            total,
            chunk_len: chunk_len.try_into().unwrap(),
            filters: 0,
        };
        Place::Cursor(cursor.encode(&selection.key))
    };
    let described = || {
        // A pinned page reads the head; one that asks more reads the sidecar too.
        let turns = proxy.turns();
        let reads = |turn: &&Turn| turn.commands.iter().filter(|name| *name == "HMGET").count() > 1;
        turns.iter().filter(reads).count()
    };

    // Whatever is asked for now is under way together.
    proxy.mute(true);
    // Chunks of other lengths, so chosen that the page lies in the same one; and another number of items.
    let forged = [cursor(11, 11, TOTAL), cursor(13, 13, TOTAL), cursor(12, 12, TOTAL - 1)];
    let good = cursor(12, 12, TOTAL);
    let ask = |place| Box::pin(page(&node, &name, place));
    let mut asking: Vec<_> = forged.iter().map(ask).collect();
    asking.extend((0..GOOD).map(|_| ask(&good)));
    for asking in &mut asking {
        assert!(asking.now_or_never().is_none());
    }
    proxy.mute(false);
    let mut answers = join_all(asking).await;
    for answer in answers.drain(..forged.len()) {
        assert!(matches!(answer, Err(EngineError::Gone)), "{answer:?}");
    }
    for answer in answers {
        let page = answer.expect("a good link");
        assert_eq!(
            (page.count, page.meta.total, page.meta.generation),
            (12, TOTAL, generation)
        );
    }
    let described_before = described();
    assert!((1..=4).contains(&described_before), "{described_before} times");
    for offset in [0, 24, 48] {
        assert_eq!(page(&node, &name, &cursor(offset, 12, TOTAL)).await.unwrap().count, 12);
    }
    assert_eq!(described(), described_before, "the shape is known");
}

/// A pin that ends before its time, for too much was kept, has ended for good: L1 remembered it for longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_was_410_stays_410() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let few = "[l1]\nttl = \"50ms\"\n[defaults]\npinned_bytes_max = \"1KiB\"\n";
    let service = Service::start(&shop.config(&redis.url(), few));
    let put = async |price: u32| {
        let put = service.admin(Method::PUT, "/v1/listings/promo:a");
        let items = serde_json::json!([{"id": 1, "price": price}, {"id": 2}, {"id": 3}]);
        put.json(&items).send().await.unwrap().error_for_status().unwrap();
    };
    let get = async |path: &str| service.request(Method::GET, path).send().await.unwrap();
    put(0).await;
    let page: Value = get("/v1/listings/promo:a?size=1").await.json().await.unwrap();
    let next = page["links"]["next"].as_str().unwrap();
    put(1).await;
    assert_eq!(get(next).await.status(), 200);
    for price in 2..20 {
        put(price).await;
    }
    eventually(async || match get(next).await.status().as_u16() {
        410 => Ok(()),
        other => Err(other),
    })
    .await;
    for _ in 0..20 {
        assert_eq!(get(next).await.status(), 410);
    }
}
