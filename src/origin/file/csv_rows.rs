//! Rows of CSV as items: the header names the members, and each row becomes one object of the same members.
//!
//! CSV knows only texts. A value that is spelt as JSON spells a number, without an exponent, is a number and keeps its
//! spelling (`1.50`); one that could not be read back exactly (an integer beyond 64 bits, more than 15 digits with a
//! point) and one with a leading zero or a sign `+` is a text, for it is more likely a code than a count. Nothing is null.
//! Taking only canonical spellings (`1.5`, not `1.50`) as numbers would sort a column of prices half as numbers, half as texts.

use std::io;

use super::{Each, ReadError};
use crate::{
    listing::{Item, ItemId},
    origin::{ITEM_BYTES_MAX, OriginError, members::Member, object::ObjectWriter, selection::Candidate},
};

/// Digits that every real keeps.
const REAL_DIGITS_MAX: usize = 15;

/// Hands on each row as an item.
pub(super) fn read(bytes: Box<dyn io::Read>, wanted: &[Box<str>], each: &mut Each<'_>) -> Result<(), ReadError> {
    let mut reader = csv::ReaderBuilder::new().from_reader(bytes);
    let header = reader.headers().map_err(|error| csv_error(error, 0))?.clone();
    for (at, name) in header.iter().enumerate() {
        if header.iter().take(at).any(|before| before == name) {
            return Err(misdeclared(format!("the file has two columns `{name}`")));
        }
    }
    let columns = wanted.iter().map(|member| {
        let column = header.iter().position(|name| *name == **member);
        column.ok_or_else(|| misdeclared(format!("the file has no column `{member}`")))
    });
    let columns: Vec<usize> = columns.collect::<Result<_, _>>()?;
    let mut object = ObjectWriter::new(header.iter());
    let mut row = csv::StringRecord::new();
    let mut position = 0;
    loop {
        position += 1;
        if !reader
            .read_record(&mut row)
            .map_err(|error| csv_error(error, position))?
        {
            return Ok(());
        }
        let members = columns
            .iter()
            .map(|column| member(row.get(*column).unwrap_or_default()));
        let mut item = CsvItem {
            members: members.collect(),
            row: &row,
            object: &mut object,
        };
        if !each(position, &mut item)? {
            return Ok(());
        }
    }
}

struct CsvItem<'r> {
    members: Vec<Member>,
    row: &'r csv::StringRecord,
    object: &'r mut ObjectWriter,
}

impl Candidate for CsvItem<'_> {
    fn members(&self) -> &[Member] {
        &self.members
    }

    fn item(&mut self) -> Result<Item, String> {
        let id = match self.members.first() {
            Some(Member::Integer(number)) => Some(ItemId::from_integer(*number)),
            Some(Member::Text(text)) => ItemId::parse(text),
            _ => None,
        };
        let id = id.ok_or("the id must be a text of 1 to 256 bytes or an integer of 64 bits")?;
        self.object.begin();
        for (at, text) in self.row.iter().enumerate() {
            self.object.member(at);
            match member(text) {
                Member::Null => self.object.null(),
                Member::Text(_) => self.object.text(text),
                _ => self.object.raw(text),
            }
        }
        let json = self.object.end();
        if json.len() > ITEM_BYTES_MAX {
            return Err(format!("an item may have {ITEM_BYTES_MAX} bytes"));
        }
        Ok(Item { id, json })
    }
}

/// The value that a text of a row stands for.
fn member(text: &str) -> Member {
    if text.is_empty() {
        return Member::Null;
    }
    number(text).unwrap_or_else(|| Member::Text(text.into()))
}

fn number(text: &str) -> Option<Member> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    match fraction {
        // JSON allows `-0`, but it is no integer.
        None if text == "-0" => None,
        None => text.parse().ok().map(Member::Integer),
        Some(fraction) if all_digits(fraction) && whole.len() + fraction.len() <= REAL_DIGITS_MAX => {
            text.parse().ok().map(Member::Real)
        }
        Some(_) => None,
    }
}

fn misdeclared(reason: String) -> ReadError {
    ReadError::Origin(OriginError::Misdeclared(reason))
}

fn csv_error(error: csv::Error, position: u64) -> ReadError {
    let reason = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => ReadError::Io(error),
        _ => ReadError::Origin(OriginError::BadItem { position, reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_json_would_spell_as_a_number_is_one() {
        for (text, expect) in [
            ("0", Member::Integer(0)),
            ("-12", Member::Integer(-12)),
            ("9223372036854775807", Member::Integer(i64::MAX)),
            ("1.50", Member::Real(1.5)),
            ("-0.5", Member::Real(-0.5)),
            ("", Member::Null),
        ] {
            assert_eq!(member(text), expect, "{text}");
            assert!(text.is_empty() || serde_json::from_str::<serde_json::Number>(text).is_ok());
        }
        for text in [
            "007",
            "+1",
            "-0",
            "1.",
            ".5",
            "1e3",
            " 1",
            "1,5",
            "-",
            "--1",
            "9223372036854775808",
            "0.1234567890123456",
            "x",
            "NaN",
            "1.2.3",
            "١",
        ] {
            assert_eq!(member(text), Member::Text(text.into()), "{text}");
        }
    }
}
