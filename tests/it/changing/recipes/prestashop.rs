//! PrestaShop on MariaDB.

use super::RecipeShop;
use crate::changing::databases::{ShopDatabase, blocks};

const TABLES: &str = "
    create table ps_category (id_category int unsigned primary key, active tinyint not null, level_depth int not null);
    create table ps_category_group (id_category int unsigned not null, id_group int unsigned not null);
    create table ps_category_product (id_category int unsigned not null, id_product int unsigned not null, position int not null,
      primary key (id_category, id_product), key (id_product));
    create table ps_product (id_product int unsigned primary key auto_increment, reference varchar(64), id_manufacturer int unsigned);
    create table ps_product_shop (id_product int unsigned not null, id_shop int unsigned not null, price decimal(20,6) not null, active tinyint not null default 1,
      visibility varchar(10) not null default 'both', date_add datetime not null default '2026-01-01', primary key (id_product, id_shop));
    create table ps_product_lang (id_product int unsigned not null, id_shop int unsigned not null, id_lang int unsigned not null, name varchar(128) not null,
      link_rewrite varchar(128) not null default 'x', primary key (id_product, id_shop, id_lang));
    create table ps_lang (id_lang int unsigned primary key, iso_code varchar(2));
    create table ps_currency (id_currency int unsigned primary key, iso_code varchar(3));
    create table ps_currency_shop (id_currency int unsigned, id_shop int unsigned, conversion_rate decimal(13,6));
    create table ps_stock_available (id_stock_available int primary key auto_increment, id_product int unsigned not null, id_product_attribute int unsigned not null default 0,
      id_shop int unsigned not null, quantity int not null, key (id_product));
    create table ps_manufacturer (id_manufacturer int unsigned primary key, name varchar(64), active tinyint);
    create table ps_image_shop (id_product int unsigned not null, id_image int unsigned not null, id_shop int unsigned not null, cover tinyint unsigned);
    create table ps_product_sale (id_product int unsigned primary key, quantity int unsigned not null);
    create table ps_specific_price (id_specific_price int unsigned primary key auto_increment, id_product int unsigned not null, id_shop int unsigned not null default 0,
      id_currency int unsigned not null default 0, id_group int unsigned not null default 0, id_customer int unsigned not null default 0,
      id_product_attribute int unsigned not null default 0, from_quantity int unsigned not null default 1, reduction decimal(20,6) not null,
      reduction_type varchar(10) not null default 'percentage', `from` datetime not null default 0, `to` datetime not null default 0);
    insert into ps_category values (3, 1, 2), (4, 1, 2);
    insert into ps_category_group select c.id_category, g.seq from ps_category c, seq_1_to_3 g;
    insert into ps_lang values (1, 'en'), (2, 'de'), (3, 'fi');
    insert into ps_currency values (1, 'EUR'), (2, 'USD'), (3, 'SEK');
    insert into ps_currency_shop select c.seq, s.seq, c.seq from seq_1_to_3 c, seq_1_to_2 s;
    insert into ps_manufacturer values (1, 'Acme', 1), (2, 'Best', 1);
    insert into ps_product select seq, concat('r', seq), 1 from seq_11_to_14;
    insert into ps_product_shop (id_product, id_shop, price) select p.seq, s.seq, p.seq from seq_11_to_15 p, seq_1_to_2 s;
    insert into ps_product_lang (id_product, id_shop, id_lang, name) select p.seq, s.seq, l.seq, concat('product ', 30 - p.seq) from seq_11_to_15 p, seq_1_to_2 s, seq_1_to_3 l;
    insert into ps_stock_available (id_product, id_shop, quantity) select p.seq, s.seq, 3 from seq_11_to_15 p, seq_1_to_2 s;
    insert into ps_category_product values (3, 11, 1), (3, 12, 2), (4, 13, 1), (4, 14, 2), (3, 15, 3);
    insert into ps_image_shop values (11, 500, 1, 1);
    insert into ps_product_sale values (12, 7);
    insert into ps_specific_price (id_product, reduction) values (12, 0.1);";

const PATHS: &[&str] = &[
    "category:3?shop=1&lang=en&currency=EUR&grp=1&sort=price",
    "category:3?shop=1&lang=de&currency=USD&grp=2&sort=name",
    "category:3?shop=2&lang=fi&currency=SEK&grp=3&sort=position",
    "category:4?shop=1&lang=en&currency=EUR&grp=1&sort=sales",
    "category:4?shop=1&lang=de&currency=EUR&grp=1&sort=price&order=desc",
];

#[tokio::test(flavor = "multi_thread")]
async fn listings_of_prestashop_follow_its_products() {
    let triggers = blocks("changes.md", "PrestaShop", "sql");
    let mut shop = RecipeShop::start("PrestaShop", ShopDatabase::mariadb().await, TABLES, &triggers, PATHS).await;
    for change in [
        "update ps_product set id_manufacturer = 2 where id_product = 11",
        "insert into ps_product values (15, 'r15', 2)",
        "delete from ps_product where id_product = 15",
        "update ps_product_shop set price = 2 where id_product = 12",
        "delete from ps_product_shop where id_product = 13 and id_shop = 1",
        "insert into ps_product_shop (id_product, id_shop, price) values (13, 1, 99)",
        "update ps_product_lang set name = 'Apfel' where id_product = 11 and id_lang = 2",
        "delete from ps_product_lang where id_product = 12 and id_lang = 2",
        "insert into ps_product_lang (id_product, id_shop, id_lang, name) values (12, 1, 2, 'Birne')",
        "insert into ps_category_product values (4, 11, 3)",
        "delete from ps_category_product where id_category = 4 and id_product = 14",
        "update ps_category_product set id_category = 4 where id_product = 12",
        "update ps_category_product set id_product = 14 where id_product = 12",
        "insert into ps_category_product values (3, 12, 2)",
        "update ps_stock_available set quantity = 0 where id_product = 11",
        "delete from ps_stock_available where id_product = 13",
        "insert into ps_stock_available (id_product, id_shop, quantity) values (13, 1, 1)",
        "update ps_specific_price set reduction = 0.9 where id_product = 12",
        "insert into ps_specific_price (id_product, reduction) values (11, 0.5)",
        "delete from ps_specific_price where id_product = 12",
        "insert into ps_image_shop values (12, 501, 1, 1)",
        "update ps_image_shop set id_image = 502 where id_product = 11",
        "delete from ps_image_shop where id_product = 12",
        "insert into ps_product_sale values (13, 4), (14, 5)",
        "update ps_product_sale set quantity = 6 where id_product = 13",
        "delete from ps_product_sale where id_product = 13",
    ] {
        shop.change(change).await;
    }
}
