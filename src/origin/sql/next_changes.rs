//! The rows of a `next_change_query`: an instant each, in the column `at`, and perhaps the id of the item that changes then.

use super::texts::TextRows;
use crate::{
    listing::{ItemId, Moment, NextChange},
    origin::OriginError,
};

/// The column of the instant.
const AT: &str = "at";

/// Instants with their items. A row without an instant says nothing; one without an id may change anything.
pub(super) fn next_changes_of(TextRows { columns, rows }: TextRows, id: &str) -> Result<Vec<NextChange>, OriginError> {
    let misdeclared = |reason: String| OriginError::Misdeclared(format!("`next_change_query`: {reason}"));
    let place_of = |column: &str| columns.iter().position(|name| **name == *column);
    let Some(at) = place_of(AT) else {
        let columns = columns.join(", ");
        return Err(misdeclared(format!("it yields no column `{AT}`, only {columns}")));
    };
    let id = place_of(id);
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        let cell = |place: usize| row.get(place).and_then(Option::as_deref);
        let Some(text) = cell(at) else { continue };
        let moment =
            Moment::parse(text).map_err(|error| misdeclared(format!("`{text}` in the column `{AT}`: {error}")))?;
        let Moment::At(at) = moment else { continue };
        // What is no id names no item: then anything may change.
        let id = id.and_then(cell).and_then(ItemId::parse);
        changes.push(NextChange { at, id });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Timestamp;

    fn read(columns: &[&str], rows: &[&[Option<&str>]]) -> Result<Vec<NextChange>, OriginError> {
        let rows = TextRows {
            columns: columns.iter().map(|column| (*column).into()).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect())
                .collect(),
        };
        next_changes_of(rows, "sku")
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let rows: &[&[Option<&str>]] = &[
            &[Some("7"), Some("x"), Some("1970-01-01 00:00:01")],
            &[None, None, Some("2")],
            &[Some("8"), None, None],
            &[Some("9"), None, Some("infinity")],
        ];
        let change = |at, id: &str| NextChange {
            at: Timestamp(at),
            id: ItemId::parse(id),
        };
        let read = |columns: &[&str]| read(columns, rows).unwrap();
        assert_eq!(read(&["sku", "name", "at"]), [change(1000, "7"), change(2000, "")]);
        // Without the id, anything changes.
        assert_eq!(read(&["id", "name", "at"]), [change(1000, ""), change(2000, "")]);
    }

    #[test]
    fn a_missing_column_and_a_bad_time_are_named() {
        let error = read(&["starts", "sku"], &[]).unwrap_err().to_string();
        assert!(error.contains("no column `at`, only starts, sku"), "{error}");
        let error = read(&["at"], &[&[Some("soon")]]).unwrap_err().to_string();
        assert!(error.contains("`soon` in the column `at`: it is no time"), "{error}");
    }
}
