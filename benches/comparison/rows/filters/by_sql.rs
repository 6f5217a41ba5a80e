//! The same filters by SQL: PostgreSQL with an index for each of them, by one connection on its Unix socket and prepared statements.
//!
//! Its rows are only received, not written as JSON.

use std::time::Instant;

use sqlx::{AssertSqlSafe, PgConnection, Row};
use tokio::runtime::{Builder, Runtime};

use crate::{Outcome, postgres::PostgresDatabase};

const TABLE: &str = "create table products (id bigint primary key, name text, department text, category text, type text, brand text,
    manufacturer_id bigint, price_cents bigint, list_cents bigint, orders bigint, units bigint, stores bigint, first_sold text)";
/// Indexes for the order of the listing, for each filter in that order, and for the price, alone and beside the brand.
const INDEXES: &str = "create index on products (orders desc, id);
    create index on products (brand, orders desc, id);
    create index on products (category, orders desc, id);
    create index on products (type, orders desc, id);
    create index on products (price_cents);
    create index on products (brand, price_cents)";
const SIZE: i64 = 24;
const CHUNK_LEN: i64 = 12;

pub struct BySql {
    database: PostgresDatabase,
    runtime: Runtime,
}

/// A combination of a brand and a range of prices.
#[derive(Clone, Copy)]
pub struct Combination {
    pub brand: &'static str,
    pub prices: (i64, i64),
}

impl BySql {
    /// A database with the products: lines of JSON.
    pub fn start(products: &str) -> Outcome<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let lines: Vec<&str> = products.lines().collect();
        let database = runtime.block_on(async {
            let mut database = PostgresDatabase::create(TABLE).await;
            sqlx::query("insert into products select * from json_populate_recordset(null::products, $1::json)")
                .bind(format!("[{}]", lines.join(",")))
                .execute(&mut database.writer)
                .await?;
            database.run(INDEXES).await;
            // Vacuum is no part of a transaction, as several statements at once are.
            database.run("vacuum (freeze, analyze) products").await;
            Outcome::Ok(database)
        })?;
        Ok(Self { database, runtime })
    }

    pub fn version(&mut self) -> Outcome<String> {
        let connection = &mut self.database.writer;
        let version = sqlx::query_scalar("show server_version").fetch_one(connection);
        Ok(self.runtime.block_on(version)?)
    }

    /// The types that most products have.
    pub fn largest_types(&mut self, count: i64) -> Outcome<Vec<String>> {
        let types =
            "select type from products where type is not null group by type order by count(*) desc, type limit $1";
        let found = sqlx::query_scalar(types)
            .bind(count)
            .fetch_all(&mut self.database.writer);
        Ok(self.runtime.block_on(found)?)
    }

    /// The number of products that a condition selects.
    pub fn total(&mut self, condition: &str) -> Outcome<i64> {
        let total = total(&mut self.database.writer, condition);
        self.runtime.block_on(total)
    }

    /// The number of chunks in which the items of a page lie, on average over all pages.
    pub fn chunks_a_page(&mut self, condition: &str) -> Outcome<f64> {
        let query = format!(
            "select avg(chunks)::float8 from (
                select count(distinct place / {CHUNK_LEN}) as chunks from (
                    select place, (row_number() over (order by place) - 1) / {SIZE} as page from (
                        select *, row_number() over (order by orders desc, id) - 1 as place from products
                    ) as placed where {condition}
                ) as paged group by page
            ) as counted"
        );
        let average = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut self.database.writer);
        Ok(self.runtime.block_on(average)?)
    }

    /// Seconds that a page takes, and the page with its total.
    pub fn page(&mut self, condition: &str, number: u64) -> Outcome<[f64; 2]> {
        let connection = &mut self.database.writer;
        let offset = (i64::try_from(number)? - 1) * SIZE;
        self.runtime.block_on(async {
            let begun = Instant::now();
            let query =
                format!("select * from products where {condition} order by orders desc, id limit {SIZE} offset $1");
            let page = sqlx::query(AssertSqlSafe(query)).bind(offset);
            let rows = page.fetch_all(&mut *connection).await?;
            let alone = begun.elapsed().as_secs_f64();
            let total = total(connection, condition).await?;
            let seconds = [alone, begun.elapsed().as_secs_f64()];
            match rows.len() {
                24 if total >= offset + SIZE => Ok(seconds),
                other => Err(format!("{other} rows of {total}").into()),
            }
        })
    }

    /// Seconds that the first page of a combination and its total take; if asked for, with the counts of brands, categories and types.
    pub fn combination(&mut self, asked: Combination, is_counted: bool) -> Outcome<f64> {
        const ALL: &str = "brand = $1 and price_cents between $2 and $3";
        let connection = &mut self.database.writer;
        let mut queries = vec![
            format!("select * from products where {ALL} order by orders desc, id limit {SIZE}"),
            format!("select count(*) from products where {ALL}"),
        ];
        if is_counted {
            // Brands are counted among all that the price selects.
            queries.push("select brand, count(*) from products where $1::text is not null and price_cents between $2 and $3 group by brand".into());
            let of = |column: &str| format!("select {column}, count(*) from products where {ALL} group by {column}");
            queries.extend([of("category"), of("type")]);
        }
        self.runtime.block_on(async {
            let begun = Instant::now();
            let mut rows = 0;
            for query in queries {
                let query = sqlx::query(AssertSqlSafe(query)).bind(asked.brand);
                let query = query.bind(asked.prices.0).bind(asked.prices.1);
                rows += query.fetch_all(&mut *connection).await?.len();
            }
            let seconds = begun.elapsed().as_secs_f64();
            if rows == 0 {
                return Err("no rows".into());
            }
            Ok(seconds)
        })
    }
}

async fn total(connection: &mut PgConnection, condition: &str) -> Outcome<i64> {
    let query = AssertSqlSafe(format!("select count(*) from products where {condition}"));
    let row = sqlx::query(query).fetch_one(connection).await?;
    Ok(row.try_get(0)?)
}
