//! Chunks as stream entries: one entry a chunk, a field a product id, its value the item's JSON; the last field has no name,
//! and its value is a check sum.
//!
//! An entry's fields are a list of pairs, never a map: the order is the origin's, and an id may repeat. An entry that this version did
//! not write is refused, never guessed at. Items go out unread, so the check sum finds changes that still look like ours. It covers the
//! pairs as the protocol writes them, each with its length, so neither writer nor reader takes them apart for it. Its seed is made of the
//! listing and the chunk's index, so entries cannot change places, nor listings.

use std::ops::Range;

use bytes::Bytes;
use redis::Value;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    listing::{Chunk, ChunkIndex, Item, ItemId},
    store::{
        dictionaries::{Dictionaries, DictionaryHash},
        error::StoreError,
        layout::{
            keys::ListingPlace,
            packed::{UnpackError, is_packed, unpack_chunk, unpack_items},
        },
        wire::{
            commands::Commands,
            reply,
            resp::{self, Values},
        },
    },
};

/// The content of an entry.
#[derive(Clone, Copy)]
pub(crate) enum Entry<'a> {
    /// A field an item.
    Items(&'a [Item]),
    /// All of them packed, in one field.
    Packed(&'a [u8]),
}

impl<'a> Entry<'a> {
    fn parts(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let (items, packed): (&[Item], _) = match self {
            Self::Items(items) => (items, None),
            Self::Packed(packed) => (&[], Some([PACKED_FIELD.as_bytes(), packed])),
        };
        let items = items.iter().flat_map(|item| [item.id.as_str().as_bytes(), &*item.json]);
        items.chain(packed.into_iter().flatten())
    }
}

/// Adds the entry of one chunk. `later`: the stream must be there already; one that expired is not born again.
pub(crate) fn add_chunk(to: &mut Commands, place: &ListingPlace, index: ChunkIndex, entry: Entry<'_>, later: bool) {
    let key = place.key();
    let parts = match entry {
        Entry::Items(items) => 2 * items.len(),
        Entry::Packed(_) => 2,
    };
    let arguments = 5 + parts + usize::from(later);
    to.make_room(arguments, entry.parts().map(<[u8]>::len).sum::<usize>() + key.len());
    to.begin(arguments);
    to.argument(b"XADD");
    to.argument(key.as_bytes());
    if later {
        to.argument(b"NOMKSTREAM");
    }
    to.argument(index.entry_id().as_bytes());
    let begin = to.bytes();
    entry.parts().for_each(|part| to.argument(part));
    let sum = sum_of(Sums::of(place), index, to.since(begin));
    to.argument(SUM_FIELD.as_bytes());
    to.argument(format!("{sum:016x}").as_bytes());
}

/// The field of a packed chunk. An item may have that id too: its JSON does not begin as packed bytes do.
const PACKED_FIELD: &str = "z";

/// The field of the check sum: no item has an empty id.
pub(crate) const SUM_FIELD: &str = "";
/// The part of an entry that the check sum covers: its name and its value.
const SUM_FIELDS: usize = 2;
/// Bytes of a check sum.
pub(crate) const SUM_BYTES: u64 = 16;

/// The check sums of one listing's chunks.
#[derive(Clone, Copy)]
pub(crate) struct Sums(u64);

impl Sums {
    /// Of the listing that a key belongs to.
    pub(crate) fn of(place: &ListingPlace) -> Self {
        Self(xxh3_64(place.listing().as_bytes()))
    }
}

/// The check sum of a chunk, stored in hexadecimal: of its ids and JSON by turns, as they go over the wire.
fn sum_of(sums: Sums, index: ChunkIndex, written: &[u8]) -> u64 {
    xxh3_64_with_seed(written, sums.0.wrapping_add(index.0))
}

/// Reads a range of chunks, forward from its first one.
pub(crate) fn read_range(to: &mut Commands, key: &str, chunks: &Range<u64>) {
    let first = ChunkIndex(chunks.start).entry_id();
    let count = chunks.end.saturating_sub(chunks.start).to_string();
    to.call(&[
        b"XRANGE",
        key.as_bytes(),
        first.as_bytes(),
        b"+",
        b"COUNT",
        count.as_bytes(),
    ]);
}

/// Why chunks were not decoded.
#[derive(Debug)]
pub(crate) enum Undecoded {
    /// This process does not have a dictionary that they need: read it, then decode them again.
    Dictionary(DictionaryHash),
    /// They are not as they were written, or Redis says so.
    Error(StoreError),
}

impl From<StoreError> for Undecoded {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}

impl Undecoded {
    /// Of bytes under a key that could not be unpacked.
    pub(super) fn of(error: UnpackError, key: &str) -> Self {
        match error {
            UnpackError::MissingDictionary(hash) => Self::Dictionary(hash),
            UnpackError::Damaged(reason) => Self::Error(StoreError::corrupt(key, reason)),
        }
    }
}

/// Takes a reply to [`read_range`] apart, as it came: fewer chunks where the stream has fewer, none where it is gone.
pub(crate) fn decode_range(
    reply: &[u8],
    place: &ListingPlace,
    chunks: Range<u64>,
    dictionaries: &Dictionaries,
) -> Result<Vec<Chunk>, Undecoded> {
    // The ids are for people, exports and other programs: a page is made of the values.
    decode_entries(reply, place, chunks, |fields| match packed_of(fields) {
        Some(packed) => unpack_chunk(packed, |hash| dictionaries.get(hash)),
        None => Ok(Chunk::join(fields.iter().skip(1).step_by(2))),
    })
}

/// The same with the ids.
pub(crate) fn decode_items(
    reply: &[u8],
    place: &ListingPlace,
    chunks: Range<u64>,
    dictionaries: &Dictionaries,
) -> Result<Vec<Vec<Item>>, Undecoded> {
    decode_entries(reply, place, chunks, |fields| {
        if let Some(packed) = packed_of(fields) {
            return unpack_items(packed, |hash| dictionaries.get(hash));
        }
        let items = fields.chunks_exact(2).map(|item| {
            let [id, json] = item else { return None };
            Some(Item {
                id: ItemId::parse(std::str::from_utf8(id).ok()?)?,
                json: Bytes::copy_from_slice(json),
            })
        });
        items.collect::<Option<_>>().ok_or(UnpackError::Damaged(NO_ITEMS))
    })
}

/// The packed bytes, where an entry's fields are those of a packed chunk.
fn packed_of<'a>(fields: &[&'a [u8]]) -> Option<&'a [u8]> {
    let [name, value] = fields else { return None };
    (*name == PACKED_FIELD.as_bytes() && is_packed(value)).then_some(*value)
}

