//! Transactions end in any order, or are rolled back, and a counter begins again: no change is lost.

use fastrand::Rng;

use super::{
    databases::{ShopDatabase, Writer, outbox_section},
    triggers::TriggeredShop,
};

/// Transactions that are open at the same time: each changes the price of a product of its own.
const OPEN: i64 = 12;

/// Opens transactions one after the other, so that the rows of the first have the least keys.
async fn begun(shop: &TriggeredShop, price: i64) -> Vec<(i64, Writer)> {
    let mut open = Vec::new();
    for id in 1..=OPEN {
        let mut writer = Writer::open(&shop.database.url).await;
        let change = format!(
            "begin; update offers set price_cents = {} where product_id = {id}",
            price + id
        );
        writer.run(&change).await;
        open.push((id, writer));
    }
    open
}

/// Ends transactions in this order, every third one by a rollback. The pages are looked at in between.
async fn end(shop: &mut TriggeredShop, open: Vec<(i64, Writer)>, price: i64) {
    for (number, (id, mut writer)) in open.into_iter().enumerate() {
        if number % 3 == 2 {
            writer.run("rollback").await;
            continue;
        }
        writer.run("commit").await;
        shop.products.get_mut(&id).unwrap().offers = vec![Some(price + id)];
        if number % 3 == 1 {
            shop.check().await;
        }
    }
    shop.check().await;
    shop.database.outbox_is_empty().await;
}

async fn transactions_end_in_any_order(database: ShopDatabase, heading: &str, restart: &str) {
    let mut shop = TriggeredShop::start(database, heading, &outbox_section()).await;
    let mut random = Rng::with_seed(5);
    // The last one first.
    let mut open = begun(&shop, 1000).await;
    open.reverse();
    end(&mut shop, open, 1000).await;
    let mut open = begun(&shop, 2000).await;
    random.shuffle(&mut open);
    end(&mut shop, open, 2000).await;
    // Keys that were used before, and deleted.
    let last = "select coalesce(max(id), 0) from listcache_outbox";
    let mut aside = Writer::open(&shop.database.url).await;
    aside
        .run("begin; update offers set price_cents = 1 where product_id = 20")
        .await;
    let before = aside.number(last).await;
    aside.run("rollback").await;
    shop.database.run(restart).await;
    aside
        .run("begin; update offers set price_cents = 1 where product_id = 20")
        .await;
    let after = aside.number(last).await;
    assert!(before > OPEN && after < OPEN, "{before} {after}");
    aside.run("commit").await;
    shop.products.get_mut(&20).unwrap().offers = vec![Some(1)];
    shop.check().await;
    let mut open = begun(&shop, 3000).await;
    open.reverse();
    end(&mut shop, open, 3000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_postgresql_may_end_in_any_order() {
    let restart = "alter table listcache_outbox alter column id restart with 1";
    transactions_end_in_any_order(ShopDatabase::postgres().await, "PostgreSQL", restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_mariadb_may_end_in_any_order() {
    // Emptied and counted from 1, as `truncate` does it.
    let restart = "truncate listcache_outbox";
    transactions_end_in_any_order(ShopDatabase::mariadb().await, "MySQL and MariaDB", restart).await;
}
