//! Medusa on PostgreSQL.

use super::RecipeShop;
use crate::changing::databases::{ShopDatabase, blocks};

const TABLES: &str = "
    create table product (id text primary key, title text not null, handle text not null, thumbnail text, metadata jsonb, status text not null default 'published',
      created_at timestamptz not null default '2026-01-01', deleted_at timestamptz);
    create table product_sales_channel (id text primary key, product_id text not null, sales_channel_id text not null, deleted_at timestamptz);
    create table product_variant (id text primary key, product_id text, title text not null, variant_rank int default 0, deleted_at timestamptz);
    create table product_variant_price_set (id text primary key, variant_id text not null, price_set_id text not null, deleted_at timestamptz);
    create table price_list (id text primary key, status text not null, starts_at timestamptz, ends_at timestamptz, deleted_at timestamptz);
    create table price (id text primary key, price_set_id text not null, currency_code text not null, amount numeric not null, price_list_id text,
      rules_count int default 0, deleted_at timestamptz);
    create table product_variant_inventory_item (variant_id text not null, inventory_item_id text not null);
    create table inventory_level (id text primary key, inventory_item_id text not null, location_id text not null, stocked_quantity numeric not null,
      reserved_quantity numeric not null default 0, deleted_at timestamptz);
    create table sales_channel_stock_location (sales_channel_id text not null, stock_location_id text not null);
    create table product_category (id text primary key, handle text not null, mpath text not null, is_active boolean not null default true,
      is_internal boolean not null default false, deleted_at timestamptz);
    create table product_category_product (product_id text not null, product_category_id text not null, primary key (product_id, product_category_id));
    create index on product_variant (product_id);
    create index on product_variant_price_set (price_set_id);
    insert into product (id, title, handle, metadata) select 'p' || n, 'product ' || (9 - n), 'h' || n, jsonb_build_object('rank', n, 'brand', 'acme') from generate_series(1, 5) n;
    insert into product_sales_channel select 'psc' || n, 'p' || n, 'sc_web' from generate_series(1, 5) n;
    insert into product_variant select 'v' || n, 'p' || n, 'only' from generate_series(1, 5) n;
    insert into product_variant_price_set select 'l' || n, 'v' || n, 's' || n from generate_series(1, 5) n;
    insert into price select 'b' || n || c, 's' || n, c, 10 * n from generate_series(1, 5) n, unnest(array['eur', 'usd']) c;
    insert into price_list values ('sale', 'draft', null, null, null);
    insert into price values ('sp4', 's4', 'eur', 1, 'sale');
    insert into product_variant_inventory_item select 'v' || n, 'i' || n from generate_series(1, 5) n;
    insert into inventory_level select 'il' || n, 'i' || n, 'here', 5 from generate_series(1, 5) n;
    insert into sales_channel_stock_location values ('sc_web', 'here');
    insert into product_category (id, handle, mpath) values ('c1', 'tools', 'c1'), ('c2', 'saws', 'c1.c2'), ('c3', 'toys', 'c3');
    insert into product_category_product values ('p1', 'c1'), ('p2', 'c2'), ('p3', 'c3'), ('p4', 'c3'), ('p6', 'c3');";

const PATHS: &[&str] = &[
    "category:tools?currency=eur&lang=en&channel=sc_web&sort=price",
    "category:tools?currency=usd&lang=de&channel=sc_web&sort=name",
    "category:saws?currency=eur&lang=en&channel=sc_web&sort=position",
    "category:toys?currency=eur&lang=en&channel=sc_web&sort=price&order=desc",
    "category:toys?currency=usd&lang=fi&channel=sc_web&sort=newest",
];

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_medusa_follow_its_products() {
    let functions = blocks("changes.md", "PostgreSQL", "sql");
    let (functions, _) = functions
        .split_once("call ")
        .expect("the calls for another shop's tables");
    let triggers = format!("{functions}\n{}", blocks("changes.md", "Medusa", "sql"));
    let mut shop = RecipeShop::start("Medusa", ShopDatabase::postgres().await, TABLES, &triggers, PATHS).await;
    for change in [
        "update product set title = 'Axe', metadata = '{\"title_de\": \"Beil\", \"rank\": 9}' where id = 'p2'",
        "update product set deleted_at = now() where id = 'p3'",
        "update product set deleted_at = null where id = 'p3'",
        "update product_sales_channel set deleted_at = now() where product_id = 'p4'",
        "update product_sales_channel set deleted_at = null where product_id = 'p4'",
        "insert into product_category_product values ('p5', 'c2')",
        "update product_category_product set product_category_id = 'c3' where product_id = 'p1'",
        "delete from product_category_product where product_id = 'p1'",
        "insert into product_category_product values ('p1', 'c2')",
        "update price set amount = 3 where price_set_id = 's2' and currency_code = 'eur'",
        "insert into price_list values ('old', 'active', null, null, null); insert into price values ('sp3', 's3', 'eur', 2, 'old')",
        "delete from price where id = 'sp3'",
        // One row, and all products of the sale follow.
        "update price_list set status = 'active' where id = 'sale'",
        "insert into product_variant values ('v1b', 'p1', 'second', 1); insert into product_variant_price_set values ('l1b', 'v1b', 's5')",
        "update product_variant set title = 'other' where id = 'v1b'",
        "update product_variant_price_set set price_set_id = 's4' where id = 'l1b'",
        "delete from product_variant_price_set where id = 'l1b'",
        "update inventory_level set reserved_quantity = 5 where inventory_item_id = 'i3'",
        "delete from inventory_level where inventory_item_id = 'i1'",
        "insert into inventory_level values ('il1', 'i1', 'here', 1)",
        // A product whose other rows are there already.
        "insert into product_sales_channel values ('psc6', 'p6', 'sc_web');
         insert into product (id, title, handle, metadata) values ('p6', 'sixth', 'h6', '{}')",
        "delete from product where id = 'p6'",
    ] {
        shop.change(change).await;
    }
}
