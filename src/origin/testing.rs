//! The common parts of the tests of origins: definitions, reads, and real databases in a directory of their own.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{Origin, OriginError, OriginItem, Read, ReadOrder, SqlOrigin, sort_key::SortKeys};
use crate::listing::{
    Definition, Field, Policy, SortName,
    definition::{Defined, Descending, Links, Sort, SortColumn, Variant},
    pattern::NamePattern,
};

pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn definition(pattern: &str, query: &str) -> Definition {
    Definition {
        pattern: NamePattern::parse(pattern).unwrap(),
        origin: "shop".into(),
        query: (!query.is_empty()).then(|| query.into()),
        id: "id".into(),
        names: None,
        names_of: None,
        next_change_query: None,
        item_query: None,
        sorts: vec![Sort {
            name: SortName::default_sort(),
            by: Vec::new(),
            desc: Descending::Mirrored,
        }],
        variants: Vec::new(),
        filters: Default::default(),
        hidden: Default::default(),
        fields: Vec::new(),
        policy: Policy::default().into(),
        version_query: None,
        hashes: Default::default(),
        links: Links::default(),
    }
}

pub(super) fn variant(parameter: &str, values: &[&str]) -> Variant {
    Variant {
        parameter: parameter.into(),
        properties: Vec::new(),
        values: values.iter().map(|value| Arc::from(*value)).collect(),
    }
}

pub(super) fn defined(definition: Definition, name: &str) -> Defined {
    let parameters = definition.pattern.matches(name).unwrap();
    Defined {
        definition: definition.into(),
        parameters,
    }
}

pub(super) fn read(definition: Definition, name: &str, choices: &[(&str, &str)], order: ReadOrder) -> Read {
    Read {
        choices: definition.choices(&choices.iter().copied().collect()),
        defined: defined(definition, name),
        order,
        only: None,
    }
}

/// Columns to sort by, as in the configuration: `price`, `price desc`.
pub(super) fn by(columns: &[&str]) -> Vec<SortColumn> {
    let columns = columns.iter().map(|column| match column.strip_suffix(" desc") {
        Some(column) => (column, true),
        None => (*column, false),
    });
    columns
        .map(|(column, descending)| SortColumn {
            column: column.into(),
            descending,
        })
        .collect()
}

pub(super) fn any_order(columns: &[&str]) -> ReadOrder {
    ReadOrder::Any {
        columns: columns.iter().map(|column| Field::new(column)).collect(),
    }
}

pub(super) async fn collect(origin: &dyn Origin, read: Read) -> Result<Vec<OriginItem>, OriginError> {
    origin.read(read).await?.try_concat().await
}

pub(super) fn ids(items: &[OriginItem]) -> Vec<&str> {
    items.iter().map(|item| item.item.id.as_str()).collect()
}

/// The sort keys of items that all have one.
pub(super) fn keys_of<'i>(items: impl IntoIterator<Item = &'i OriginItem>, keys: &SortKeys) -> Vec<Vec<u8>> {
    let key = |item| keys.write(item, &mut Vec::new()).unwrap().to_vec();
    items.into_iter().map(key).collect()
}

/// Each item's JSON, a line each.
pub(super) fn lines(items: &[OriginItem]) -> String {
    items
        .iter()
        .map(|item| format!("{}\n", std::str::from_utf8(&item.item.json).unwrap()))
        .collect()
}

/// A database file, and a connection that writes to it.
pub(super) struct TestDatabase {
    pub directory: TempDir,
    pub writer: SqliteConnection,
}

impl TestDatabase {
    pub(super) async fn create(statements: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut database = Self {
            writer: Self::connect(&directory, "shop.db").await,
            directory,
        };
        database.run(statements).await;
        database
    }

    pub(super) async fn connect(directory: &TempDir, file: &str) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(directory.path().join(file))
            .create_if_missing(true)
            .connect()
            .await
            .unwrap()
    }

    pub(super) async fn run(&mut self, statements: &'static str) {
        sqlx::raw_sql(statements).execute(&mut self.writer).await.unwrap();
    }

    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.directory.path().join("shop.db").display())
    }

    pub(super) fn origin(&self) -> SqlOrigin {
        SqlOrigin::open(&self.url(), TIMEOUT).unwrap()
    }

    pub(super) async fn close(self) -> TempDir {
        self.writer.close().await.unwrap();
        self.directory
    }
}
