//! One catalogue behind five origins: SQLite, PostgreSQL, MariaDB, a file of NDJSON, and an API that speaks JSON:API.

use std::{any::Any, collections::HashMap, fs};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{
    asked::encoded,
    rows::{COLUMNS, Catalogue, RANGES, SORTS, VALUES},
};
use crate::support::{
    MariadbDatabase, PostgresDatabase,
    api::{Api, ApiAnswer, ApiRequest},
};

/// Rows of an insert.
const ROWS: usize = 500;
/// Items of a page of the API.
const PAGE: usize = 1000;

/// An origin. It ends when this is dropped.
pub struct Source {
    /// Its keys in `[origins.shop]`.
    origin: String,
    /// The queries of its two listings: all, and a category.
    queries: [Option<&'static str>; 2],
    /// The beginning of a column's place in an item.
    prefix: &'static str,
    /// The declaration of the id, unless it is a column like the others.
    id: &'static str,
    /// The database, the file's folder or the server.
    _kept: Box<dyn Any>,
}

const SQL: [Option<&str>; 2] = [
    Some("select * from products"),
    Some("select * from products where category = :category"),
];

impl Source {
    pub async fn sqlite(catalogue: &Catalogue) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("shop.db");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut writer: SqliteConnection = options.disable_statement_logging().connect().await.unwrap();
        let statements = inserts(catalogue).collect::<Vec<_>>().join(";\n");
        let whole = format!("{};\nbegin;\n{statements};\ncommit", table());
        sqlx::raw_sql(AssertSqlSafe(whole)).execute(&mut writer).await.unwrap();
        writer.close().await.unwrap();
        Self::sql(&format!("sqlite:{}", file.display()), directory)
    }

    pub async fn postgres(catalogue: &Catalogue) -> Self {
        let mut database = PostgresDatabase::create("select 1").await;
        for statement in std::iter::once(table()).chain(inserts(catalogue)) {
            let statement = sqlx::raw_sql(AssertSqlSafe(statement));
            statement.execute(&mut database.writer).await.unwrap();
        }
        Self::sql(&database.url(), database)
    }

    pub async fn mariadb(catalogue: &Catalogue) -> Self {
        let mut database = MariadbDatabase::create("set sql_mode = 'STRICT_ALL_TABLES'").await;
        for statement in std::iter::once(table()).chain(inserts(catalogue)) {
            let statement = sqlx::raw_sql(AssertSqlSafe(statement));
            statement.execute(&mut database.writer).await.unwrap();
        }
        Self::sql(&database.url(), database)
    }

