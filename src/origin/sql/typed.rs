//! Rows of a database whose columns have types, as items: the columns in the query's order become one JSON object.
//!
//! The same data must be the same bytes, whichever database holds it: so each database only says what a value is
//! ([`Value`]), and how it is written is decided here, once.

use std::{borrow::Cow, collections::HashSet};

use super::Formless;
use crate::{
    listing::{Item, ItemId, item_json::check_readable},
    origin::{ITEM_BYTES_MAX, OriginError, OriginItem, SortValue, object::ObjectWriter},
};

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'r> {
    Null,
    Bool(bool),
    Integer(i64),
    /// An integer that may be more than fits an `i64`.
    Unsigned(u64),
    Real(f64),
    /// Of single precision: its digits are fewer.
    Single(f32),
    /// Decimal digits, with a sign and a point where it has them: kept as they are.
    Decimal(&'r str),
    Text(Cow<'r, str>),
    /// JSON that is known to be sound.
    Json(&'r str),
    /// A date and time, `2024-05-01T12:00:00.5Z`.
    Moment(String),
    /// A time of day, or a span: its text, and what it is sorted by.
    Time {
        text: String,
        microseconds: i64,
    },
    /// A value without a form in JSON or RFC 3339: the reason, and its sort key.
    Formless {
        reason: String,
        sorts: SortValue,
    },
}

/// How rows become items: the columns that an item needs besides its JSON, and what becomes of values without one.
#[derive(Clone, Debug)]
pub(super) struct ItemColumns {
    pub id: Box<str>,
    pub keys: Vec<Box<str>>,
    pub formless: Formless,
}

/// Where the value of a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyPlace {
    /// The column at this place.
    Column(usize),
    /// The rank at this place, behind the columns.
    Rank(usize),
    /// Nowhere: the server has sorted by an order that it alone knows.
    Server,
}

/// The columns whose order only the server knows, by their places.
pub(super) enum ServerOrdered<'a> {
    /// The ranks of their values are selected, in this order, behind the columns: the process will sort.
    Ranked(&'a [usize]),
    /// The server sorts by them.
    Sorted(&'a [usize]),
}

/// Makes items of the rows of one statement.
pub(super) struct ItemRows {
    columns: Vec<Box<str>>,
    id: usize,
    id_key: KeyPlace,
    keys: Vec<KeyPlace>,
    formless: Formless,
    object: ObjectWriter,
    position: u64,
}

impl ItemRows {
    /// For a result of these columns.
    pub(super) fn new(
        columns: &[Box<str>],
        ordered: &ServerOrdered<'_>,
        wanted: &ItemColumns,
    ) -> Result<Self, OriginError> {
        refuse_equal_names(columns)?;
        let key_at = |at: usize| match ordered {
            ServerOrdered::Ranked(ranked) => match ranked.iter().position(|ranked| *ranked == at) {
                Some(rank) => KeyPlace::Rank(columns.len() + rank),
                None => KeyPlace::Column(at),
            },
            ServerOrdered::Sorted(sorted) if sorted.contains(&at) => KeyPlace::Server,
            ServerOrdered::Sorted(_) => KeyPlace::Column(at),
        };
        let id = place_of(columns, &wanted.id)?;
        let key = |column| place_of(columns, column).map(key_at);
        Ok(Self {
            id,
            id_key: key_at(id),
            keys: wanted.keys.iter().map(|column| key(column)).collect::<Result<_, _>>()?,
            formless: wanted.formless.clone(),
            object: ObjectWriter::new(columns.iter().map(|name| &**name)),
            columns: columns.to_vec(),
            position: 0,
        })
    }

    /// The next row as an item; `value` is asked for the values of its columns.
    pub(super) fn item<'r>(
        &mut self,
        value: impl Fn(usize) -> Result<Value<'r>, String>,
    ) -> Result<OriginItem, OriginError> {
        self.position += 1;
        let position = self.position;
        self.try_item(value)
            .map_err(|reason| OriginError::BadItem { position, reason })
    }

    fn try_item<'r>(&mut self, value: impl Fn(usize) -> Result<Value<'r>, String>) -> Result<OriginItem, String> {
        self.object.begin();
        let mut id = Value::Null;
        let mut holds_json = false;
        let mut keys = vec![SortValue::Null; self.keys.len()];
        for (at, column) in self.columns.iter().enumerate() {
            self.object.member(at);
            let in_column = |reason| format!("column `{column}`: {reason}");
            let value = value(at).map_err(in_column)?;
            if let Err(reason) = write(&mut self.object, &value) {
                self.formless.becomes_null(self.position, in_column(reason))?;
                self.object.null();
            }
            holds_json |= matches!(value, Value::Json(_));
            for (key, place) in keys.iter_mut().zip(&self.keys) {
                if *place == KeyPlace::Column(at) {
                    *key = sort_value(&value);
                }
            }
            if at == self.id {
                id = value;
            }
        }
        for (key, place) in keys.iter_mut().zip(&self.keys) {
            if let Some(rank) = rank_at(*place, &value)? {
                *key = rank;
            }
        }
        let json = self.object.end();
        if holds_json {
            check_readable(&json).map_err(|error| error.to_string())?;
        }
        if json.len() > ITEM_BYTES_MAX {
            let len = json.len();
            return Err(format!(
                "an item may have {ITEM_BYTES_MAX} bytes, and this one has {len}"
            ));
        }
        let id_value = sort_value(&id);
        let id = match (&id_value, &id) {
            (SortValue::Integer(number), value) if !matches!(value, Value::Bool(_) | Value::Time { .. }) => {
                Some(ItemId::from_integer(*number))
            }
            (_, Value::Unsigned(number)) => ItemId::parse(&number.to_string()),
            (_, Value::Text(text)) => ItemId::parse(text),
            // An integer of more than 64 bits.
            (_, Value::Decimal(digits))
                if !digits.contains('.') && digits.ends_with(|last: char| last.is_ascii_digit()) =>
            {
                ItemId::parse(digits)
            }
            _ => None,
        };
        let id = id.ok_or("the id must be an integer or a text of 1 to 256 bytes")?;
        Ok(OriginItem {
            item: Item { id, json },
            id: rank_at(self.id_key, &value)?.unwrap_or(id_value),
            keys: keys.into(),
        })
    }
}

