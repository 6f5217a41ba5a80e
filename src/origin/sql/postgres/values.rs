//! The server's values: numbers as it holds them, all others as it writes them in text.

use std::borrow::Cow;

use sqlx::{Row, ValueRef, postgres::PgRow};

use super::describe::PostgresKind;
use crate::origin::{SortValue, sql::typed::Value};

/// A value of a row.
pub(super) fn value(row: &PgRow, at: usize, kind: PostgresKind) -> Result<Value<'_>, String> {
    let value = row.try_get_raw(at).map_err(|error| error.to_string())?;
    if value.is_null() {
        return Ok(Value::Null);
    }
    let bytes = value.as_bytes().map_err(|error| error.to_string())?;
    if let Some(value) = binary(bytes, kind)? {
        return Ok(value);
    }
    parse(std::str::from_utf8(bytes).map_err(|error| error.to_string())?, kind)
}

/// A value of a kind that is [not converted to a text](PostgresKind::is_binary).
fn binary(bytes: &[u8], kind: PostgresKind) -> Result<Option<Value<'static>>, String> {
    let value = match (kind, bytes) {
        (PostgresKind::Bool, [value]) => Value::Bool(*value != 0),
        (PostgresKind::Integer, &[a, b]) => Value::Integer(i16::from_be_bytes([a, b]).into()),
        (PostgresKind::Integer, &[a, b, c, d]) => Value::Integer(i32::from_be_bytes([a, b, c, d]).into()),
        (PostgresKind::Integer, &[a, b, c, d, e, f, g, h]) => {
            Value::Integer(i64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }
        (PostgresKind::Single, &[a, b, c, d]) => Value::Single(f32::from_be_bytes([a, b, c, d])),
        (PostgresKind::Real, &[a, b, c, d, e, f, g, h]) => Value::Real(f64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ if kind.is_binary() => return Err(format!("a number of {} bytes", bytes.len())),
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn parse(text: &str, kind: PostgresKind) -> Result<Value<'_>, String> {
    Ok(match kind {
        PostgresKind::Bool | PostgresKind::Integer | PostgresKind::Single | PostgresKind::Real => {
            return Err("a number is no text".to_owned());
        }
        PostgresKind::Numeric => Value::Decimal(text),
        PostgresKind::Text
        | PostgresKind::Padded
        | PostgresKind::Uuid
        | PostgresKind::Ordered
        | PostgresKind::Other => Value::Text(Cow::Borrowed(text)),
        PostgresKind::Json | PostgresKind::Structured => Value::Json(text),
        PostgresKind::Date => match date(text) {
            Ok(day) => Value::Text(Cow::Borrowed(day)),
            Err(reason) => formless(text, reason),
        },
        PostgresKind::Moment => match moment(text) {
            Ok(moment) => Value::Moment(moment),
            Err(reason) => formless(text, reason),
        },
        PostgresKind::Bytes => return Err("bytes have no JSON".to_owned()),
    })
}

/// `2024-05-01`: so the server writes it, save for what RFC 3339 has no form for.
fn date(text: &str) -> Result<&str, String> {
    let bytes = text.as_bytes();
    if bytes.len() == 10 && bytes[4] == b'-' && bytes[7] == b'-' {
        Ok(text)
    } else {
        Err(format!("the date {text} has no form in RFC 3339"))
    }
}

/// `2024-05-01 12:00:00.5+00`, in the session's time zone, which is UTC.
fn moment(text: &str) -> Result<String, String> {
    let strange = || format!("the time {text} has no form in RFC 3339");
    let (day, time) = text.split_once(' ').ok_or_else(strange)?;
    let time = time.strip_suffix("+00").unwrap_or(time);
    let digits = |byte: u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.');
    if date(day).is_err() || !time.bytes().all(digits) {
        return Err(strange());
    }
    Ok(format!("{day}T{time}Z"))
}

fn formless(text: &str, reason: String) -> Value<'_> {
    Value::Formless {
        reason,
        sorts: SortValue::Text(place_in_time(text).into()),
    }
}

/// The sort key of a date or time without a form in RFC 3339, among the texts of those with one.
fn place_in_time(text: &str) -> String {
    /// Above and below all years that the server knows.
    const YEARS: u32 = 10_000_000;
    let (of, before_christ) = match text.strip_suffix(" BC") {
        Some(of) => (of, true),
        None => (text, false),
    };
    let (year, rest) = of.split_once('-').unwrap_or_default();
    match (text, year.parse::<u32>()) {
        // Signs sort before digits, and `:` and `~` behind them.
        ("-infinity", _) => "!".to_owned(),
        (_, Ok(year)) if before_christ => format!("-{:08}-{rest}", YEARS.saturating_sub(year)),
        (_, Ok(year)) => format!(":{year:08}-{rest}"),
        _ => "~".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        assert_eq!(moment("2024-05-01 12:00:00").unwrap(), "2024-05-01T12:00:00Z");
        assert_eq!(moment("2024-05-01 12:00:00.25+00").unwrap(), "2024-05-01T12:00:00.25Z");
        for strange in [
            "infinity",
            "-infinity",
            "0044-03-15 12:00:00 BC",
            "12024-05-01 00:00:00",
            "2024-05-01 12:00:00+05:30",
        ] {
            assert!(moment(strange).is_err(), "{strange}");
        }
        let ascending = [
            "-infinity",
            "4713-01-01 00:00:00+00 BC",
            "0044-03-15 12:00:00+00 BC",
            "0044-03-16 00:00:00+00 BC",
            "0001-01-01 00:00:00+00",
            "9999-12-31 23:59:59.5+00",
            "12024-05-01 00:00:00+00",
            "12024-05-01 00:00:00.5+00",
            "294276-12-31 00:00:00+00",
            "infinity",
        ];
        let sorted = ascending.map(|text| moment(text).unwrap_or_else(|_| place_in_time(text)));
        assert!(sorted.is_sorted(), "{sorted:?}");
        assert_eq!(date("2024-05-01"), Ok("2024-05-01"));
        for strange in ["infinity", "0044-03-15 BC", "12024-05-01"] {
            assert!(date(strange).is_err(), "{strange}");
        }
    }
}
