//! Replies as values. They are owned, so bytes move and are not copied twice. The replies that pages are made of are
//! read [in place](super::resp).
//!
//! The crate's own conversions lose too much: its stream reply is a map, without order and duplicates.

use std::time::Duration;

use redis::Value;

use crate::store::error::StoreError;

/// A reply as it came, taken apart by the crate's parser.
pub(crate) fn value(reply: &[u8], operation: &'static str) -> Result<Value, StoreError> {
    redis::parse_redis_value(reply).map_err(|error| StoreError::unavailable(operation, error))
}

/// Turns the server's error into ours; `key` is the one that the command was about.
pub(crate) fn answered(value: Value, operation: &'static str, key: &str) -> Result<Value, StoreError> {
    match value {
        Value::ServerError(error) => Err(StoreError::from_server(error, operation, key)),
        value => Ok(value),
    }
}

/// A reply that nobody looks at, unless it is an error.
pub(crate) fn done(values: Vec<Value>, operation: &'static str, key: &str) -> Result<(), StoreError> {
    values
        .into_iter()
        .try_for_each(|value| answered(value, operation, key).map(drop))
}

/// An array, whichever protocol wrote it.
pub(crate) fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) | Value::Set(values) => Some(values),
        _ => None,
    }
}

/// Pairs: a map, or an array of alternating or nested pairs.
pub(crate) fn pairs(value: Value) -> Option<Vec<(Value, Value)>> {
    let values = match value {
        Value::Map(pairs) => return Some(pairs),
        value => array(value)?,
    };
    let mut pairs = Vec::with_capacity(values.len());
    let mut values = values.into_iter();
    while let Some(first) = values.next() {
        match first {
            Value::Array(pair) => {
                let [key, value] = <[Value; 2]>::try_from(pair).ok()?;
                pairs.push((key, value));
            }
            key => pairs.push((key, values.next()?)),
        }
    }
    Some(pairs)
}

/// Bytes as the server sent them.
pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

/// A text.
pub(crate) fn text(value: Value) -> Option<String> {
    String::from_utf8(bytes(value)?).ok()
}

/// A whole number, however it is written.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
        _ => None,
    }
}

/// A whole number that is not negative.
pub(crate) fn unsigned(value: &Value) -> Option<u64> {
    integer(value).and_then(|number| u64::try_from(number).ok())
}

/// A score of a sorted set, which is a double; ours are whole.
pub(crate) fn score(value: &Value) -> Option<u64> {
    let score = match value {
        Value::Double(score) => *score,
        Value::Int(score) => return u64::try_from(*score).ok(),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        _ => return None,
    };
    // Saturating; NaN and what is below zero become 0.
    Some(score as u64)
}

/// The answer to PTTL; `None` where the key is gone.
pub(crate) fn time_left(reply: Option<Value>, key: &str) -> Result<Option<Duration>, StoreError> {
    let reply = answered(reply.unwrap_or_default(), "read time left", key)?;
    match integer(&reply) {
        Some(-2) => Ok(None),
        // Nobody but a stranger takes a key's expiry away; then it stays.
        Some(-1) => Ok(Some(Duration::MAX)),
        Some(ms) => Ok(u64::try_from(ms).ok().map(Duration::from_millis)),
        None => Err(StoreError::odd_reply("read time left")),
    }
}
