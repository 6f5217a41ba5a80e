//! SQLite's rows as items: the columns in the query's order become one JSON object.
//!
//! Integers and reals become numbers, texts strings, null `null`; a column declared `JSON` is put in as it stands. A BLOB
//! has no JSON: the query must leave it out or convert it. Nor has an infinite number: see [`Formless`].

use serde::de::IgnoredAny;
use sqlx::{Decode, Row, Sqlite, TypeInfo, ValueRef, sqlite::SqliteRow};

use crate::{
    listing::{Item, ItemId, item_json::check_readable},
    origin::{
        ITEM_BYTES_MAX, OriginError, OriginItem, SortValue,
        object::ObjectWriter,
        sql::{Formless, typed::ItemColumns},
    },
};

/// Makes items of the rows of one statement.
pub(super) struct SqliteRows {
    columns: Vec<ColumnOfItem>,
    id: usize,
    keys: Vec<usize>,
    formless: Formless,
    object: ObjectWriter,
    position: u64,
}

struct ColumnOfItem {
    name: Box<str>,
    json: bool,
}

/// A value as SQLite stores it.
enum Stored<'r> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'r str),
}

impl SqliteRows {
    /// For a result of these columns, some of them declared JSON.
    pub(super) fn new(names: &[String], json: Vec<bool>, wanted: &ItemColumns) -> Result<Self, OriginError> {
        let place_of = |column: &str| {
            let place = names.iter().position(|name| **name == *column);
            place.ok_or_else(|| OriginError::Misdeclared(format!("the query yields no column `{column}`")))
        };
        Ok(Self {
            id: place_of(&wanted.id)?,
            keys: wanted.keys.iter().map(|key| place_of(key)).collect::<Result<_, _>>()?,
            object: ObjectWriter::new(names.iter().map(String::as_str)),
            columns: names
                .iter()
                .zip(json)
                .map(|(name, json)| ColumnOfItem {
                    name: name.as_str().into(),
                    json,
                })
                .collect(),
            formless: wanted.formless.clone(),
            position: 0,
        })
    }

    /// The next row as an item.
    pub(super) fn item(&mut self, row: &SqliteRow) -> Result<OriginItem, OriginError> {
        self.position += 1;
        let position = self.position;
        self.try_item(row)
            .map_err(|reason| OriginError::BadItem { position, reason })
    }

    fn try_item(&mut self, row: &SqliteRow) -> Result<OriginItem, String> {
        self.object.begin();
        for (at, column) in self.columns.iter().enumerate() {
            self.object.member(at);
            let value = stored(row, at).map_err(|reason| format!("column `{}`: {reason}", column.name))?;
            match value {
                Stored::Null => self.object.null(),
                Stored::Integer(number) => self.object.integer(number),
                Stored::Real(number) if number.is_finite() => self.object.real(number),
                Stored::Real(_) => {
                    let reason = format!("column `{}`: an infinite number has no JSON", column.name);
                    self.formless.becomes_null(self.position, reason)?;
                    self.object.null();
                }
                Stored::Text(text) if column.json => {
                    serde_json::from_str::<IgnoredAny>(text)
                        .map_err(|error| format!("column `{}`, declared JSON: {error}", column.name))?;
                    self.object.raw(text);
                }
                Stored::Text(text) => self.object.text(text),
            }
        }
        let json = self.object.end();
        if self.columns.iter().any(|column| column.json) {
            check_readable(&json).map_err(|error| error.to_string())?;
        }
        if json.len() > ITEM_BYTES_MAX {
            return Err(format!(
                "an item may have {ITEM_BYTES_MAX} bytes, and this one has {}",
                json.len()
            ));
        }
        let keys = self.keys.iter().map(|at| stored(row, *at).map(SortValue::from));
        let id_value = stored(row, self.id)?;
        let id = match &id_value {
            Stored::Integer(number) => Some(ItemId::from_integer(*number)),
            Stored::Text(text) => ItemId::parse(text),
            _ => None,
        };
        let id = id.ok_or("the id must be an integer or a text of 1 to 256 bytes")?;
        Ok(OriginItem {
            keys: keys.collect::<Result<_, _>>()?,
            id: id_value.into(),
            item: Item { id, json },
        })
    }
}

impl From<Stored<'_>> for SortValue {
    fn from(stored: Stored<'_>) -> Self {
        match stored {
            Stored::Null => Self::Null,
            Stored::Integer(number) => Self::Integer(number),
            Stored::Real(number) => Self::Real(number),
            Stored::Text(text) => Self::Text(text.into()),
        }
    }
}

/// A value of a row as text, as it stands in names and parameters; `None` for null.
pub(super) fn text_of(row: &SqliteRow, column: usize, position: u64) -> Result<Option<String>, OriginError> {
    let value = stored(row, column).map_err(|reason| OriginError::BadItem { position, reason })?;
    Ok(match value {
        Stored::Null => None,
        Stored::Integer(number) => Some(number.to_string()),
        Stored::Real(number) => serde_json::Number::from_f64(number).map(|number| number.to_string()),
        Stored::Text(text) => Some(text.to_owned()),
    })
}

/// Whether a value is a BLOB, which is no text.
pub(super) fn is_blob(row: &SqliteRow, column: usize) -> bool {
    row.try_get_raw(column)
        .is_ok_and(|value| !value.is_null() && value.type_info().name() == "BLOB")
}

/// The value, by what is stored: a column's declared type binds nobody in SQLite.
fn stored(row: &SqliteRow, column: usize) -> Result<Stored<'_>, String> {
    let value = row.try_get_raw(column).map_err(|error| error.to_string())?;
    // A null has its column's type.
    if value.is_null() {
        return Ok(Stored::Null);
    }
    // The type is borrowed from the value, which decoding takes.
    let class = match value.type_info().name() {
        "INTEGER" => Class::Integer,
        "REAL" => Class::Real,
        "TEXT" => Class::Text,
        class => return Err(format!("a {class} has no JSON")),
    };
    match class {
        Class::Integer => Decode::<Sqlite>::decode(value).map(Stored::Integer),
        Class::Real => Decode::<Sqlite>::decode(value).map(Stored::Real),
        Class::Text => Decode::<Sqlite>::decode(value).map(Stored::Text),
    }
    .map_err(|error| error.to_string())
}

enum Class {
    Integer,
    Real,
    Text,
}
