//! A shop with promotions, in any database, and the configuration of a service on it.

use super::{super::databases::ShopDatabase, PRODUCTS};
use crate::support::{RedisServer, service::Service};

const SCHEMA: &str = "
    create table products (id bigint primary key, name varchar(100), price_cents bigint);
    create table product_category (product_id bigint not null, category varchar(100) not null);";

/// How a database says it.
#[derive(Clone, Copy)]
pub struct Dialect {
    instant: &'static str,
    pub now: &'static str,
    at: fn(u64) -> String,
}

pub const SQLITE: Dialect = Dialect {
    instant: "bigint",
    now: "cast(unixepoch('subsec') * 1000 as integer)",
    at: |millis| millis.to_string(),
};
pub const POSTGRES: Dialect = Dialect {
    instant: "timestamptz",
    now: "now()",
    at: |millis| format!("to_timestamp({millis} / 1000.0)"),
};
pub const MARIADB: Dialect = Dialect {
    instant: "datetime(3)",
    now: "utc_timestamp(3)",
    at: |millis| format!("cast('1970-01-01' as datetime(3)) + interval {millis}000 microsecond"),
};

/// A shop with promotions of products, for one group of customers each.
pub struct PromotingShop {
    pub database: ShopDatabase,
    dialect: Dialect,
    pub redis: RedisServer,
    /// The query of a definition.
    pub query: String,
    /// What is put behind it.
    pub next: String,
}

impl PromotingShop {
    pub async fn new(mut database: ShopDatabase, dialect: Dialect) -> Self {
        let Dialect { instant, now, .. } = dialect;
        database
            .run(&format!(
                "{SCHEMA} create table promotions (product_id bigint, grp bigint, starts_at {instant}, price_cents bigint);"
            ))
            .await;
        for id in 1..=PRODUCTS {
            let price = id * 100;
            database
                .run(&format!(
                    "insert into products values ({id}, 'product {id}', {price});
                     insert into product_category values ({id}, 'BREAD');"
                ))
                .await;
        }
        Self {
            database,
            dialect,
            redis: RedisServer::start(),
            query: format!(
                "select p.id, p.name, coalesce((select min(o.price_cents) from promotions o where o.product_id = p.id
                 and o.grp = cast(:grp as decimal) and o.starts_at <= {now}), p.price_cents) as price_cents
                 from products p join product_category c on c.product_id = p.id where c.category = :category"
            ),
            next: String::new(),
        }
        .with_ids()
    }

    /// The instants with their products.
    pub fn with_ids(self) -> Self {
        self.asking("o.starts_at as at, o.product_id as id", "")
    }

    /// The next instant alone.
    pub fn without_ids(self) -> Self {
        self.asking("min(o.starts_at) as at", "")
    }

    fn asking(mut self, columns: &str, more: &str) -> Self {
        let now = self.dialect.now;
        self.next = format!(
            "select {columns} from promotions o join product_category c on c.product_id = o.product_id
             where c.category = :category and o.grp = cast(:grp as decimal) and o.starts_at > {now} {more}"
        );
        self
    }

    /// A product's price from an instant on.
    pub async fn promote(&mut self, product: i64, group: i64, at: u64, price: i64) {
        let at = (self.dialect.at)(at);
        let insert = format!("insert into promotions values ({product}, {group}, {at}, {price})");
        self.database.run(&insert).await;
    }

    pub fn config(&self, more: &str) -> String {
        format!(
            r#"
                [redis]
                url = "{}"
                [l1]
                ttl = "5m"
                [origins.shop]
                kind = "sql"
                url = "{}"
                [[listings]]
                name = "category:{{category}}"
                origin = "shop"
                fresh_for = "1h"
                keep_for = "2h"
                pin_for = "2h"
                stale_while_revalidate = "30s"
                cdn_max_age = "10m"
                query = """{}"""
                next_change_query = """{}"""
                {more}
                [listings.sorts]
                price = {{ by = ["price_cents"] }}
                name = {{ by = ["name"] }}
                [listings.variants]
                grp = ["0", "1"]
            "#,
            self.redis.url(),
            self.database.url,
            self.query,
            self.next,
        )
    }

    pub fn start(&self, more: &str) -> Service {
        Service::start(&self.config(more))
    }
}
