//! Chunks as stream entries: one entry a chunk, a field a product id, its value the item's JSON.
//!
//! An entry's fields are a list of pairs, never a map: order is the origin's and an id may repeat. What this version did
//! not write is refused, never guessed at.

use std::ops::Range;

use redis::{Cmd, Value};

use super::{error::StoreError, reply};
use crate::listing::{Chunk, ChunkIndex, Item};

/// Adds the entry of one chunk. `later`: the stream must be there already; one that expired is not born again.
pub(super) fn add_chunk(key: &str, index: ChunkIndex, items: &[Item], later: bool) -> Cmd {
    let mut command = redis::cmd("XADD");
    command.arg(key);
    if later {
        command.arg("NOMKSTREAM");
    }
    command.arg(index.entry_id());
    for item in items {
        command.arg(item.id.as_str()).arg(&*item.json);
    }
    command
}

/// Reads a range of chunks, forward from its first one.
pub(super) fn read_range(key: &str, chunks: &Range<u64>) -> Cmd {
    let mut command = redis::cmd("XRANGE");
    command
        .arg(key)
        .arg(ChunkIndex(chunks.start).entry_id())
        .arg("+")
        .arg("COUNT")
        .arg(chunks.end.saturating_sub(chunks.start));
    command
}

/// Takes a reply to [`read_range`] apart: fewer chunks where the stream has fewer, none where it is gone.
pub(super) fn decode_range(reply: Value, key: &str, chunks: &Range<u64>) -> Result<Vec<Chunk>, StoreError> {
    let reply = reply::answered(reply, "read chunks", key)?;
    let entries = reply::array(reply).ok_or_else(|| StoreError::odd_reply("read chunks"))?;
    let indices = chunks.clone();
    entries
        .into_iter()
        .zip(indices)
        .map(|(entry, index)| {
            let (found, fields) = entry_parts(entry).ok_or_else(|| StoreError::corrupt(key, "not a stream entry"))?;
            if ChunkIndex::from_entry_id(&found) != Some(ChunkIndex(index)) {
                return Err(StoreError::corrupt(key, "an entry id that is not the chunk's"));
            }
            decode_entry(fields).ok_or_else(|| StoreError::corrupt(key, "an entry that is no list of items"))
        })
        .collect()
}

/// Id and fields of a stream entry.
pub(super) fn entry_parts(entry: Value) -> Option<(Vec<u8>, Vec<Value>)> {
    let [id, fields] = <[Value; 2]>::try_from(reply::array(entry)?).ok()?;
    Some((reply::bytes(id)?, reply::array(fields)?))
}

/// How many items the fields of an entry are.
pub(super) fn items_in(fields: &[Value]) -> Option<usize> {
    (!fields.is_empty() && fields.len().is_multiple_of(2)).then_some(fields.len() / 2)
}

fn decode_entry(fields: Vec<Value>) -> Option<Chunk> {
    let mut items = Vec::with_capacity(items_in(&fields)?);
    // The ids are for people and other programs: a page is made of the values.
    for json in fields.into_iter().skip(1).step_by(2) {
        items.push(reply::bytes(json)?);
    }
    Some(Chunk::join(&items))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().copied().map(text).collect();
        Value::Array(vec![text(id), Value::Array(fields)])
    }

    #[track_caller]
    fn check(entries: Vec<Value>, chunks: Range<u64>, expect: Result<&[&str], &'static str>) {
        let found = decode_range(Value::Array(entries), "k", &chunks);
        match (found, expect) {
            (Ok(found), Ok(expect)) => {
                let found: Vec<_> = found.iter().map(|chunk| chunk.items(0..chunk.len())).collect();
                assert_eq!(found, expect);
            }
            (Err(StoreError::Corrupt { reason, .. }), Err(expect)) => assert_eq!(reason, expect),
            (found, expect) => panic!("{found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn order_and_repeated_ids_are_kept() {
        check(
            vec![entry("0-1", &["b", "1", "a", "2", "b", "3"]), entry("0-2", &["b", "1"])],
            0..2,
            Ok(&["1,2,3", "1"]),
        );
    }

    #[test]
    fn there_may_be_fewer_than_asked_for() {
        check(vec![], 0..2, Ok(&[]));
        check(vec![entry("0-6", &["a", "1"])], 5..9, Ok(&["1"]));
    }

    #[test]
    fn what_we_did_not_write_is_refused() {
        let foreign = "an entry id that is not the chunk's";
        check(vec![entry("1795291200123-0", &["a", "1"])], 0..1, Err(foreign));
        check(
            vec![entry("0-1", &["a", "1"]), entry("0-3", &["a", "1"])],
            0..2,
            Err(foreign),
        );
        check(
            vec![entry("0-1", &["a"])],
            0..1,
            Err("an entry that is no list of items"),
        );
        check(vec![entry("0-1", &[])], 0..1, Err("an entry that is no list of items"));
        check(vec![Value::Int(1)], 0..1, Err("not a stream entry"));
        let not_bytes = Value::Array(vec![text("0-1"), Value::Array(vec![text("a"), Value::Nil])]);
        check(vec![not_bytes], 0..1, Err("an entry that is no list of items"));
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        // Made by the crate's parser, for it gives no other way to make a server's error.
        let wrong_type = redis::parse_redis_value(b"-WRONGTYPE Operation against a key\r\n").unwrap();
        assert!(matches!(
            decode_range(wrong_type, "k", &(0..1)),
            Err(StoreError::Corrupt { .. })
        ));
    }
}
