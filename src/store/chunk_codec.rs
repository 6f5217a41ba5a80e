//! Chunks as stream entries: one entry a chunk, a field a product id, its value the item's JSON; the last field has no name,
//! and its value is a check sum.
//!
//! An entry's fields are a list of pairs, never a map: order is the origin's and an id may repeat. What this version did
//! not write is refused, never guessed at: by the sum also what looks like ours, for items go out as they are, and nobody
//! looks into them on the way. The sum is over the chunk's index too, so that entries do not change places.

use std::ops::Range;

use redis::{Cmd, Value};
use xxhash_rust::xxh3::Xxh3;

use super::{error::StoreError, reply};
use crate::listing::{Chunk, ChunkIndex, Item};

/// Adds the entry of one chunk. `later`: the stream must be there already; one that expired is not born again.
pub(super) fn add_chunk(key: &str, index: ChunkIndex, items: &[Item], later: bool) -> Cmd {
    let bytes: usize = items.iter().map(|item| item.id.as_str().len() + item.json.len()).sum();
    // Growing by steps would copy the items once more.
    let mut command = Cmd::with_capacity(2 * items.len() + 6, bytes + key.len() + 64);
    command.arg("XADD").arg(key);
    if later {
        command.arg("NOMKSTREAM");
    }
    command.arg(index.entry_id());
    for item in items {
        command.arg(item.id.as_str()).arg(&*item.json);
    }
    let parts = items.iter().flat_map(|item| [item.id.as_str().as_bytes(), &*item.json]);
    command.arg(SUM_FIELD).arg(format!("{:016x}", sum_of(index, parts)));
    command
}

/// The field of the check sum: no item has an empty id.
pub(super) const SUM_FIELD: &str = "";
/// Bytes of a check sum.
pub(super) const SUM_BYTES: u64 = 16;

/// The check sum of a chunk, written in hexadecimal: over its index and over ids and JSON by turns, each with its length.
fn sum_of<'a>(index: ChunkIndex, parts: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&index.0.to_le_bytes());
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.digest()
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
        .map(|(entry, index)| decode_entry(entry, ChunkIndex(index)).map_err(|reason| StoreError::corrupt(key, reason)))
        .collect()
}

/// The chunk of an index; else what is wrong with its entry.
pub(super) fn decode_entry(entry: Value, index: ChunkIndex) -> Result<Chunk, &'static str> {
    let (found, fields) = entry_parts(entry).ok_or("not a stream entry")?;
    if ChunkIndex::from_entry_id(&found) != Some(index) {
        return Err("an entry id that is not the chunk's");
    }
    let fields: Option<Vec<Vec<u8>>> = fields.into_iter().map(reply::bytes).collect();
    let mut fields = fields.ok_or("an entry that is no list of items")?;
    let (sum, name) = (fields.pop(), fields.pop());
    let is_ours = !fields.is_empty() && fields.len().is_multiple_of(2) && name.as_deref() == Some(SUM_FIELD.as_bytes());
    if !is_ours {
        return Err("an entry that is no list of items");
    }
    let sum = sum.and_then(|text| u64::from_str_radix(std::str::from_utf8(&text).ok()?, 16).ok());
    if sum != Some(sum_of(index, fields.iter().map(Vec::as_slice))) {
        return Err("an entry whose check sum is another");
    }
    // The ids are for people and other programs: a page is made of the values.
    let items: Vec<&[u8]> = fields.iter().skip(1).step_by(2).map(Vec::as_slice).collect();
    Ok(Chunk::join(&items))
}

/// Id and fields of a stream entry.
pub(super) fn entry_parts(entry: Value) -> Option<(Vec<u8>, Vec<Value>)> {
    let [id, fields] = <[Value; 2]>::try_from(reply::array(entry)?).ok()?;
    Some((reply::bytes(id)?, reply::array(fields)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    /// An entry as it would be written.
    fn entry(id: &str, fields: &[&str]) -> Value {
        let index = ChunkIndex::from_entry_id(id.as_bytes()).unwrap_or(ChunkIndex(0));
        let sum = format!("{:016x}", sum_of(index, fields.iter().map(|field| field.as_bytes())));
        foreign(id, &[fields, &[SUM_FIELD, &sum]].concat())
    }

    /// An entry with these fields and no others.
    fn foreign(id: &str, fields: &[&str]) -> Value {
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
        let misplaced = "an entry id that is not the chunk's";
        check(vec![entry("1795291200123-0", &["a", "1"])], 0..1, Err(misplaced));
        check(
            vec![entry("0-1", &["a", "1"]), entry("0-3", &["a", "1"])],
            0..2,
            Err(misplaced),
        );
        for no_items in [&[][..], &["a"], &["a", "1"], &["a", "1", "b"]] {
            let expect = Err("an entry that is no list of items");
            check(vec![foreign("0-1", no_items)], 0..1, expect);
        }
        for no_items in [&[][..], &["a"]] {
            let expect = Err("an entry that is no list of items");
            check(vec![entry("0-1", no_items)], 0..1, expect);
        }
        let sum = format!("{:016x}", sum_of(ChunkIndex(0), [&b"a"[..], b"1"].into_iter()));
        check(vec![foreign("0-1", &["a", "1", "", &sum])], 0..1, Ok(&["1"]));
        for forged in [["a", "2", "", &sum], ["b", "1", "", &sum], ["a", "1", "", "0"]] {
            let expect = Err("an entry whose check sum is another");
            check(vec![foreign("0-1", &forged)], 0..1, expect);
        }
        let moved = Err("an entry whose check sum is another");
        check(vec![foreign("0-2", &["a", "1", "", &sum])], 1..2, moved);
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
