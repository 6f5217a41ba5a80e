//! The server's binary values.
//!
//! The driver hands out the bytes of a value as they came; the column's type tells their meaning, as the protocol
//! of prepared statements has it.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use sqlx::{
    Decode, MySql, Row, Type, TypeInfo,
    mysql::{MySqlRow, MySqlTypeInfo},
};

use crate::origin::{SortValue, sql::typed::Value};

/// The kinds of columns that are written differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MysqlKind {
    /// `tinyint(1)`, which is what `boolean` is.
    Bool,
    Integer,
    Unsigned,
    Single,
    Real,
    Decimal,
    Text,
    /// A long text of a binary collation: on MariaDB perhaps JSON.
    BinaryText,
    Json,
    Date,
    /// `datetime` and `timestamp`: UTC.
    Moment,
    Time,
    Bits,
    Bytes,
    /// That of a value that is bound: known only when the statement runs.
    Unknown,
}

impl MysqlKind {
    /// By the type that the server says.
    pub(crate) fn of(type_info: &MySqlTypeInfo) -> Self {
        // The name alone takes a text of a binary collation for bytes.
        let is_text = <str as Type<MySql>>::compatible(type_info);
        match type_info.name() {
            "BOOLEAN" => Self::Bool,
            "YEAR" => Self::Unsigned,
            "FLOAT" => Self::Single,
            "DOUBLE" => Self::Real,
            "DECIMAL" => Self::Decimal,
            "JSON" => Self::Json,
            "DATE" => Self::Date,
            "DATETIME" | "TIMESTAMP" => Self::Moment,
            "TIME" => Self::Time,
            "BIT" => Self::Bits,
            "SET" => Self::Text,
            "NULL" => Self::Unknown,
            "BLOB" | "LONGBLOB" if is_text => Self::BinaryText,
            name if name.contains("INT") && name.ends_with("UNSIGNED") => Self::Unsigned,
            name if name.contains("INT") => Self::Integer,
            _ if is_text => Self::Text,
            _ => Self::Bytes,
        }
    }

    /// Whether its values sort by themselves as the process sorts them; others are sorted as texts.
    pub(crate) fn sorts_by_itself(self) -> bool {
        !matches!(
            self,
            Self::Text | Self::BinaryText | Self::Json | Self::Bytes | Self::Unknown
        )
    }
}

/// A value of a row.
pub(super) fn value(row: &MySqlRow, at: usize, kind: MysqlKind) -> Result<Value<'_>, String> {
    let value = row.try_get_raw(at).map_err(|error| error.to_string())?;
    // The driver takes a zero date for null; to the server it is a date, and sorts as one.
    match <&[u8] as Decode<MySql>>::decode(value) {
        Ok(bytes) => parse(bytes, kind),
        Err(_) => Ok(Value::Null),
    }
}

fn parse(bytes: &[u8], kind: MysqlKind) -> Result<Value<'_>, String> {
    Ok(match kind {
        MysqlKind::Bool => match bytes {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            other => Value::Integer(signed(other)?),
        },
        MysqlKind::Integer => Value::Integer(signed(bytes)?),
        MysqlKind::Unsigned => Value::Unsigned(unsigned(bytes)?),
        MysqlKind::Bits => Value::Unsigned(bytes.iter().fold(0, |bits, byte| (bits << 8) | u64::from(*byte))),
        MysqlKind::Single => Value::Single(f32::from_le_bytes(exactly(bytes)?)),
        MysqlKind::Real => Value::Real(f64::from_le_bytes(exactly(bytes)?)),
        MysqlKind::Decimal => Value::Decimal(text(bytes)?),
        MysqlKind::Text | MysqlKind::BinaryText | MysqlKind::Unknown => Value::Text(Cow::Borrowed(text(bytes)?)),
        MysqlKind::Json => {
            let json = text(bytes)?;
            serde_json::from_str::<IgnoredAny>(json).map_err(|error| format!("declared JSON: {error}"))?;
            Value::Json(json)
        }
        MysqlKind::Date => match date(bytes) {
            (day, true) => Value::Text(Cow::Owned(day)),
            (day, false) => formless(day),
        },
        MysqlKind::Moment => match moment(bytes)? {
            (moment, true) => Value::Moment(format!("{moment}Z")),
            (moment, false) => formless(moment),
        },
        MysqlKind::Time => time(bytes)?,
        MysqlKind::Bytes => return Err("bytes have no JSON".to_owned()),
    })
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| error.to_string())
}

fn exactly<const LEN: usize>(bytes: &[u8]) -> Result<[u8; LEN], String> {
    bytes
        .try_into()
        .map_err(|_| format!("{} bytes where {LEN} were due", bytes.len()))
}

fn signed(bytes: &[u8]) -> Result<i64, String> {
    Ok(match bytes.len() {
        1 => i8::from_le_bytes(exactly(bytes)?).into(),
        2 => i16::from_le_bytes(exactly(bytes)?).into(),
        4 => i32::from_le_bytes(exactly(bytes)?).into(),
        _ => i64::from_le_bytes(exactly(bytes)?),
    })
}