    pub fn ndjson(catalogue: &Catalogue) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("shop.ndjson");
        let lines: String = catalogue.rows.iter().map(|row| format!("{}\n", row.json)).collect();
        fs::write(&file, lines).unwrap();
        Self {
            origin: format!("kind = \"file\"\npath = \"{}\"", file.display()),
            queries: [None, None],
            prefix: "",
            id: "",
            _kept: Box::new(directory),
        }
    }

    /// An API whose pages name the next one; the members of a product are below `attributes`.
    pub fn json_api(catalogue: &Catalogue) -> Self {
        let mut listings: HashMap<String, Vec<String>> = HashMap::new();
        for row in &catalogue.rows {
            let mut attributes = row.json.as_object().unwrap().clone();
            attributes.remove("id");
            let item = json!({"type": "products", "id": row.id.to_string(), "attributes": attributes}).to_string();
            if let Some(category) = &row.category {
                let path = format!("/categories/{}/products", encoded(category));
                listings.entry(path).or_default().push(item.clone());
            }
            listings.entry("/products".to_owned()).or_default().push(item);
        }
        let api = Api::start(move |request| page(&listings, request));
        let paging = "paging = \"url\"\nitems = \"/data\"\nnext = \"/links/next\"\ntotal = \"/meta/total\"";
        Self {
            origin: format!("kind = \"http\"\nurl = \"{}\"\npage_size = {PAGE}\n{paging}", api.url),
            queries: [
                Some("GET /products?page%5Bsize%5D=:limit"),
                Some("GET /categories/:category/products?page%5Bsize%5D=:limit"),
            ],
            prefix: "/attributes/",
            id: "id = { field = \"/id\", as = \"number\" }\n",
            _kept: Box::new(api),
        }
    }

    fn sql(url: &str, kept: impl Any) -> Self {
        Self {
            origin: format!("kind = \"sql\"\nurl = \"{url}\""),
            queries: SQL,
            prefix: "",
            id: "",
            _kept: Box::new(kept),
        }
    }

    /// The configuration of a service: the listings `all` and `category:{category}`.
    pub fn config(&self, redis: &str) -> String {
        let listing = |(name, query): (&str, Option<&str>)| {
            let query = query.map(|query| format!("query = \"{query}\"\n")).unwrap_or_default();
            let (id, sorts, filters) = (self.id, self.sorts(), self.filters());
            format!("[[listings]]\nname = \"{name}\"\norigin = \"shop\"\n{query}{id}{sorts}{filters}")
        };
        let listings = ["all", "category:{category}"].into_iter().zip(self.queries);
        format!(
            r#"
            [http]
            fill_wait = "60s"
            [redis]
            url = "{redis}"
            # Pages are checked here, not times: a busy machine may take longer.
            read_timeout = "10s"
            [l1]
            filters_max = "256MiB"
            [defaults]
            fresh_for = "12h"
            keep_for = "24h"
            pin_for = "24h"
            facet_values_max = 10000
            [origins.shop]
            timeout = "5m"
            {}
            {}"#,
            self.origin,
            listings.map(listing).collect::<String>()
        )
    }

    fn sorts(&self) -> String {
        let sort = |(name, column, is_desc): (&str, &str, bool)| {
            let prefix = self.prefix;
            format!("{name} = {{ by = [{{ field = \"{prefix}{column}\", desc = {is_desc} }}] }}\n")
        };
        format!("[listings.sorts]\n{}", SORTS.map(sort).concat())
    }

    fn filters(&self) -> String {
        let prefix = self.prefix;
        let values = VALUES.map(|(name, column, keys)| format!("{name} = {{ at = \"{prefix}{column}\"{keys} }}\n"));
        let ranges = RANGES.map(|(name, column, steps)| {
            format!("{name} = {{ at = \"{prefix}{column}\", range = true, steps = {steps:?} }}\n")
        });
        format!("[listings.filters]\n{}{}", values.concat(), ranges.concat())
    }
}

fn table() -> String {
    let columns = COLUMNS.map(|(name, of)| format!("{name} {of}"));
    format!(
        "create table products ({}); create index by_category on products (category)",
        columns.join(", ")
    )
}

/// The rows as statements that all three databases read alike.
fn inserts(catalogue: &Catalogue) -> impl Iterator<Item = String> {
    let literal = |cell: &Value| match cell {
        Value::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    };
    catalogue.rows.chunks(ROWS).map(move |rows| {
        let rows = rows.iter().map(|row| {
            let cells = COLUMNS.map(|(column, _)| literal(&row.json[column]));
            format!("({})", cells.join(", "))
        });
        format!("insert into products values {}", rows.collect::<Vec<_>>().join(",\n"))
    })
}

/// A page of a listing, as JSON:API has it.
fn page(listings: &HashMap<String, Vec<String>>, request: &ApiRequest) -> ApiAnswer {
    let Some(items) = listings.get(&canonical(&request.path)) else {
        return ApiAnswer::status(404);
    };
    let size = request.number_of("page[size]").unwrap();
    let number = request.number_of("page[number]").unwrap_or(1);
    let from = ((number - 1) * size).min(items.len());
    let to = (from + size).min(items.len());
    let next = match to < items.len() {
        true => json!(format!(
            "{}?page%5Bnumber%5D={}&page%5Bsize%5D={size}",
            request.path,
            number + 1
        )),
        false => Value::Null,
    };
    ApiAnswer::json(format!(
        r#"{{"data": [{}], "links": {{"next": {next}}}, "meta": {{"total": {}}}}}"#,
        items[from..to].join(","),
        items.len()
    ))
}

/// A path with each segment encoded as in the table.
fn canonical(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        let text = percent_encoding::percent_decode_str(segment).decode_utf8().unwrap();
        encoded(&text)
    });
    segments.collect::<Vec<_>>().join("/")
}
