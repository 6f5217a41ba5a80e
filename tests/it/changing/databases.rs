//! Databases of shops, all by the same functions; and the blocks of docs/changes.md that are run on them.

use std::{collections::BTreeMap, fs};

use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection, Decode, MySqlConnection, PgConnection, Row, SqliteConnection, Type,
};
use tempfile::TempDir;

use super::Product;
use crate::support::{MariadbDatabase, PostgresDatabase, eventually};

/// The tables that the triggers of the manual follow.
pub const SCHEMA: &str = "
    create table products (id bigint primary key, name varchar(100), sold_out integer not null);
    create table offers (product_id bigint not null, price_cents bigint);
    create table product_category (product_id bigint not null, category varchar(100) not null);
    create index offers_of on offers (product_id);
    create index categories_of on product_category (product_id);";

/// Rows of an insert.
const ROWS_TOGETHER: usize = 500;

/// A database of a test's own.
pub struct ShopDatabase {
    pub url: String,
    connection: Writer,
    /// Where a database is a file.
    _directory: Option<TempDir>,
}

/// A connection that writes.
pub enum Writer {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    Mariadb(MySqlConnection),
}

/// Does the same to a connection of any kind.
macro_rules! with {
    ($writer:expr, $connection:ident => $work:expr) => {
        match $writer {
            Writer::Sqlite($connection) => $work.unwrap(),
            Writer::Postgres($connection) => $work.unwrap(),
            Writer::Mariadb($connection) => $work.unwrap(),
        }
    };
}

impl Writer {
    pub async fn open(url: &str) -> Self {
        match url.split(':').next() {
            Some("sqlite") => Self::Sqlite(SqliteConnection::connect(url).await.unwrap()),
            Some("postgres") => Self::Postgres(PgConnection::connect(url).await.unwrap()),
            _ => Self::Mariadb(MySqlConnection::connect(url).await.unwrap()),
        }
    }

    /// Runs statements.
    pub async fn run(&mut self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        with!(self, connection => sqlx::raw_sql(sql).execute(connection).await.map(drop));
    }

    /// The texts of the last column.
    async fn texts(&mut self, query: &str) -> Vec<String> {
        fn last<R: Row>(row: R) -> String
        where
            usize: ColumnIndex<R>,
            for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
        {
            row.get(row.len() - 1)
        }
        let sql = AssertSqlSafe(query.to_owned());
        with!(self, connection => sqlx::query(sql).fetch_all(connection).await.map(|rows| rows.into_iter().map(last).collect()))
    }

    pub async fn number(&mut self, query: &'static str) -> i64 {
        with!(self, connection => sqlx::query_scalar(query).fetch_one(connection).await)
    }
}

impl ShopDatabase {
    pub async fn sqlite() -> Self {
        let directory = TempDir::new().unwrap();
        let url = format!("sqlite:{}", directory.path().join("shop.db").display());
        let mut connection = Writer::open(&format!("{url}?mode=rwc")).await;
        connection.run("pragma journal_mode = wal").await;
        Self {
            url,
            connection,
            _directory: Some(directory),
        }
    }

    pub async fn postgres() -> Self {
        Self::at(PostgresDatabase::create("select 1").await.url()).await
    }

    pub async fn mariadb() -> Self {
        Self::at(MariadbDatabase::create("select 1").await.url()).await
    }

    async fn at(url: String) -> Self {
        Self {
            connection: Writer::open(&url).await,
            url,
            _directory: None,
        }
    }

    pub async fn run(&mut self, sql: &str) {
        self.connection.run(sql).await;
    }

    /// The tables of the shop that a query reads from end to end, as the database plans it.
    pub async fn scanned(&mut self, query: &str) -> Vec<String> {
        let (explain, scan) = match &self.connection {
            Writer::Sqlite(_) => ("explain query plan", "SCAN "),
            Writer::Postgres(_) => ("explain (costs off)", "Seq Scan on "),
            // Cut before each table: one of its first members is how it is read.
            Writer::Mariadb(_) => ("explain format = json", "\"table_name\": \""),
        };
        let plan = self.connection.texts(&format!("{explain} {query}")).await.join("\n");
        let is_scanned = |rest: &&str| scan.starts_with(['S']) || rest.contains("\"access_type\": \"ALL\"");
        let read = plan.split(scan).skip(1).filter(is_scanned);
        let tables = read.filter_map(|rest| {
            rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .next()
        });
        let of_shop = tables.filter(|table| ["products", "offers", "p", "o"].contains(table));
        of_shop.map(str::to_owned).collect()
    }

    pub async fn number(&mut self, query: &'static str) -> i64 {
        self.connection.number(query).await
    }

    /// Rows of the outbox that are committed.
    pub async fn waiting_rows(&mut self) -> i64 {
        self.number("select count(*) from listcache_outbox").await
    }

    /// Waits until no row is left.
    pub async fn outbox_is_empty(&mut self) {
        eventually(async || match self.waiting_rows().await {
            0 => Ok(()),
            rows => Err(format!("{rows} rows wait")),
        })
        .await;
    }
}

/// All blocks of a language below a heading of a document, up to the next heading.
pub fn blocks(document: &str, heading: &str, language: &str) -> String {
    let path = format!("{}/docs/{document}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").flat_map(|section| section.split("\n### "));
    let section = section
        .map(|section| section.split_once('\n').unwrap_or((section, "")))
        .find(|(title, _)| title.trim_start_matches('#').trim().ends_with(heading))
        .unwrap_or_else(|| panic!("docs/{document} has no `{heading}`"))
        .1;
    let opening = format!("```{language}\n");
    let blocks = section.split(&opening).skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert!(
        !blocks.is_empty(),
        "docs/{document} has no block of {language} below `{heading}`"
    );
    blocks.join("\n")
}

/// The section of the configuration that names the outbox, with more looks into it.
pub fn outbox_section() -> String {
    let section = blocks("changes.md", "The outbox", "toml");
    let quick = section.replace("every = \"1s\"", "every = \"100ms\"");
    assert_ne!(quick, section);
    quick
}

/// The statements that insert these products, in one transaction.
pub fn rows_of(products: &BTreeMap<i64, Product>) -> String {
    let (mut of_products, mut of_offers, mut of_categories) = (Vec::new(), Vec::new(), Vec::new());
    for (id, product) in products {
        let (name, sold_out) = (product.name.as_deref().unwrap(), i32::from(product.sold_out));
        of_products.push(format!("({id}, {}, {sold_out})", literal(name)));
        of_offers.extend(product.offers.iter().flatten().map(|price| format!("({id}, {price})")));
        let categories = product.categories.iter();
        of_categories.extend(categories.map(|category| format!("({id}, {})", literal(category))));
    }
    let mut sql = "begin;".to_owned();
    for (table, rows) in [
        ("products", of_products),
        ("offers", of_offers),
        ("product_category", of_categories),
    ] {
        for rows in rows.chunks(ROWS_TOGETHER) {
            sql += &format!("insert into {table} values {};", rows.join(", "));
        }
    }
    sql + "commit"
}

/// A text as SQL has it.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
