//! The triggers of docs/changes.md, run on each database: each change there is reported.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    Product, check_all_of, config,
    databases::{SCHEMA, ShopDatabase, Writer, blocks, outbox_section, rows_of},
    expected, orders, products,
};
use crate::support::{RedisServer, eventually, service::Service};

const CATEGORIES: [&str; 2] = ["a", "b"];

type Products = BTreeMap<i64, Product>;

/// A shop with the triggers of the manual, a service that reads its outbox, and the products that should be shown.
pub struct TriggeredShop {
    pub database: ShopDatabase,
    pub products: Products,
    service: Service,
    _redis: RedisServer,
}

impl TriggeredShop {
    pub async fn start(mut database: ShopDatabase, heading: &str, outbox: &str) -> Self {
        let products = products(40, &CATEGORIES);
        database.run(SCHEMA).await;
        database.run(&rows_of(&products)).await;
        // A product that is not there yet, but all that belongs to it.
        database
            .run("insert into offers values (50, 77); insert into product_category values (50, 'a')")
            .await;
        database.run(&blocks("changes.md", heading, "sql")).await;
        let redis = RedisServer::start();
        let config = config(&redis, &database.url, "");
        let (before, listings) = config.split_once("            [[listings]]").unwrap();
        let service = Service::start(&format!("{before}{outbox}[[listings]]{listings}"));
        check_all_of(&service, &products, &CATEGORIES).await;
        Self {
            database,
            products,
            service,
            _redis: redis,
        }
    }

    /// Changes the database and the products, and waits until the pages have followed and no row is left.
    async fn change(&mut self, sql: &str, model: impl FnOnce(&mut Products)) {
        let before = self.products.clone();
        self.database.run(sql).await;
        model(&mut self.products);
        let differ = |(group, sort, desc)| {
            let listing = |products| CATEGORIES.map(|category| expected(products, category, group, sort, desc));
            listing(&before) != listing(&self.products)
        };
        assert!(orders().any(differ), "{sql} changes no page");
        self.check().await;
        self.database.outbox_is_empty().await;
    }

    pub async fn check(&self) {
        check_all_of(&self.service, &self.products, &CATEGORIES).await;
    }

    /// One table and one kind of statement after the other, so that each trigger is needed.
    async fn every_statement_is_told(&mut self) {
        let product = |name: &str, price: i64, categories: &[&str]| Product {
            name: Some(name.to_owned()),
            offers: vec![Some(price)],
            sold_out: false,
            categories: categories.iter().map(|category| (*category).to_owned()).collect(),
        };
        self.change("insert into products values (50, 'new', 0)", |products| {
            products.insert(50, product("new", 77, &["a"]));
        })
        .await;
        self.change("update products set name = 'first' where id in (3, 4)", |products| {
            for id in [3, 4] {
                products.get_mut(&id).unwrap().name = Some("first".to_owned());
            }
        })
        .await;
        self.change("delete from products where id = 6", |products| {
            products.remove(&6);
        })
        .await;
        self.change("insert into offers values (9, 5)", |products| {
            products.get_mut(&9).unwrap().offers.push(Some(5));
        })
        .await;
        self.change(
            "update offers set price_cents = price_cents + 30 where product_id < 9",
            |products| {
                for (_, product) in products.range_mut(..9) {
                    product.offers = vec![product.offers[0].map(|price| price + 30)];
                }
            },
        )
        .await;
        // The product that had the offer is told too.
        self.change("update offers set product_id = 11 where product_id = 10", |products| {
            let moved = std::mem::take(&mut products.get_mut(&10).unwrap().offers);
            products.get_mut(&11).unwrap().offers.extend(moved);
        })
        .await;
        self.change("delete from offers where product_id = 12", |products| {
            products.get_mut(&12).unwrap().offers.clear();
        })
        .await;
        self.categories_are_told().await;
        self.change(
            "begin; insert into products values (60, 'whole', 0); insert into offers values (60, 1), (60, 999); \
             insert into product_category values (60, 'a'), (60, 'b'); delete from offers where price_cents = 999; commit",
            |products| {
                products.insert(60, product("whole", 1, &["a", "b"]));
            },
        )
        .await;
        // A transaction that is rolled back reports nothing.
        self.database
            .run("begin; update products set name = 'never'; delete from offers; rollback")
            .await;
        assert_eq!(self.database.waiting_rows().await, 0);
        self.check().await;
    }

    async fn categories_are_told(&mut self) {
        let has = |products: &Products, id: i64, of: &[&str]| {
            let categories: Vec<&str> = products[&id].categories.iter().map(String::as_str).collect();
            assert_eq!(categories, of, "of {id}");
        };
        has(&self.products, 14, &["a"]);
        self.change("insert into product_category values (14, 'b')", |products| {
            products.get_mut(&14).unwrap().categories.insert("b".to_owned());
        })
        .await;
        has(&self.products, 20, &["a"]);
        self.change(
            "update product_category set category = 'b' where product_id = 20 and category = 'a'",
            |products| products.get_mut(&20).unwrap().categories = ["b".to_owned()].into(),
        )
        .await;
        has(&self.products, 21, &["b"]);
        has(&self.products, 26, &["a"]);
        self.change(
            "update product_category set product_id = 26 where product_id = 21",
            |products| {
                products.get_mut(&21).unwrap().categories.clear();
                products.get_mut(&26).unwrap().categories.insert("b".to_owned());
            },
        )
        .await;
        has(&self.products, 13, &["a", "b"]);
        self.change(
            "delete from product_category where product_id = 13 and category = 'a'",
            |products| {
                products.get_mut(&13).unwrap().categories.remove("a");
            },
        )
        .await;
    }