/// Makes something of the fields of each chunk's items.
fn decode_entries<T>(
    reply: &[u8],
    place: &ListingPlace,
    chunks: Range<u64>,
    make: impl Fn(&[&[u8]]) -> Result<T, UnpackError>,
) -> Result<Vec<T>, Undecoded> {
    const OPERATION: &str = "read chunks";
    let (key, sums) = (place.key(), Sums::of(place));
    if resp::is_error(reply) {
        reply::answered(reply::value(reply, OPERATION)?, OPERATION, key)?;
    }
    let mut values = Values::of(reply);
    let entries = values.array().ok_or_else(|| StoreError::odd_reply(OPERATION))?;
    let mut fields = Vec::new();
    let read = chunks.take(entries).map(|index| {
        let (id, written) = entry_at(&mut values, &mut fields).map_err(UnpackError::Damaged)?;
        let fields = items_of(id, &fields, written, sums, ChunkIndex(index)).map_err(UnpackError::Damaged)?;
        make(fields)
    });
    read.collect::<Result<_, _>>()
        .map_err(|error| Undecoded::of(error, key))
}

/// Id and fields of the entry that comes next, and its items' fields as they came.
fn entry_at<'a>(values: &mut Values<'a>, fields: &mut Vec<&'a [u8]>) -> Result<(&'a [u8], &'a [u8]), &'static str> {
    let mut id = || {
        let parts = values.array()?;
        values.bytes().filter(|_| parts == 2)
    };
    let id = id().ok_or(NO_ENTRY)?;
    let many = values.array().ok_or(NO_ENTRY)?;
    fields.clear();
    // Never more than the reply has bytes.
    fields.reserve(many);
    let items = *values;
    let mut behind_items = items;
    for at in 0..many {
        if at + SUM_FIELDS == many {
            behind_items = *values;
        }
        fields.push(values.bytes().ok_or(NO_ITEMS)?);
    }
    Ok((id, items.before(behind_items)))
}

const NO_ENTRY: &str = "not a stream entry";
const NO_ITEMS: &str = "an entry that is no list of items";

