//! WooCommerce on MariaDB.

use super::RecipeShop;
use crate::changing::databases::{ShopDatabase, blocks};

const TABLES: &str = "
    create table wp_posts (ID bigint unsigned primary key auto_increment, post_title text not null, post_name varchar(200) not null,
      post_date_gmt datetime not null, post_status varchar(20) not null default 'publish', post_type varchar(20) not null default 'product',
      post_parent bigint unsigned not null default 0, menu_order int not null default 0);
    create table wp_postmeta (meta_id bigint unsigned primary key auto_increment, post_id bigint unsigned not null,
      meta_key varchar(255), meta_value longtext, key (post_id));
    create table wp_wc_product_meta_lookup (product_id bigint primary key, sku varchar(100), min_price decimal(19,4), max_price decimal(19,4),
      onsale tinyint(1) default 0, stock_status varchar(100) default 'instock', average_rating decimal(3,2) default 0,
      rating_count bigint default 0, total_sales bigint default 0);
    create table wp_terms (term_id bigint unsigned primary key, name varchar(200) not null, slug varchar(200) not null, key (slug(191)));
    create table wp_term_taxonomy (term_taxonomy_id bigint unsigned primary key, term_id bigint unsigned not null,
      taxonomy varchar(32) not null, parent bigint unsigned not null default 0);
    create table wp_term_relationships (object_id bigint unsigned not null, term_taxonomy_id bigint unsigned not null,
      primary key (object_id, term_taxonomy_id), key (term_taxonomy_id));
    create table wp_icl_translations (element_id bigint, element_type varchar(60), language_code varchar(7));
    insert into wp_terms values (1, 'Tools', 'tools'), (2, 'Saws', 'saws'), (3, 'Toys', 'toys'), (4, 'Acme', 'acme'), (5, 'Best', 'best'),
      (6, 'hidden', 'exclude-from-catalog'), (7, 'News', 'news');
    insert into wp_term_taxonomy values (11, 1, 'product_cat', 0), (12, 2, 'product_cat', 1), (13, 3, 'product_cat', 0),
      (14, 4, 'product_brand', 0), (15, 5, 'product_brand', 0), (16, 6, 'product_visibility', 0), (17, 7, 'category', 0);
    insert into wp_posts (ID, post_title, post_name, post_date_gmt) values
      (101, 'Hammer', 'hammer', '2026-01-01'), (102, 'Saw', 'saw', '2026-01-02'), (103, 'Fine saw', 'fine-saw', '2026-01-03'),
      (104, 'Doll', 'doll', '2026-01-04'), (105, 'Kite', 'kite', '2026-01-05');
    insert into wp_posts (ID, post_title, post_name, post_date_gmt, post_type, post_parent) values
      (201, 'Doll, red', 'doll-red', '2026-01-04', 'product_variation', 104), (301, 'We moved', 'moved', '2026-01-06', 'post', 0);
    insert into wp_wc_product_meta_lookup (product_id, sku, min_price, max_price) values
      (101, 'h', 5, 5), (102, 's', 9, 9), (103, 'f', 12, 12), (104, 'd', 3, 4), (105, 'k', 7, 7), (106, 'b', 2, 2), (201, 'dr', 3, 3);
    insert into wp_term_relationships values (101, 11), (102, 12), (103, 12), (104, 13), (105, 13), (101, 14), (102, 14), (104, 15), (106, 13), (301, 17);
    insert into wp_postmeta (post_id, meta_key, meta_value) values (101, '_thumbnail_id', '900'), (101, '_edit_lock', '1');
    insert into wp_icl_translations select ID, 'post_product', 'en' from wp_posts where post_type = 'product';";

const PATHS: &[&str] = &[
    "category:tools?sort=price",
    "category:tools?sort=name",
    "category:saws?sort=price&order=desc",
    "category:toys?sort=position",
    "category:toys?sort=newest",
    "brand:acme?lang=en&sort=price",
    "brand:best?lang=en&sort=newest",
];

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_woocommerce_follow_its_products() {
    let triggers = blocks("changes.md", "WooCommerce", "sql");
    let mut shop = RecipeShop::start("WooCommerce", ShopDatabase::mariadb().await, TABLES, &triggers, PATHS).await;
    for change in [
        "update wp_posts set post_title = 'Axe' where ID = 103",
        "update wp_posts set post_status = 'draft' where ID = 101",
        "update wp_posts set post_status = 'publish' where ID = 101",
        "update wp_wc_product_meta_lookup set min_price = 1, max_price = 2 where product_id = 102",
        "update wp_wc_product_meta_lookup set stock_status = 'outofstock' where product_id = 104",
        // Into a category below another, then out of one, then from one to another.
        "insert into wp_term_relationships values (105, 12)",
        "delete from wp_term_relationships where object_id = 105 and term_taxonomy_id = 13",
        "update wp_term_relationships set term_taxonomy_id = 13 where object_id = 103",
        "insert into wp_term_relationships values (105, 14)",
        "insert into wp_term_relationships values (104, 16)",
        "delete from wp_term_relationships where object_id = 104 and term_taxonomy_id = 16",
        "update wp_postmeta set meta_value = '901' where post_id = 101 and meta_key = '_thumbnail_id'",
        "insert into wp_postmeta (post_id, meta_key, meta_value) values (105, '_thumbnail_id', '902')",
        "delete from wp_postmeta where post_id = 101",
        "delete from wp_wc_product_meta_lookup where product_id = 105",
        "insert into wp_wc_product_meta_lookup (product_id, sku, min_price, max_price) values (105, 'k', 8, 8)",
        // A product whose other rows are there already.
        "insert into wp_posts (ID, post_title, post_name, post_date_gmt) values (106, 'Ball', 'ball', '2026-02-01')",
        "delete from wp_posts where ID = 106",
    ] {
        shop.change(change).await;
    }
    // A variation reports its parent. Posts that are no products, and other keys, report nothing.
    shop.database
        .run(
            "begin; insert into wp_postmeta (post_id, meta_key, meta_value) values (101, '_edit_lock', '2');
             update wp_posts set post_title = 'We have moved' where ID = 301; delete from wp_term_relationships where object_id = 301",
        )
        .await;
    assert_eq!(shop.database.waiting_rows().await, 0);
    shop.database
        .run("update wp_posts set post_title = 'Doll, blue' where ID = 201")
        .await;
    let told = shop
        .database
        .number("select cast(max(product_id) as signed) from listcache_outbox");
    assert_eq!(told.await, 104);
    shop.database.run("rollback").await;
}
