//! The condition around a query reaches its tables, as docs/changes.md says: the database plans to read no table whole.

use super::databases::{ShopDatabase, blocks};

const ROWS: &str = "
    create table products (id bigint primary key, name varchar(100), sold_out integer not null);
    create table offers (product_id bigint not null, price_cents bigint);
    create index offers_of on offers (product_id);
    insert into products with recursive n (n) as (select 1 union all select n + 1 from n where n < 900) select n, 'name', 0 from n;
    insert into products select id + 1000, name, 0 from products;
    insert into products select id + 2000, name, 0 from products;
    insert into offers select id, id from products;";

const JOINED: &str =
    "select p.id, o.price_cents, (select max(a.price_cents) from offers a where a.product_id = p.id) as most
    from products p join offers o on o.product_id = p.id where p.sold_out = 0";
const GROUPED: &str =
    "select p.id, min(o.price_cents) as price from products p join offers o on o.product_id = p.id group by p.id";
const NUMBERED: &str = "select p.id, row_number() over (partition by p.id order by o.price_cents) as number
    from products p join offers o on o.product_id = p.id";
const RANKED: &str = "select p.id, row_number() over (order by p.name) as place from products p";
const LIMITED: &str = "select p.id, p.name from products p order by p.name limit 3000";

async fn check(mut database: ShopDatabase, analyze: &str, numbered_is_narrowed: bool) {
    database.run(ROWS).await;
    database.run(analyze).await;
    let around = blocks("changes.md", "The query, narrowed", "sql");
    for (query, is_narrowed) in [
        (JOINED, true),
        (GROUPED, true),
        (NUMBERED, numbered_is_narrowed),
        (RANKED, false),
        (LIMITED, false),
    ] {
        let narrowed = around.replace("QUERY", query);
        let scanned = database.scanned(&narrowed).await;
        assert_eq!(
            scanned.is_empty(),
            is_narrowed,
            "{scanned:?} are read whole for {narrowed}"
        );
        // Without the condition each of them reads a table whole.
        assert_ne!(database.scanned(query).await, [""; 0], "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_narrows_joined_and_grouped_queries() {
    check(ShopDatabase::sqlite().await, "analyze", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_narrows_joined_grouped_and_numbered_queries() {
    check(ShopDatabase::mariadb().await, "analyze table products, offers", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_narrows_joined_grouped_and_numbered_queries() {
    check(ShopDatabase::postgres().await, "analyze", true).await;
}
