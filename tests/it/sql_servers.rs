//! PostgreSQL and MariaDB as origins: real servers, on sockets of their own.

mod apis;
mod beyond_json;
mod ending;
mod kept_statements;
mod same_pages;
mod sorting;
mod trying_again;
mod values;
mod waiting;

use std::time::Duration;

use futures_util::TryStreamExt;
use listcache::{
    listing::{
        Definition, Field, Policy, SortName,
        definition::{Defined, Descending, Links, Sort, SortColumn},
        pattern::NamePattern,
    },
    origin::{Origin, OriginError, OriginItem, Read, ReadOrder, SqlOrigin},
};

const TIMEOUT: Duration = Duration::from_secs(60);

fn definition(pattern: &str, query: &str) -> Definition {
    Definition {
        pattern: NamePattern::parse(pattern).unwrap(),
        origin: "shop".into(),
        query: Some(query.into()),
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

fn read_of(definition: Definition, name: &str, choices: &[(&str, &str)], order: ReadOrder) -> Read {
    let parameters = definition.pattern.matches(name).unwrap();
    Read {
        choices: definition.choices(&choices.iter().copied().collect()),
        defined: Defined {
            definition: definition.into(),
            parameters,
        },
        order,
        only: None,
    }
}

/// The read of a query without parameters.
fn read(query: &str, order: ReadOrder) -> Read {
    read_of(definition("all", query), "all", &[], order)
}

/// Columns to sort by, as in the configuration.
fn by(columns: &[&str]) -> Vec<SortColumn> {
    let columns = columns.iter().map(|column| match column.strip_suffix(" desc") {
        Some(column) => (column, true),
        None => (*column, false),
    });
    let columns = columns.map(|(column, descending)| SortColumn {
        column: column.into(),
        descending,
    });
    columns.collect()
}

fn any_order(columns: &[&str]) -> ReadOrder {
    ReadOrder::Any {
        columns: columns.iter().map(|column| Field::new(column)).collect(),
    }
}

async fn collect(origin: &SqlOrigin, read: Read) -> Result<Vec<OriginItem>, OriginError> {
    origin.read(read).await?.try_concat().await
}

fn ids(items: &[OriginItem]) -> Vec<&str> {
    items.iter().map(|item| item.item.id.as_str()).collect()
}

/// Each item's JSON, a line each.
fn lines(items: &[OriginItem]) -> String {
    let lines = items
        .iter()
        .map(|item| format!("{}\n", std::str::from_utf8(&item.item.json).unwrap()));
    lines.collect()
}

fn open(url: &str) -> SqlOrigin {
    SqlOrigin::open(url, TIMEOUT).unwrap()
}