/// The fields of the items that an entry holds, if it is the one of an index. `written` is what they came as.
fn items_of<'f, 'a>(
    id: &[u8],
    fields: &'f [&'a [u8]],
    written: &[u8],
    sums: Sums,
    index: ChunkIndex,
) -> Result<&'f [&'a [u8]], &'static str> {
    if ChunkIndex::from_entry_id(id) != Some(index) {
        return Err("an entry id that is not the chunk's");
    }
    let Some((items, [name, sum])) = fields.split_last_chunk::<SUM_FIELDS>() else {
        return Err(NO_ITEMS);
    };
    if items.is_empty() || !items.len().is_multiple_of(2) || *name != SUM_FIELD.as_bytes() {
        return Err(NO_ITEMS);
    }
    let sum = std::str::from_utf8(sum).ok();
    let sum = sum.and_then(|text| u64::from_str_radix(text, 16).ok());
    if sum != Some(sum_of(sums, index, written)) {
        return Err("an entry whose check sum is another");
    }
    Ok(items)
}

/// Id and fields of a stream entry.
pub(crate) fn entry_parts(entry: Value) -> Option<(Vec<u8>, Vec<Value>)> {
    let [id, fields] = <[Value; 2]>::try_from(reply::array(entry)?).ok()?;
    Some((reply::bytes(id)?, reply::array(fields)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        listing::{Generation, ListingKey},
        store::layout::keys::Keys,
    };

    fn place() -> ListingPlace {
        place_of("x/price")
    }

    fn place_of(listing: &str) -> ListingPlace {
        let listing = ListingKey::parse(listing).unwrap();
        Keys::new("shop").stream(&listing, Generation { id: 7, nonce: 1 })
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    /// An entry as it would be written.
    fn entry(id: &str, fields: &[&str]) -> Value {
        let index = ChunkIndex::from_entry_id(id.as_bytes()).unwrap_or(ChunkIndex(0));
        foreign(id, &[fields, &[SUM_FIELD, &sum(index, fields)]].concat())
    }

    fn sum(index: ChunkIndex, fields: &[&str]) -> String {
        let written: Vec<u8> = fields.iter().flat_map(|field| resp::written(&text(field))).collect();
        format!("{:016x}", sum_of(Sums::of(&place()), index, &written))
    }

    /// An entry with these fields and no others.
    fn foreign(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().copied().map(text).collect();
        Value::Array(vec![text(id), Value::Array(fields)])
    }

    #[track_caller]
    fn check(entries: Vec<Value>, chunks: Range<u64>, expect: Result<&[&str], &'static str>) {
        let found = decode_range(
            &resp::written(&Value::Array(entries)),
            &place(),
            chunks,
            &Dictionaries::new(),
        );
        match (found, expect) {
            (Ok(found), Ok(expect)) => {
                let found: Vec<_> = found.iter().map(|chunk| chunk.items(0..chunk.len())).collect();
                assert_eq!(found, expect);
            }
            (Err(Undecoded::Error(StoreError::Corrupt { reason, .. })), Err(expect)) => assert_eq!(reason, expect),
            (found, expect) => panic!("{found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let items = [("b", "{\"a\":1}"), ("ä", "2")].map(|(id, json)| Item {
            id: ItemId::parse(id).unwrap(),
            json: json.into(),
        });
        let mut commands = Commands::default();
        add_chunk(&mut commands, &place(), ChunkIndex(6), Entry::Items(&items), true);
        let command = commands.parsed().remove(0);
        let arguments = command.args_iter().map(|argument| match argument {
            redis::Arg::Simple(bytes) => Value::BulkString(bytes.to_vec()),
            _ => panic!("a cursor"),
        });
        // XADD, the key, NOMKSTREAM.
        let mut written: Vec<Value> = arguments.skip(3).collect();
        let fields = Value::Array(written.split_off(1));
        let entry = Value::Array(vec![written.remove(0), fields]);
        check(vec![entry], 6..7, Ok(&["{\"a\":1},2"]));
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
        let sum = sum(ChunkIndex(0), &["a", "1"]);
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
        let wrong_type = b"-WRONGTYPE Operation against a key\r\n";
        assert!(matches!(
            decode_range(wrong_type, &place(), 0..1, &Dictionaries::new()),
            Err(Undecoded::Error(StoreError::Corrupt { .. }))
        ));
    }
}
