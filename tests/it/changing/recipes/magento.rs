//! Magento 2 on MariaDB.

use super::RecipeShop;
use crate::changing::databases::{ShopDatabase, blocks};

const TABLES: &str = "
    create table catalog_category_entity (entity_id int unsigned primary key, level int not null);
    create table catalog_product_entity (entity_id int unsigned primary key auto_increment, sku varchar(64), type_id varchar(32) not null default 'simple',
      created_at timestamp not null default '2026-01-01 00:00:00');
    create table catalog_category_product_index_store1 (category_id int unsigned not null, product_id int unsigned not null, position int,
      store_id smallint unsigned not null, visibility smallint unsigned not null default 4, primary key (category_id, product_id, store_id), key (product_id));
    create table catalog_category_product_index_store2 like catalog_category_product_index_store1;
    create table catalog_category_product_index_store3 like catalog_category_product_index_store1;
    create table catalog_product_index_price (entity_id int unsigned not null, customer_group_id int unsigned not null, website_id smallint unsigned not null,
      price decimal(20,6), final_price decimal(20,6), min_price decimal(20,6), max_price decimal(20,6),
      primary key (entity_id, customer_group_id, website_id));
    create table catalog_product_index_price_replica like catalog_product_index_price;
    create table cataloginventory_stock_status (product_id int unsigned not null, website_id smallint unsigned not null, stock_id smallint unsigned not null,
      qty decimal(12,4), stock_status smallint unsigned not null, primary key (product_id, website_id, stock_id));
    create table catalog_product_entity_varchar (value_id int primary key auto_increment, attribute_id smallint unsigned not null,
      store_id smallint unsigned not null, entity_id int unsigned not null, value varchar(255), unique key (entity_id, attribute_id, store_id));
    create table catalog_product_entity_int (value_id int primary key auto_increment, attribute_id smallint unsigned not null,
      store_id smallint unsigned not null, entity_id int unsigned not null, value int, unique key (entity_id, attribute_id, store_id));
    create table eav_attribute_option_value (value_id int primary key auto_increment, option_id int unsigned not null, store_id smallint unsigned not null, value varchar(255));
    create table review_entity_summary (primary_id bigint primary key auto_increment, entity_pk_value bigint not null, entity_type smallint not null,
      reviews_count smallint, rating_summary smallint, store_id smallint unsigned not null);
    insert into catalog_category_entity values (3, 2), (4, 2);
    insert into catalog_product_entity (entity_id, sku) values (11, 'a'), (12, 'b'), (13, 'c'), (14, 'd');
    insert into catalog_category_product_index_store1 (category_id, product_id, position, store_id) values (3, 11, 1, 1), (3, 12, 2, 1), (4, 13, 1, 1), (4, 14, 2, 1), (3, 15, 9, 1);
    insert into catalog_category_product_index_store2 select category_id, product_id, position, 2, visibility from catalog_category_product_index_store1;
    insert into catalog_category_product_index_store3 select category_id, product_id, position, 3, visibility from catalog_category_product_index_store1;
    insert into catalog_product_index_price select e.seq, g.seq, w.seq, e.seq, e.seq, e.seq - g.seq / 10, e.seq from seq_11_to_15 e, seq_0_to_3 g, seq_1_to_2 w;
    insert into cataloginventory_stock_status select seq, 0, 1, 5, 1 from seq_11_to_15;
    insert into catalog_product_entity_varchar (attribute_id, store_id, entity_id, value) select 71, 0, seq, concat('product ', 20 - seq) from seq_11_to_15;
    insert into catalog_product_entity_varchar (attribute_id, store_id, entity_id, value) values (71, 2, 11, 'Artikel'), (97, 0, 11, 'one');
    insert into catalog_product_entity_int (attribute_id, store_id, entity_id, value) values (81, 0, 11, 900);
    insert into eav_attribute_option_value (option_id, store_id, value) values (900, 0, 'Acme'), (901, 0, 'Best');
    insert into review_entity_summary (entity_pk_value, entity_type, reviews_count, rating_summary, store_id) values (12, 1, 3, 80, 1);";