    /// The transaction that writes its rows first commits last. Nothing waits for it, and it is told.
    async fn late_commits_are_told(&mut self) {
        let mut late = Writer::open(&self.database.url).await;
        late.run("begin; update offers set price_cents = 1 where product_id = 30")
            .await;
        let cheap = |products: &mut Products, id: i64, price: i64| {
            products.get_mut(&id).unwrap().offers = vec![Some(price)];
        };
        // One row, then more than one: databases delete them otherwise.
        self.change("update offers set price_cents = 2 where product_id = 31", |products| {
            cheap(products, 31, 2);
        })
        .await;
        let several: Vec<String> = (32..=35)
            .map(|id| format!("update offers set price_cents = 3 where product_id = {id};"))
            .collect();
        self.change(&format!("begin; {} commit", several.concat()), |products| {
            (32..=35).for_each(|id| cheap(products, id, 3));
        })
        .await;
        // The shop writes on meanwhile, as before.
        self.change("update products set name = 'z' where id = 36", |products| {
            products.get_mut(&36).unwrap().name = Some("z".to_owned());
        })
        .await;
        late.run("commit").await;
        cheap(&mut self.products, 30, 1);
        self.check().await;
        self.database.outbox_is_empty().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_sqlite_tell_of_every_statement() {
    let mut shop = TriggeredShop::start(ShopDatabase::sqlite().await, "SQLite", &outbox_section()).await;
    shop.every_statement_is_told().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_mariadb_tell_of_every_statement_and_of_late_commits() {
    let database = ShopDatabase::mariadb().await;
    let mut shop = TriggeredShop::start(database, "MySQL and MariaDB", &outbox_section()).await;
    shop.every_statement_is_told().await;
    shop.late_commits_are_told().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_of_postgresql_tell_of_every_statement_and_of_late_commits() {
    let mut shop = TriggeredShop::start(ShopDatabase::postgres().await, "PostgreSQL", &outbox_section()).await;
    shop.every_statement_is_told().await;
    shop.late_commits_are_told().await;
    // One insert a statement, and an id once.
    let mut aside = Writer::open(&shop.database.url).await;
    aside
        .run("begin; update offers set price_cents = price_cents; update offers set price_cents = 0 where false")
        .await;
    let rows = aside.number("select count(*) from listcache_outbox").await;
    let products = aside.number("select count(distinct product_id) from offers").await;
    assert_eq!(rows, products);
    aside.run("rollback").await;
}

/// The outbox is in the primary database, rows are read from a replica that is late.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_late_replica_are_read_once_more_after_its_lag() {
    let (mut primary, mut replica) = (ShopDatabase::sqlite().await, ShopDatabase::sqlite().await);
    let mut products = products(40, &CATEGORIES);
    for database in [&mut primary, &mut replica] {
        database.run(SCHEMA).await;
        database.run(&rows_of(&products)).await;
    }
    primary.run(&blocks("changes.md", "SQLite", "sql")).await;
    let redis = RedisServer::start();
    let config = config(&redis, &replica.url, "");
    let (before, listings) = config.split_once("            [[listings]]").unwrap();
    let (of_primary, outbox) = (format!("changes_url = \"{}\"", primary.url), outbox_section());
    let service = Service::start(&format!(
        "{before}{of_primary}\n{outbox}\nlag = \"4s\"\n[[listings]]{listings}"
    ));
    check_all_of(&service, &products, &CATEGORIES).await;
    let change = "update offers set price_cents = 1 where product_id = 13";
    primary.run(change).await;
    // Each of four families has read the old row.
    eventually(
        async || match service.metric("listcache_patches_total{outcome=\"unchanged\"}").await {
            4.0 => Ok(()),
            patches => Err(patches),
        },
    )
    .await;
    primary.outbox_is_empty().await;
    check_all_of(&service, &products, &CATEGORIES).await;
    replica.run(change).await;
    products.get_mut(&13).unwrap().offers = vec![Some(1)];
    check_all_of(&service, &products, &CATEGORIES).await;
}

/// An outbox that is looked into far too rarely for a test, but for notifications.
fn notified_outbox() -> String {
    let section = blocks("changes.md", "The outbox", "toml");
    let notified = section.replace("every = \"1s\"", "every = \"1h\"\nlisten = \"listcache\"");
    assert_ne!(notified, section);
    notified
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notified_change_shows_long_before_it_is_time_to_look() {
    let database = ShopDatabase::postgres().await;
    let mut shop = TriggeredShop::start(database, "PostgreSQL", &notified_outbox()).await;
    for price in 1..=3 {
        let begun = Instant::now();
        shop.change(
            &format!("update offers set price_cents = {price} where product_id = 8"),
            |products| products.get_mut(&8).unwrap().offers = vec![Some(price)],
        )
        .await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

/// Notifications are lost with their connection. A new listener looks for rows first.
#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_is_lost_with_its_connection_costs_no_waiting() {
    let database = ShopDatabase::postgres().await;
    let mut shop = TriggeredShop::start(database, "PostgreSQL", &notified_outbox()).await;
    for price in 1..=5 {
        let of_listeners = "pid <> pg_backend_pid() and datname = current_database() and query like 'LISTEN%'";
        let listeners = format!("select pg_terminate_backend(pid) from pg_stat_activity where {of_listeners}");
        eventually(async || {
            let count =
                "select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'";
            match shop.database.number(count).await {
                0 => Err("nobody listens"),
                _ => Ok(()),
            }
        })
        .await;
        // Ends the connection and commits at once: nobody is there to be notified.
        shop.change(
            &format!("begin; update offers set price_cents = {price} where product_id = 8; {listeners}; commit"),
            |products| products.get_mut(&8).unwrap().offers = vec![Some(price)],
        )
        .await;
    }
}
