//! The sample catalogue of the demo and the tests: some 5,000 real products in a SQLite database.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::{
    ConnectOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

use super::OriginError;

/// Whose data it is, and how it was chosen: `fixtures/README.md`.
const CATALOGUE: &[u8] = include_bytes!("../../fixtures/catalogue.ndjson.gz");

/// The bytes of a path that need no escape in a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

const TABLE: &str = "
    create table products (
        id integer primary key,
        name text not null,
        department text not null,
        category text,
        type text,
        brand text not null,
        manufacturer_id integer not null,
        price_cents integer not null,
        list_cents integer not null,
        orders integer not null,
        units integer not null,
        stores integer not null,
        first_sold text not null
    )";

/// The outbox, and the trigger that tells of each product that changes: as docs/changes.md has them.
const OUTBOX: &str = "
    create table listcache_outbox (id integer primary key autoincrement, product_id integer not null);
    create trigger products_changed after update on products
      begin insert into listcache_outbox (product_id) values (new.id); end";

/// The catalogue comes as one JSON array.
const FILL: &str = "
    insert into products
    select value ->> 'id', value ->> 'name', value ->> 'department', value ->> 'category', value ->> 'type', value ->> 'brand',
        value ->> 'manufacturer_id', value ->> 'price_cents', value ->> 'list_cents', value ->> 'orders', value ->> 'units',
        value ->> 'stores', value ->> 'first_sold'
    from json_each(?1)";

/// A database file with the table `products`, and a writer to it.
#[derive(Clone, Debug)]
pub struct SampleCatalogue {
    path: PathBuf,
    writer: SqlitePool,
}

impl SampleCatalogue {
    /// Makes the database. A file that is already there with another table of that name is an error, and left as it is.
    pub async fn create(path: &Path) -> Result<Self, OriginError> {
        Self::create_from(path, CATALOGUE).await
    }

    /// The same from another catalogue: gzipped NDJSON of such products.
    pub async fn create_from(path: &Path, catalogue: &[u8]) -> Result<Self, OriginError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .disable_statement_logging();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options)
            .await
            .map_err(unavailable)?;
        let products = unpacked(catalogue).map_err(|error| OriginError::Unavailable(Box::new(error)))?;
        let mut transaction = writer.begin().await.map_err(unavailable)?;
        sqlx::query(TABLE)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        sqlx::query(FILL)
            .bind(products)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        sqlx::query("create index products_by_category on products (category)")
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        sqlx::raw_sql(OUTBOX)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(Self {
            path: path.to_owned(),
            writer,
        })
    }

    /// The database's URL, for [`SqlOrigin::open`](super::SqlOrigin::open).
    pub fn url(&self) -> String {
        let path = self.path.to_string_lossy();
        format!("sqlite:{}", utf8_percent_encode(&path, PATH))
    }

    /// In which category a product is; `None` where there is no such product, or it is in none.
    pub async fn category_of(&self, id: i64) -> Result<Option<String>, OriginError> {
        let found: Option<Option<String>> = sqlx::query_scalar("select category from products where id = ?1")
            .bind(id)
            .fetch_optional(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(found.flatten())
    }

    /// Changes a product's price, and says in which category it is; `None` where there is no such product or it is in none.
    pub async fn change_price(&self, id: i64, price_cents: i64) -> Result<Option<String>, OriginError> {
        // Read to the end, so that the statement has ended, and its change lasts, when this returns.
        let changed: Vec<Option<String>> =
            sqlx::query_scalar("update products set price_cents = ?2 where id = ?1 returning category")
                .bind(id)
                .bind(price_cents)
                .fetch_all(&self.writer)
                .await
                .map_err(unavailable)?;
        Ok(changed.into_iter().next().flatten())
    }
}

/// The catalogue as one JSON array.
fn unpacked(catalogue: &[u8]) -> std::io::Result<String> {
    let mut lines = String::new();
    GzDecoder::new(catalogue).read_to_string(&mut lines)?;
    let items: Vec<&str> = lines.lines().collect();
    Ok(format!("[{}]", items.join(",")))
}

fn unavailable(error: sqlx::Error) -> OriginError {
    OriginError::Unavailable(Box::new(error))
}
