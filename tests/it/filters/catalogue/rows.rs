//! The rows of a catalogue: each origin is filled with them, and each page is held against them.

use std::{io::Read as _, path::Path};

use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};

/// Columns, with their types in SQL.
pub const COLUMNS: [(&str, &str); 14] = [
    ("id", "bigint primary key"),
    ("name", "varchar(200)"),
    ("department", "varchar(200)"),
    ("category", "varchar(200)"),
    ("type", "varchar(200)"),
    ("brand", "varchar(200)"),
    ("manufacturer_id", "bigint"),
    ("price_cents", "bigint"),
    ("list_cents", "bigint"),
    ("orders", "bigint"),
    ("first_sold", "varchar(200)"),
    ("discount", "bigint"),
    ("on_sale", "boolean"),
    ("tags", "varchar(200)"),
];
/// Sorts, each with its column, and whether its greatest value comes first.
pub const SORTS: [(&str, &str, bool); 6] = [
    ("price", "price_cents", false),
    ("list_price", "list_cents", true),
    ("name", "name", false),
    ("popularity", "orders", true),
    ("newest", "first_sold", true),
    ("discount", "discount", true),
];
/// Filters of values: name, column, and the other keys of their declaration.
pub const VALUES: [(&str, &str, &str); 7] = [
    ("brand", "brand", ""),
    ("department", "department", ""),
    ("category", "category", ""),
    ("kind", "type", ""),
    ("maker", "manufacturer_id", ""),
    ("on_sale", "on_sale", ", as = \"boolean\""),
    ("tag", "tags", ", separator = \"|\""),
];
/// Filters of ranges: name, column and steps.
pub const RANGES: [(&str, &str, &[i64]); 3] = [
    ("price", "price_cents", &[100, 200, 500, 1000]),
    ("orders", "orders", &[2, 10, 100, 1000]),
    ("discount", "discount", &[10, 50]),
];
/// The character between two tags of a row.
pub const SEPARATOR: char = '|';

/// A product, for the model.
pub struct Row {
    pub id: i64,
    pub category: Option<String>,
    /// Its values of each of [`VALUES`].
    pub values: Vec<Vec<String>>,
    /// Its number of each of [`RANGES`].
    pub numbers: Vec<Option<i64>>,
    /// All its columns.
    pub json: Value,
}

/// A catalogue, with the orders in which its sorts put it.
pub struct Catalogue {
    pub rows: Vec<Row>,
    /// The categories, each with its rows.
    pub categories: Vec<(String, Vec<usize>)>,
    /// For each of [`SORTS`] the place of each row.
    places: Vec<Vec<usize>>,
}

impl Catalogue {
    /// Reads gzipped NDJSON, and sorts it in all ways.
    pub fn read(file: &Path) -> Self {
        let mut text = String::new();
        let packed = std::fs::File::open(file).unwrap();
        MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
        let rows: Vec<Row> = text.lines().map(Row::of).collect();
        let mut categories: Vec<(String, Vec<usize>)> = Vec::new();
        let mut by_category: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].category.is_some()).collect();
        by_category.sort_by_key(|at| &rows[*at].category);
        for at in by_category {
            let name = rows[at].category.clone().unwrap();
            match categories.last_mut() {
                Some((last, members)) if *last == name => members.push(at),
                _ => categories.push((name, vec![at])),
            }
        }
        let places = SORTS.map(|(_, column, is_desc)| places(&rows, column, is_desc)).into();
        Self {
            rows,
            categories,
            places,
        }
    }

    /// These rows in the order of a sort.
    pub fn sorted(&self, mut rows: Vec<usize>, sort: usize) -> Vec<usize> {
        rows.sort_by_key(|row| self.places[sort][*row]);
        rows
    }
}

impl Row {
    fn of(line: &str) -> Self {
        let mut json: Value = serde_json::from_str(line).unwrap();
        let number = |json: &Value, name: &str| json[name].as_i64().unwrap();
        let (id, price, list) = (
            number(&json, "id"),
            number(&json, "price_cents"),
            number(&json, "list_cents"),
        );
        // The catalogue has few nulls of its own.
        if id % 53 == 0 {
            json["type"] = Value::Null;
        }
        json["discount"] = if list > price { json!(list - price) } else { Value::Null };
        json["on_sale"] = json!(list > price);
        let tags = [
            ("sale", list > price),
            ("popular", number(&json, "orders") >= 50),
            ("new", json["first_sold"].as_str() >= Some("2017-06")),
            ("cheap & small", price < 150),
        ];
        let tags: Vec<&str> = tags.iter().filter(|(_, has)| *has).map(|(tag, _)| *tag).collect();
        json["tags"] = match tags.is_empty() {
            true => Value::Null,
            false => tags.join("|").into(),
        };
        Self {
            id,
            category: json["category"].as_str().map(str::to_owned),
            values: VALUES.map(|(_, column, _)| values(column, &json[column])).into(),
            numbers: RANGES.map(|(_, column, _)| json[column].as_i64()).into(),
            json,
        }
    }
}

/// The texts of a cell by which it is asked for.
fn values(column: &str, cell: &Value) -> Vec<String> {
    match cell {
        Value::Null => Vec::new(),
        Value::String(text) if column == "tags" => text.split(SEPARATOR).map(str::to_owned).collect(),
        Value::String(text) => vec![text.clone()],
        other => vec![other.to_string()],
    }
}

/// The place of each row: nulls last, and among equals the lesser id first.
fn places(rows: &[Row], column: &str, is_desc: bool) -> Vec<usize> {
    let number = |row: usize| rows[row].json[column].as_i64();
    let text = |row: usize| rows[row].json[column].as_str().map(str::as_bytes);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|one, other| {
        let (one, other) = (*one, *other);
        let is_null = |row: usize| rows[row].json[column].is_null();
        let (less, more) = if is_desc { (other, one) } else { (one, other) };
        let by_value = (number(less), text(less)).cmp(&(number(more), text(more)));
        let by_null = is_null(one).cmp(&is_null(other));
        by_null.then(by_value).then(rows[one].id.cmp(&rows[other].id))
    });
    let mut places = vec![0; rows.len()];
    for (place, row) in order.into_iter().enumerate() {
        places[row] = place;
    }
    places
}