/// The rank that stands for a value, where one does.
fn rank_at<'r>(
    place: KeyPlace,
    value: &impl Fn(usize) -> Result<Value<'r>, String>,
) -> Result<Option<SortValue>, String> {
    Ok(match place {
        KeyPlace::Column(_) => None,
        KeyPlace::Server => Some(SortValue::Rank(0)),
        KeyPlace::Rank(at) => Some(match value(at)? {
            Value::Integer(rank) => SortValue::Rank(rank),
            _ => SortValue::Null,
        }),
    })
}

/// An object has each member once. The databases differ: one refuses two columns of a name, one gives the second another
/// name, and one hands both on.
pub(super) fn refuse_equal_names<N: AsRef<str>>(columns: &[N]) -> Result<(), OriginError> {
    let mut seen = HashSet::new();
    match columns.iter().map(AsRef::as_ref).find(|name| !seen.insert(*name)) {
        Some(twice) => Err(OriginError::Misdeclared(format!(
            "the query yields two columns `{twice}`: give one of them another name (`as`)"
        ))),
        None => Ok(()),
    }
}

/// Where a column stands; one that is not there is an error of the definition.
pub(super) fn place_of(columns: &[Box<str>], wanted: &str) -> Result<usize, OriginError> {
    let place = columns.iter().position(|column| **column == *wanted);
    place.ok_or_else(|| OriginError::Misdeclared(format!("the query yields no column `{wanted}`")))
}

/// Writes a value, or nothing and says why it has no form.
fn write(object: &mut ObjectWriter, value: &Value<'_>) -> Result<(), String> {
    match value {
        Value::Null => object.null(),
        Value::Bool(true) => object.raw("true"),
        Value::Bool(false) => object.raw("false"),
        Value::Integer(number) => object.integer(*number),
        Value::Unsigned(number) => object.raw(&number.to_string()),
        Value::Real(number) if number.is_finite() => object.real(*number),
        Value::Single(number) if number.is_finite() => object.single(*number),
        Value::Real(_) | Value::Single(_) => return Err("a number that is not finite has no form in JSON".to_owned()),
        Value::Decimal(digits) => write_decimal(object, digits)?,
        Value::Text(text) => object.text(text),
        Value::Json(json) => object.raw(json),
        Value::Moment(text) | Value::Time { text, .. } => object.text(text),
        Value::Formless { reason, .. } => return Err(reason.clone()),
    }
    Ok(())
}