const PATHS: &[&str] = &[
    "category:3?store=en&grp=0&sort=price",
    "category:3?store=en&grp=0&sort=position",
    "category:3?store=en&grp=2&sort=name",
    "category:3?store=de&grp=0&sort=name",
    "category:3?store=sv&grp=1&sort=position",
    "category:4?store=en&grp=0&sort=rating",
    "category:4?store=de&grp=0&sort=newest",
    "category:4?store=sv&grp=1&sort=price&order=desc",
    "category:4?store=sv&grp=1&sort=position",
];

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_magento_follow_its_products() {
    let triggers = blocks("changes.md", "Magento 2", "sql");
    let mut shop = RecipeShop::start("Magento 2", ShopDatabase::mariadb().await, TABLES, &triggers, PATHS).await;
    for change in [
        "update catalog_product_entity set sku = 'aa' where entity_id = 11",
        "insert into catalog_product_entity (entity_id, sku) values (15, 'e')",
        "delete from catalog_product_entity where entity_id = 15",
        "update catalog_product_entity_varchar set value = 'Neu' where entity_id = 11 and store_id = 2",
        "insert into catalog_product_entity_varchar (attribute_id, store_id, entity_id, value) values (71, 1, 12, 'Alpha')",
        "delete from catalog_product_entity_varchar where entity_id = 11 and store_id = 2",
        "update catalog_product_entity_int set value = 901 where entity_id = 11",
        "insert into catalog_product_entity_int (attribute_id, store_id, entity_id, value) values (81, 0, 13, 900)",
        "delete from catalog_product_entity_int where entity_id = 11",
        "update catalog_product_index_price set min_price = 1, final_price = 1 where entity_id = 12 and customer_group_id = 0",
        // As its indexer writes prices of one product.
        "delete from catalog_product_index_price where entity_id = 13",
        "insert into catalog_product_index_price select 13, g.seq, w.seq, 5, 5, 5, 5 from seq_0_to_3 g, seq_1_to_2 w",
        "update cataloginventory_stock_status set stock_status = 0 where product_id = 14",
        "delete from cataloginventory_stock_status where product_id = 14",
        "insert into cataloginventory_stock_status values (14, 0, 1, 9, 1)",
        "update catalog_category_product_index_store1 set position = 7 where product_id = 11",
        "insert into catalog_category_product_index_store2 (category_id, product_id, position, store_id) values (4, 11, 5, 2)",
        "delete from catalog_category_product_index_store3 where category_id = 3 and product_id = 11",
        "insert into catalog_category_product_index_store3 (category_id, product_id, position, store_id) values (4, 12, 5, 3)",
        "update catalog_category_product_index_store2 set category_id = 4 where product_id = 12",
        "delete from catalog_category_product_index_store1 where product_id = 14",
        "insert into catalog_category_product_index_store1 (category_id, product_id, position, store_id) values (3, 14, 5, 1)",
        "update catalog_category_product_index_store3 set position = 0 where product_id = 12 and category_id = 4",
        "delete from catalog_category_product_index_store2 where product_id = 14",
        "update review_entity_summary set rating_summary = 20 where entity_pk_value = 12",
        "insert into review_entity_summary (entity_pk_value, entity_type, reviews_count, rating_summary, store_id) values (13, 1, 1, 90, 1)",
        "delete from review_entity_summary where entity_pk_value = 12",
    ] {
        shop.change(change).await;
    }
    // A full reindex swaps tables, and triggers go with the old one.
    shop.database
        .run(
            "insert into catalog_product_index_price_replica select * from catalog_product_index_price;
             rename table catalog_product_index_price to catalog_product_index_price_outdated,
               catalog_product_index_price_replica to catalog_product_index_price,
               catalog_product_index_price_outdated to catalog_product_index_price_replica",
        )
        .await;
    let of_indexes = triggers.find("drop trigger").expect("the block of index tables");
    shop.database.run(&triggers[of_indexes..]).await;
    shop.change("update catalog_product_index_price set min_price = 2 where entity_id = 11")
        .await;
}
