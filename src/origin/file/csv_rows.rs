//! Rows of CSV or TSV as items: the header names the members, and each row becomes one object of the same members.
//!
//! Such a file knows only texts. A cell that is spelt as JSON spells a number, without an exponent, is a number and keeps
//! its spelling (`1.50`); one that could not be read back exactly (an integer beyond 64 bits, more than 15 digits with a
//! point) and one with a leading zero or a sign `+` is a text, since it is more likely a code than a count. An empty cell is
//! null. Taking only canonical spellings (`1.5`, not `1.50`) as numbers would sort a column of prices half as numbers,
//! half as texts. Names and parameters go by the spelling, and an id that is no integer is a string: `1.10` is not `1.1`.
//!
//! Exports of spreadsheets are accepted: a first line `sep=;`, columns without a name (left out), rows of empty cells (left
//! out), empty cells behind the last column. A damaged row is refused with its line: see [`SoundQuotes`].

use std::{
    io::{self, Cursor, Read as _},
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use encoding_rs::Encoding;

use super::{
    csv_quotes::SoundQuotes,
    decoded::Decoded,
    reading::{Damaged, Each, ReadError, with_commas},
};
use crate::{
    listing::{Field, Item, ItemId, Taken},
    origin::{
        ITEM_BYTES_MAX, OriginError, SortValue,
        members::{Member, WantedFields},
        number,
        object::ObjectWriter,
        selection::Candidate,
    },
};

/// The longest first line that names the delimiter: `sep=;` and the line's end.
const SEPARATOR_LINE_MAX: u64 = 7;
/// Columns that an error names.
const COLUMNS_NAMED_MAX: usize = 30;

/// A file of rows.
pub(super) struct Rows<'f> {
    pub path: &'f Path,
    /// A first line `sep=;` says another one.
    pub delimiter: u8,
    pub encoding: Option<&'static Encoding>,
    /// Whether the decimal point is a comma.
    pub decimal_comma: bool,
    /// How many columns without a name were told last.
    pub unnamed_told: &'f AtomicUsize,
}

/// The columns that have a name.
struct Header {
    names: Vec<Box<str>>,
    /// Where each of them stands in a row.
    places: Vec<usize>,
    /// Columns with and without a name.
    columns: usize,
}

impl Rows<'_> {
    /// Hands on each row as an item.
    pub(super) fn read(
        &self,
        bytes: Box<dyn io::Read>,
        wanted: &WantedFields,
        each: &mut Each<'_>,
    ) -> Result<(), ReadError> {
        let mut text = Decoded::new(bytes, self.encoding);
        let mut start = Vec::new();
        (&mut text)
            .take(SEPARATOR_LINE_MAX)
            .read_to_end(&mut start)
            .map_err(damaged)?;
        let (delimiter, skipped) = separator_line(&start).unwrap_or((self.delimiter, 0));
        let lines_skipped = u64::from(skipped > 0);
        let text = Cursor::new(start.split_off(skipped)).chain(text);
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            // How many cells a row must have is checked here.
            .flexible(true)
            .from_reader(SoundQuotes::new(text, delimiter, 1 + lines_skipped));

        let header = self.header(reader.headers().map_err(csv_error)?)?;
        let columns = wanted.fields.iter().map(|field| header.column(field, delimiter));
        let columns: Vec<Option<usize>> = columns.collect::<Result<_, _>>()?;
        let mut object = ObjectWriter::new(header.names.iter().map(|name| &**name));
        let mut row = csv::StringRecord::new();
        let mut position = 0;
        while reader.read_record(&mut row).map_err(csv_error)? {
            if row.iter().all(str::is_empty) {
                continue;
            }
            position += 1;
            let line = row.position().map_or(0, csv::Position::line) + lines_skipped;
            header
                .check(&row)
                .map_err(|reason| bad_row(position, format!("line {line}: {reason}")))?;
            let cell = |column: &Option<usize>| match column {
                Some(column) => Member::cell(row.get(*column).unwrap_or_default()),
                None => Member::Missing,
            };
            let mut item = CsvItem {
                line,
                members: match self.decimal_comma {
                    false => columns.iter().map(cell).collect(),
                    true => with_commas(columns.iter().map(cell), wanted).collect(),
                },
                id: columns.first().copied().flatten(),
                id_is_text: wanted.fields.first().is_some_and(|id| id.taken == Taken::Text),
                header: &header,
                row: &row,
                object: &mut object,
            };
            if !each(position, &mut item)? {
                break;
            }
        }
        Ok(())
    }

    fn header(&self, header: &csv::StringRecord) -> Result<Header, ReadError> {
        let named = header.iter().enumerate().filter(|(_, name)| !name.trim().is_empty());
        let (places, names): (Vec<usize>, Vec<Box<str>>) = named.map(|(at, name)| (at, name.into())).unzip();
        for (at, name) in names.iter().enumerate() {
            if names.iter().take(at).any(|before| before == name) {
                return Err(misdeclared(format!("the file has two columns `{name}`")));
            }
        }
        let unnamed = header.len() - names.len();
        if self.unnamed_told.swap(unnamed, Ordering::Relaxed) != unnamed && unnamed > 0 {
            tracing::warn!(file = %self.path.display(), columns = unnamed, "columns without a name are left out");
        }
        Ok(Header {
            names,
            places,
            columns: header.len(),
        })
    }
}

