//! Packed chunks: a fifth of the memory, and no page depends on a dictionary that may be lost.

use std::sync::Arc;

use listcache::{
    engine::{Engine, EngineError, Place},
    listing::{Codec, Head, Item, ItemId, ListingKey, ListingName},
    store::Store,
};

use crate::support::{
    RedisServer, eventually,
    shop::{self, ScriptedOrigin, definition, definitions, engine, name, page, place, texts},
};

/// A shop of large categories, a node that fills them, and a look into Redis.
struct Packed {
    redis: RedisServer,
    origin: Arc<ScriptedOrigin>,
    node: Arc<Engine>,
    store: Store,
}

/// Items like a shop's: the same members, other values.
fn items(count: u64, revision: u64) -> Vec<Item> {
    let words = [
        "rye", "wheat", "spelt", "oat", "organic", "sliced", "whole", "dark", "soft", "crusty",
    ];
    let word = |number: u64| words[(number % 10) as usize];
    let json = |id: u64| {
        format!(
            r#"{{"id":{id},"name":"{} {} bread {}","brand":"Bakery {}","price_cents":{},"image":"https://cdn.example/products/{}.webp","in_stock":{},"rating":{}.{},"revision":{revision}}}"#,
            word(id),
            word(id / 7 + 3),
            id * 7919 % 997,
            id % 23,
            id * 104_729 % 5000 + 99,
            id * 1_299_709 % 1_000_003,
            !id.is_multiple_of(5),
            id % 5,
            id % 10,
        )
    };
    let item = |id: u64| Item {
        id: ItemId::parse(&id.to_string()).unwrap(),
        json: json(id).into(),
    };
    (0..count).map(item).collect()
}

fn all_texts(items: &[Item]) -> Vec<String> {
    let text = |item: &Item| String::from_utf8(item.json.to_vec()).unwrap();
    items.iter().map(text).collect()
}

fn key(name: &ListingName) -> ListingKey {
    ListingKey::parse(&format!("{name}/price")).unwrap()
}

impl Packed {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let origin = ScriptedOrigin::new(items(600, 0));
        let node = engine(&redis.url(), &origin, definitions(vec![definition(shop::policy())])).await;
        let store = shop::store(&redis.url()).await;
        Self {
            redis,
            origin,
            node,
            store,
        }
    }

    async fn head(&self, name: &ListingName) -> Head {
        self.store.heads.read(&key(name)).await.unwrap().live().unwrap().clone()
    }

    /// The first category that is packed with a dictionary; those before it have taught the node what its items are like.
    async fn with_dictionary(&self) -> (ListingName, Head) {
        let mut number = 0;
        eventually(async || {
            number += 1;
            let category = name(&format!("category:c{number}"));
            page(&self.node, &category, &place(0, 24)).await.unwrap();
            let head = self.head(&category).await;
            match head.codec {
                Codec::Packed { dictionary: Some(_) } => Ok((category, head)),
                other => Err(other),
            }
        })
        .await
    }

    fn dictionary_key(&self) -> String {
        let keys = self.redis.cli_lines(&["--scan", "--pattern", "*:dict:*"]);
        keys.into_iter().next().unwrap()
    }

    async fn stranger(&self) -> Arc<Engine> {
        engine(
            &self.redis.url(),
            &self.origin,
            definitions(vec![definition(shop::policy())]),
        )
        .await
    }

    fn bytes(&self, head: &Head, name: &ListingName) -> u64 {
        let stream = self.store.pages.stream_key(&key(name), head.generation);
        self.redis
            .cli(&["MEMORY", "USAGE", &stream, "SAMPLES", "0"])
            .parse()
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_packed_with_a_dictionary_that_any_node_finds() {
    let shop = Packed::start().await;
    let (category, head) = shop.with_dictionary().await;
    let json: usize = items(600, 0).iter().map(|item| item.json.len()).sum();
    let packed = shop.bytes(&head, &category);
    assert!(packed * 4 < json as u64, "{packed} bytes for {json} of JSON");
    let first = name("category:c1");
    let without = shop.bytes(&shop.head(&first).await, &first);
    assert!(packed < without, "{packed} with a dictionary, {without} without");
    // Another node reads it, and its deltas.
    let stranger = shop.stranger().await;
    let read = page(&stranger, &category, &place(0, 1000)).await.unwrap();
    assert_eq!(texts(&read), all_texts(&items(600, 0)));
    let mut all = items(600, 0);
    all[77] = items(600, 1)[77].clone();
    *shop.origin.items.lock() = all.clone();
    shop::fill(&shop.node, &category).await.unwrap();
    let delta = shop.head(&category).await;
    assert_eq!(delta.codec, head.codec);
    assert_eq!(delta.delta.unwrap().base, head.generation);
    let read = page(&shop.stranger().await, &category, &place(0, 1000)).await.unwrap();
    assert_eq!(texts(&read), all_texts(&all));
    // It lives as long as what needs it.
    let left: u64 = shop.redis.cli(&["PTTL", &shop.dictionary_key()]).parse().unwrap();
    let policy = shop::policy();
    assert!(u128::from(left) > policy.keep_for.as_millis(), "{left} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dictionary_that_is_lost_is_a_refill_or_put_back_and_never_a_wrong_page() {
    for lost in ["UNLINK", "SET garbage", "SET another"] {
        let shop = Packed::start().await;
        let (category, head) = shop.with_dictionary().await;
        let dictionary = shop.dictionary_key();
        let kept = shop.redis.cli(&["PTTL", &dictionary]);
        assert_ne!(kept, "-2");
        match lost {
            "UNLINK" => shop.redis.cli(&["UNLINK", &dictionary]),
            "SET garbage" => shop.redis.cli(&["SET", &dictionary, "garbage"]),
            _ => shop.redis.cli(&["SET", &dictionary, &"0123456789abcdef".repeat(200)]),
        };
        let pinned = Place::Offset {
            offset: 0,
            limit: 24.try_into().unwrap(),
            pinned: Some(head.generation),
        };
        // For a node that knows nothing of it, what it packed is gone.
        let old = page(&shop.stranger().await, &category, &pinned).await;
        assert!(matches!(old, Err(EngineError::Gone)), "{lost}: {old:?}");
        let now = page(&shop.stranger().await, &category, &place(0, 1000)).await.unwrap();
        assert_eq!(texts(&now), all_texts(&items(600, 0)), "{lost}");
        // The node that knows it puts it back with what it writes next.
        shop.redis.cli(&["UNLINK", &dictionary]);
        let other = name("category:other");
        page(&shop.node, &other, &place(0, 24)).await.unwrap();
        let read = page(&shop.stranger().await, &other, &place(0, 1000)).await.unwrap();
        assert_eq!(texts(&read), all_texts(&items(600, 0)), "{lost}");
    }
}
