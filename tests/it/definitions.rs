//! What a configuration declares, on a real database: parameters, variants, sorts with their descending orders;
//! and what becomes of kept listings when the declarations change.

mod asked;
mod names;
mod shops;

use std::{sync::Arc, time::Duration};

use listcache::{
    config::Sources,
    engine::{Asked, Engine, EngineError, EngineLimits, EngineParts, Page, PageState, Place, Shrink},
    listing::{Cursor, Order, SortName},
    origin::Origins,
    telemetry::Metrics,
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::support::{
    RedisServer, all_the_while, eventually,
    shop::{self, place, texts},
};

/// A database and a Redis, for one engine after another.
struct World {
    redis: RedisServer,
    directory: TempDir,
}

const PRODUCTS: &str = "
    create table products (id integer primary key, category text, brand text, currency text, price integer, sold_out integer, note text);
    insert into products values
        (1, 'BREAD', 'A', 'EUR', 300, 0, 'b'), (2, 'BREAD', 'B', 'EUR', 100, 1, null), (10, 'BREAD', 'A', 'EUR', 200, 0, 'a'),
        (9, 'BREAD', 'B & C', 'EUR', 200, 0, null), (11, 'BREAD', 'A', 'USD', 900, 0, 'c'), (12, 'MILK:WHOLE', 'A', 'EUR', 50, 0, 'd');";

const LISTINGS: &str = r#"
[[listings]]
name = "category:{category}"
origin = "shop"
names = "select distinct category from products union select 'EMPTY'"
query = "select id, brand, price, sold_out, note from products where category = :category and currency = :currency"
chunk_len = 2
[listings.sorts]
price = { by = ["price"] }
in_stock = { by = ["sold_out", "price"], desc_by = ["sold_out", "price desc"] }
note = { by = ["note"], desc_by = ["note desc"] }
rank = { by = ["id"], desc = false }
[listings.variants]
currency = ["USD", "EUR"]
[listings.filters]
brand = {}

[[listings]]
name = "shelf:{category}:{brand}"
origin = "shop"
names = "select distinct category, brand from products"
query = "select id from products where category = :category and brand = :brand"
[listings.sorts]
rank = { by = ["id"] }

[[listings]]
name = "any:{category}"
origin = "shop"
query = "select id from products where category = :category"
[listings.sorts]
rank = { by = ["id"] }
"#;

impl World {
    async fn new() -> Self {
        let world = Self {
            redis: RedisServer::start(),
            directory: TempDir::new().unwrap(),
        };
        world.sql(PRODUCTS).await;
        world
    }

    async fn sql(&self, statements: &'static str) {
        let options = SqliteConnectOptions::new()
            .filename(self.directory.path().join("shop.db"))
            .create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A node that runs with these listings declared.
    async fn node(&self, listings: &str) -> Arc<Engine> {
        let database = self.directory.path().join("shop.db");
        let text = format!(
            "[origins.shop]\nkind = \"sql\"\nurl = \"sqlite:{}\"\n{listings}",
            database.display()
        );
        let config = Sources::default().load_text(&text).unwrap();
        Engine::start(EngineParts {
            cdns: Vec::new(),
            store: shop::store(&self.redis.url()).await,
            origins: Origins::open(&config.origins).unwrap(),
            definitions: config.definitions,
            l1: shop::l1(),
            limits: EngineLimits {
                fill_wait: Duration::from_secs(20),
                ..EngineLimits::default()
            },
            metrics: Arc::new(Metrics::new()),
            refreshes_due: false,
        })
    }
}

/// A page by sort, order and choices.
async fn ask(
    node: &Arc<Engine>,
    name: &str,
    (sort, order): (&str, Order),
    choices: &[(&str, &str)],
) -> Result<Page, EngineError> {
    let asked = Asked {
        sort: Some(sort),
        order,
        choices: choices.to_vec(),
        ..Asked::default()
    };
    let selection = node.pages.selector.select(&shop::name(name), asked).await?;
    shop::read(node, &selection, &place(0, 100)).await
}

fn ids(page: &Page) -> Vec<u64> {
    texts(page)
        .iter()
        .map(|text| {
            serde_json::from_str::<serde_json::Value>(text).unwrap()["id"]
                .as_u64()
                .unwrap()
        })
        .collect()
}

const EUR: &[(&str, &str)] = &[("currency", "EUR")];

#[tokio::test(flavor = "multi_thread")]
async fn sorts_have_the_descending_order_that_they_declare() {
    use Order::{Asc, Desc};
    let world = World::new().await;
    let node = world.node(LISTINGS).await;
    for (sort, order, expect) in [
        // Ties by id as a number; descending is the same backwards.
        ("price", Asc, [2, 9, 10, 1]),
        ("price", Desc, [1, 10, 9, 2]),
        // Streams of their own: sold out and missing come last both ways.
        ("in_stock", Asc, [9, 10, 1, 2]),
        ("in_stock", Desc, [1, 9, 10, 2]),
        ("note", Asc, [10, 1, 2, 9]),
        ("note", Desc, [1, 10, 2, 9]),
        ("rank", Asc, [1, 2, 9, 10]),
    ] {
        let page = ask(&node, "category:BREAD", (sort, order), EUR).await.unwrap();
        assert_eq!(ids(&page), expect, "{sort} {order:?}");
    }
    let refused = ask(&node, "category:BREAD", ("rank", Desc), EUR).await;
    let Err(EngineError::Invalid(errors)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(errors[0].parameter, "order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_stays_in_the_stream_it_is_of() {
    let world = World::new().await;
    let node = world.node(LISTINGS).await;
    for (sort, order) in [
        ("in_stock", Order::Desc),
        ("price", Order::Desc),
        ("in_stock", Order::Asc),
    ] {
        let whole = ask(&node, "category:BREAD", (sort, order), EUR).await.unwrap();
        let asked = Asked {
            sort: Some(sort),
            order,
            choices: EUR.to_vec(),
            ..Asked::default()
        };
        let selection = node
            .pages
            .selector
            .select(&shop::name("category:BREAD"), asked)
            .await
            .unwrap();
        let cursor = Cursor {
            generation: whole.meta.generation,
            offset: 1,
            limit: 2.try_into().unwrap(),
            order,
            total: whole.meta.total,
            chunk_len: whole.meta.chunk_len,
            filters: 0,
        };
        let text = cursor.encode(&selection.key);
        assert_eq!(Cursor::claimed(&text).map(|cursor| cursor.order), Some(order));
        let page = shop::read(&node, &selection, &Place::Cursor(text)).await.unwrap();
        assert_eq!(ids(&page), ids(&whole)[1..3], "{sort} {order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_listings_of_their_own() {
    let world = World::new().await;
    let node = world.node(LISTINGS).await;
    let by_price = ("price", Order::Asc);
    let asked = async |choices: &[(&str, &str)]| ask(&node, "category:BREAD", by_price, choices).await;
    // The first value is the default.
    assert_eq!(ids(&asked(&[]).await.unwrap()), [11]);
    assert_eq!(ids(&asked(&[("currency", "USD")]).await.unwrap()), [11]);
    assert_eq!(ids(&asked(EUR).await.unwrap()), [2, 9, 10, 1]);
    let refused = asked(&[("currency", "GBP")]).await;
    let Err(EngineError::Invalid(errors)) = refused else {
        panic!("{refused:?}");
    };
    let parameters: Vec<_> = errors.iter().map(|error| error.parameter.as_str()).collect();
    assert_eq!(parameters, ["currency"]);

    // A refresh is of all that are kept, the default one first.
    world.sql("update products set price = 1 where id = 10").await;
    let refreshed = node
        .writes
        .refresh_and_wait(
            &shop::name("category:BREAD"),
            &Default::default(),
            None,
            Shrink::Refused,
        )
        .await
        .unwrap();
    assert_eq!(refreshed[0].listing.to_string(), "category:BREAD/price?currency=USD");
    assert_eq!(refreshed[0].total, 1);
    assert_eq!(ids(&asked(EUR).await.unwrap()), [10, 2, 9, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_definition_makes_its_listings_stale_and_they_are_refreshed() {
    let world = World::new().await;
    let by_price = ("price", Order::Asc);
    let before = world.node(LISTINGS).await;
    let old = ask(&before, "category:BREAD", by_price, EUR).await.unwrap();
    assert_eq!(old.meta.freshness.state, PageState::Fresh);
    before.shut_down(Duration::from_secs(5)).await;

    // Another order under the same name, and longer chunks.
    let changed = LISTINGS
        .replace(r#"price = { by = ["price"] }"#, r#"price = { by = ["price desc"] }"#)
        .replace("chunk_len = 2", "chunk_len = 3");
    let after = world.node(&changed).await;
    let name = shop::name("category:BREAD");
    let asked = || Asked {
        sort: Some("price"),
        choices: EUR.to_vec(),
        ..Asked::default()
    };
    let selection = after.pages.selector.select(&name, asked()).await.unwrap();
    assert_eq!(
        after.inspector.explain(&selection).await.unwrap().state.as_str(),
        "stale"
    );
    let stale = ask(&after, "category:BREAD", by_price, EUR).await.unwrap();
    assert_eq!(stale.meta.generation, old.meta.generation);
    assert_eq!(stale.meta.freshness.state, PageState::Refreshing);
    assert!(stale.meta.freshness.ttl_ms < 0);
    let new = eventually(async || {
        let page = ask(&after, "category:BREAD", by_price, EUR).await.unwrap();
        match page.meta.freshness.state {
            PageState::Fresh => Ok(page),
            state => Err(state),
        }
    })
    .await;
    assert_eq!(ids(&new), [1, 9, 10, 2]);
    assert_eq!(new.meta.chunk_len.get(), 3);
    assert_eq!(
        after.inspector.explain(&selection).await.unwrap().state.as_str(),
        "fresh"
    );
    // Whoever follows links of before stays in the generation of before.
    let cursor = Cursor {
        generation: old.meta.generation,
        offset: 1,
        limit: 2.try_into().unwrap(),
        order: Order::Asc,
        total: old.meta.total,
        chunk_len: old.meta.chunk_len,
        filters: 0,
    };
    let cursor = Place::Cursor(cursor.encode(&selection.key));
    let page = shop::read(&after, &selection, &cursor).await.unwrap();
    assert_eq!(ids(&page), [9, 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_declared_is_refused_and_refreshed_no_more() {
    let world = World::new().await;
    let before = world.node(LISTINGS).await;
    let by_price = ("price", Order::Asc);
    ask(&before, "category:BREAD", by_price, &[]).await.unwrap();
    ask(&before, "category:BREAD", by_price, EUR).await.unwrap();
    before.shut_down(Duration::from_secs(5)).await;

    // Neither the variant nor its column is there any more.
    world.sql("alter table products drop column currency").await;
    let changed = LISTINGS
        .replace("\n[listings.variants]\ncurrency = [\"USD\", \"EUR\"]", "")
        .replace(" and currency = :currency", "");
    let after = world.node(&changed).await;
    let refreshed = after
        .writes
        .refresh_and_wait(
            &shop::name("category:BREAD"),
            &Default::default(),
            None,
            Shrink::Refused,
        )
        .await
        .unwrap();
    assert!(
        refreshed.iter().all(|one| one.listing.family.choices.is_empty()),
        "{refreshed:?}"
    );
    let page = ask(&after, "category:BREAD", by_price, &[]).await.unwrap();
    assert_eq!(ids(&page), [2, 9, 10, 1, 11]);
    // A delete takes along what is left of them.
    after.writes.delete(&shop::name("category:BREAD"), None).await.unwrap();
    let streams = world.redis.cli(&["--scan", "--pattern", "t:*:gen:*BREAD*"]);
    assert_eq!(streams.trim(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sort_that_is_new_is_filled_and_one_that_never_was_is_refused() {
    let world = World::new().await;
    let before = world.node(LISTINGS).await;
    let page = ask(&before, "any:BREAD", ("rank", Order::Asc), &[]).await.unwrap();
    before.shut_down(Duration::from_secs(5)).await;
    let changed = format!("{LISTINGS}backwards = {{ by = [\"id desc\"] }}\n");
    let after = world.node(&changed).await;
    let kept = ask(&after, "any:BREAD", ("rank", Order::Asc), &[]).await.unwrap();
    assert_eq!(kept.meta.generation, page.meta.generation);
    let new = ask(&after, "any:BREAD", ("backwards", Order::Asc), &[]).await.unwrap();
    assert_eq!(ids(&new), [11, 10, 9, 2, 1]);
    let name = shop::name("any:BREAD");
    let sort = SortName::parse("sideways").unwrap();
    for refused in [
        after
            .writes
            .refresh(&name, &Default::default(), Some(&sort), Shrink::Refused)
            .await,
        after.writes.delete(&name, Some(&sort)).await,
        after.inspector.follow(&name, Some(&sort)).await.map(drop),
    ] {
        let Err(EngineError::Invalid(errors)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(errors[0].detail, "unknown; this listing has rank, backwards");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_hear_of_the_listing_they_follow_and_not_of_its_variants() {
    let world = World::new().await;
    let node = world.node(LISTINGS).await;
    let name = shop::name("category:BREAD");
    let sort = SortName::parse("price").unwrap();
    let mut follower = node.inspector.follow(&name, Some(&sort)).await.unwrap();
    // Filled first, told of never.
    ask(&node, "category:BREAD", ("price", Order::Asc), EUR).await.unwrap();
    let default = ask(&node, "category:BREAD", ("price", Order::Asc), &[]).await.unwrap();
    let event = format!("{:?}", follower.next().await.unwrap());
    assert!(event.contains(&default.meta.generation.to_string()), "{event}");
    let outside = node
        .inspector
        .follow(&shop::name("category:NONE"), None)
        .await
        .map(drop);
    assert!(matches!(outside, Err(EngineError::NotFound)), "{outside:?}");
}