impl Header {
    /// Where a column stands in a row; `None` where it is not there and need not be.
    fn column(&self, wanted: &Field, delimiter: u8) -> Result<Option<usize>, ReadError> {
        let found = self
            .names
            .iter()
            .position(|name| matches!(wanted.steps(), [only] if only == name));
        let place = found.and_then(|at| self.places.get(at).copied());
        if place.is_some() || wanted.optional {
            return Ok(place);
        }
        let header = self.describe(delimiter);
        Err(misdeclared(format!("the file has no column `{wanted}`; {header}")))
    }

    fn describe(&self, delimiter: u8) -> String {
        if self.names.is_empty() {
            return "its first line names none".to_owned();
        }
        let named = self.names.iter().take(COLUMNS_NAMED_MAX);
        let named: Vec<String> = named.map(|name| format!("`{}`", name.escape_debug())).collect();
        let mut text = format!("its header has {}", named.join(", "));
        if let Some(more @ 1..) = self.names.len().checked_sub(COLUMNS_NAMED_MAX) {
            text.push_str(&format!(" and {more} more"));
        }
        if let [only] = &*self.names
            && let Some(other) = only
                .chars()
                .find(|c| matches!(c, ';' | '\t' | ',' | '|') && *c != char::from(delimiter))
        {
            text.push_str(&format!(
                ": if the delimiter is `{0}`, say `delimiter = \"{0}\"`",
                other.escape_debug()
            ));
        }
        text
    }

    /// A row has a cell for each column that has a name, and nothing behind the last column.
    fn check(&self, row: &csv::StringRecord) -> Result<(), String> {
        let needed = self.places.last().map_or(0, |last| last + 1);
        let has_more = row.iter().skip(self.columns).any(|cell| !cell.is_empty());
        if row.len() < needed || has_more {
            return Err(format!(
                "the row has {} cells, and the header {}",
                row.len(),
                self.columns
            ));
        }
        Ok(())
    }
}

/// The delimiter that a spreadsheet's first line names, and how many bytes the line has.
fn separator_line(start: &[u8]) -> Option<(u8, usize)> {
    let (said, rest) = start.split_at_checked(b"sep=".len())?;
    let (delimiter, end) = rest.split_first()?;
    let end = match end {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        [] => 0,
        _ => return None,
    };
    let sound = delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\r' | b'\n');
    (said.eq_ignore_ascii_case(b"sep=") && sound).then_some((*delimiter, said.len() + 1 + end))
}

struct CsvItem<'r> {
    line: u64,
    members: Vec<Member>,
    /// The id's column.
    id: Option<usize>,
    /// Whether the id is a string even where it is an integer.
    id_is_text: bool,
    header: &'r Header,
    row: &'r csv::StringRecord,
    object: &'r mut ObjectWriter,
}

impl Candidate for CsvItem<'_> {
    fn members(&self) -> &[Member] {
        &self.members
    }

    fn item(&mut self) -> Result<Item, String> {
        let line = self.line;
        let at_line = |reason: String| format!("line {line}: {reason}");
        let id = match self.members.first() {
            Some(Member::Cell(text) | Member::Comma(text)) => ItemId::parse(text),
            _ => None,
        };
        let id = id.ok_or_else(|| at_line(format!("an id has 1 to {} bytes", ItemId::BYTES_MAX)))?;
        self.object.begin();
        for (at, column) in self.header.places.iter().enumerate() {
            let text = self.row.get(*column).unwrap_or_default();
            self.object.member(at);
            match number::of_cell(text) {
                Some(number)
                    if self.id == Some(*column) && (self.id_is_text || matches!(number, SortValue::Real(_))) =>
                {
                    self.object.text(text)
                }
                Some(_) => self.object.raw(text),
                None if text.is_empty() => self.object.null(),
                None => self.object.text(text),
            }
        }
        let json = self.object.end();
        if json.len() > ITEM_BYTES_MAX {
            return Err(at_line(format!("an item may have {ITEM_BYTES_MAX} bytes")));
        }
        Ok(Item { id, json })
    }

    fn names(&self, max: usize) -> Vec<String> {
        self.header.names.iter().take(max).map(ToString::to_string).collect()
    }
}

fn misdeclared(reason: String) -> ReadError {
    ReadError::Origin(OriginError::Misdeclared(reason))
}

fn bad_row(position: u64, reason: String) -> ReadError {
    ReadError::Origin(OriginError::BadItem { position, reason })
}

fn csv_error(error: csv::Error) -> ReadError {
    let reason = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => damaged(error),
        _ => ReadError::Origin(OriginError::Damaged(reason)),
    }
}

/// An error in the file's text, as opposed to one of its device or its packing.
fn damaged(error: io::Error) -> ReadError {
    if error.get_ref().is_some_and(|source| source.is::<Damaged>()) {
        ReadError::Origin(OriginError::Damaged(error.to_string()))
    } else {
        ReadError::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_may_name_the_delimiter() {
        for (start, expect) in [
            ("sep=;\r\n", Some((b';', 7))),
            ("SEP=\t\n", Some((b'\t', 6))),
            ("sep=|", Some((b'|', 5))),
            ("sep=;x\n", None),
            ("sep=\"\n", None),
            ("sep=ö\n", None),
            ("sep=", None),
            ("id;x\n", None),
        ] {
            assert_eq!(separator_line(start.as_bytes()), expect, "{start}");
        }
    }
}