fn unsigned(bytes: &[u8]) -> Result<u64, String> {
    Ok(match bytes.len() {
        1 => u8::from_le_bytes(exactly(bytes)?).into(),
        2 => u16::from_le_bytes(exactly(bytes)?).into(),
        4 => u32::from_le_bytes(exactly(bytes)?).into(),
        _ => u64::from_le_bytes(exactly(bytes)?),
    })
}

/// A date without a day, a month or all of them. To the server it is before those that have them, and so are the texts.
fn formless(text: String) -> Value<'static> {
    Value::Formless {
        reason: format!("the date {text} has no form in RFC 3339"),
        sorts: SortValue::Text(text.into()),
    }
}

/// Behind the length: year, month, day, and then perhaps the time and perhaps its fraction. Whether it is in the calendar, too.
fn date(bytes: &[u8]) -> (String, bool) {
    let (year, month, day) = match bytes {
        [_, low, high, month, day, ..] => (u16::from_le_bytes([*low, *high]), *month, *day),
        _ => (0, 0, 0),
    };
    let text = format!("{year:04}-{month:02}-{day:02}");
    (text, (1..=12).contains(&month) && (1..=31).contains(&day))
}

fn moment(bytes: &[u8]) -> Result<(String, bool), String> {
    let (day, sound) = date(bytes);
    let (hour, minute, second) = match bytes {
        [_, _, _, _, _, hour, minute, second, ..] => (*hour, *minute, *second),
        _ => (0, 0, 0),
    };
    let fraction = fraction(microseconds(bytes.get(8..))?);
    Ok((format!("{day}T{hour:02}:{minute:02}:{second:02}{fraction}"), sound))
}

/// Behind the length: the sign, days, hours, minutes, seconds and perhaps the fraction.
fn time(bytes: &[u8]) -> Result<Value<'static>, String> {
    let (negative, hours, minute, second) = match bytes {
        [_, sign, a, b, c, d, hour, minute, second, ..] => {
            let days = u32::from_le_bytes([*a, *b, *c, *d]);
            (*sign == 1, i64::from(days) * 24 + i64::from(*hour), *minute, *second)
        }
        _ => (false, 0, 0, 0),
    };
    let micro = microseconds(bytes.get(9..))?;
    let total = ((hours * 60 + i64::from(minute)) * 60 + i64::from(second)) * 1_000_000 + i64::from(micro);
    let sign = if negative { "-" } else { "" };
    Ok(Value::Time {
        text: format!("{sign}{hours:02}:{minute:02}:{second:02}{}", fraction(micro)),
        microseconds: if negative { -total } else { total },
    })
}

fn microseconds(bytes: Option<&[u8]>) -> Result<u32, String> {
    match bytes {
        None | Some([]) => Ok(0),
        Some(bytes) => Ok(u32::from_le_bytes(exactly(bytes)?)),
    }
}

fn fraction(microseconds: u32) -> String {
    match microseconds {
        0 => String::new(),
        _ => format!(".{microseconds:06}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], kind: MysqlKind, expect: Value<'_>) {
        assert_eq!(parse(bytes, kind), Ok(expect));
    }

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        let moment = |text: &str| Value::Moment(text.to_owned());
        check(&[4, 0xE8, 7, 5, 1], MysqlKind::Moment, moment("2024-05-01T00:00:00Z"));
        check(
            &[7, 0xE8, 7, 5, 1, 12, 30, 5],
            MysqlKind::Moment,
            moment("2024-05-01T12:30:05Z"),
        );
        let with_fraction = [11, 0xE8, 7, 5, 1, 12, 30, 5, 0x20, 0xA1, 7, 0];
        check(&with_fraction, MysqlKind::Moment, moment("2024-05-01T12:30:05.5Z"));
        check(&[4, 0xE8, 7, 5, 1], MysqlKind::Date, Value::Text("2024-05-01".into()));
        for (zero, day) in [(&[0][..], "0000-00-00"), (&[4, 0xE8, 7, 0, 0], "2024-00-00")] {
            check(zero, MysqlKind::Moment, formless(format!("{day}T00:00:00")));
            check(zero, MysqlKind::Date, formless(day.to_owned()));
        }
    }

    #[test]
    fn spans_keep_their_sign() {
        let span = |text: &str, microseconds| Value::Time {
            text: text.to_owned(),
            microseconds,
        };
        check(&[0], MysqlKind::Time, span("00:00:00", 0));
        check(
            &[8, 1, 1, 0, 0, 0, 2, 3, 4],
            MysqlKind::Time,
            span("-26:03:04", -93_784_000_000),
        );
    }

    #[test]
    fn a_boolean_that_is_neither_stays_a_number() {
        check(&[0], MysqlKind::Bool, Value::Bool(false));
        check(&[1], MysqlKind::Bool, Value::Bool(true));
        check(&[7], MysqlKind::Bool, Value::Integer(7));
        check(&[0xFF], MysqlKind::Bool, Value::Integer(-1));
        check(&[1, 0], MysqlKind::Bits, Value::Unsigned(256));
    }
}