/// The digits as they stand, but for zeros in front, which JSON does not have.
fn write_decimal(object: &mut ObjectWriter, text: &str) -> Result<(), String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let sound = match digits.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(digits),
    };
    if !sound {
        return Err(format!("the number {text} has no JSON"));
    }
    if text.len() > digits.len() {
        object.raw("-");
    }
    let significant = digits.trim_start_matches('0');
    if !significant.starts_with(|first: char| first.is_ascii_digit()) {
        object.raw("0");
    }
    object.raw(significant);
    Ok(())
}

/// The sort key of a value. Booleans sort as numbers; texts, and values without an order of their own, as texts.
fn sort_value(value: &Value<'_>) -> SortValue {
    match value {
        Value::Null => SortValue::Null,
        Value::Bool(value) => SortValue::Integer((*value).into()),
        Value::Integer(number) => SortValue::Integer(*number),
        Value::Unsigned(number) => {
            i64::try_from(*number).map_or_else(|_| SortValue::Decimal(number.to_string().into()), SortValue::Integer)
        }
        Value::Real(number) => SortValue::Real(*number),
        Value::Single(number) => SortValue::Real((*number).into()),
        Value::Decimal(digits) => digits.parse().map_or_else(
            |_| match digits.bytes().any(|byte| byte.is_ascii_digit()) {
                true => SortValue::Decimal((*digits).into()),
                // `NaN` and `-Infinity`: nothing else has no digits.
                false => SortValue::Real(digits.parse().unwrap_or(f64::NAN)),
            },
            SortValue::Integer,
        ),
        Value::Text(text) => SortValue::Text((&**text).into()),
        Value::Json(json) => SortValue::Text((*json).into()),
        // Without the `Z` a fraction of a second comes after the whole second.
        Value::Moment(text) => SortValue::Text(text.trim_end_matches('Z').into()),
        Value::Time { microseconds, .. } => SortValue::Integer(*microseconds),
        Value::Formless { sorts, .. } => sorts.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value<'_>, expect: Result<&str, &str>) {
        let mut object = ObjectWriter::new(["x"]);
        object.begin();
        object.member(0);
        let written = write(&mut object, &value);
        let json = object.end();
        let json = std::str::from_utf8(&json).unwrap();
        let json = written.map(|()| json["{\"x\":".len()..json.len() - 1].to_owned());
        assert_eq!(json.as_deref().map_err(|reason| &**reason), expect, "{value:?}");
    }

    #[test]
    fn values_are_written_as_json_has_them() {
        check(Value::Bool(true), Ok("true"));
        check(Value::Unsigned(u64::MAX), Ok("18446744073709551615"));
        check(Value::Real(2.0), Ok("2.0"));
        check(Value::Single(0.1), Ok("0.1"));
        check(Value::Decimal("12.50"), Ok("12.50"));
        check(Value::Decimal("-0.00"), Ok("-0.00"));
        check(Value::Decimal("0007.5"), Ok("7.5"));
        check(Value::Decimal("000"), Ok("0"));
        check(
            Value::Decimal("12345678901234567890.123456789"),
            Ok("12345678901234567890.123456789"),
        );
        check(Value::Decimal("NaN"), Err("the number NaN has no JSON"));
        check(Value::Decimal("Infinity"), Err("the number Infinity has no JSON"));
        check(
            Value::Real(f64::NAN),
            Err("a number that is not finite has no form in JSON"),
        );
        check(Value::Json("{\"a\": 1}"), Ok("{\"a\": 1}"));
    }

    #[test]
    fn decimals_without_digits_sort_above_and_below_all_others() {
        use crate::origin::ordering::compare;
        let values = ["-Infinity", "-1.5", "0.5", "Infinity", "NaN"].map(|digits| sort_value(&Value::Decimal(digits)));
        for pair in values.windows(2) {
            assert!(compare(&pair[0], &pair[1]).is_lt(), "{pair:?}");
        }
    }

    #[test]
    fn a_moment_with_a_fraction_comes_after_its_whole_second() {
        let [whole, fraction, next] = ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z", "2024-01-01T00:00:01Z"]
            .map(|text| sort_value(&Value::Moment(text.to_owned())));
        use crate::origin::ordering::compare;
        assert!(compare(&whole, &fraction).is_lt() && compare(&fraction, &next).is_lt());
    }
}
