//! What generations after a base have changed: a hash beside the base, with a field for each chunk, `<generation>/<chunk>`, and for each
//! segment of a column, `<generation>/ids:<chunk>`.
//!
//! A hash and no stream, because generations are written at the same time, of one listing or of several variants that share a base: the ids
//! of a stream only grow, so the slower writer would be refused. A page names the fields that it needs, whoever wrote them.
//!
//! Behind a value stand eight bytes of a check sum. It covers the listing of the base and the field, so no value is taken for another.

use redis::Value;

use super::{
    chunk_codec::Undecoded,
    packed::{UnpackError, seal, unpack_chunk, unpack_items, unseal},
};
use crate::{
    listing::{
        Chunk, ChunkIndex, Delta, Generation, Item, ListingKey,
        sidecar::{Column, Segment, Segments},
    },
    store::{
        dictionaries::Dictionaries,
        error::StoreError,
        layout::keys::{Keys, ListingPlace},
        wire::{
            commands::Commands,
            reply,
            resp::{self, Values},
        },
    },
};

/// The field of a chunk.
pub(crate) fn chunk_field(generation: Generation, index: ChunkIndex) -> String {
    format!("{generation}/{}", index.0)
}

/// The field of a segment.
pub(crate) fn segment_field(generation: Generation, segment: &Segment) -> String {
    format!("{generation}/{}", segment.field())
}

/// A value with its check sum.
pub(crate) fn sealed(place: &ListingPlace, field: &str, value: Vec<u8>) -> Vec<u8> {
    seal(value, &format!("{} {field}", place.listing()))
}

fn opened<'a>(place: &ListingPlace, field: &str, value: &'a [u8]) -> Result<&'a [u8], &'static str> {
    unseal(value, &format!("{} {field}", place.listing()))
}

/// Where a segment lies.
pub(crate) struct SegmentPlace {
    place: ListingPlace,
    field: String,
}

/// Reads the segment of a column that begins with a chunk, wherever the newest is: each layer wrote all segments that hold a chunk of it.
pub(crate) fn read_segment(
    to: &mut Commands,
    keys: &Keys,
    (listing, delta): (&ListingKey, &Delta),
    segments: Segments,
    (column, first): (Column, ChunkIndex),
) -> SegmentPlace {
    let chunks = first.0..first.0.saturating_add(segments.chunks_each());
    let mut newest_first = delta.layers.iter().rev();
    let layer = newest_first.find(|layer| layer.chunks.meets(&chunks));
    let (of_base, field) = (delta.base_listing(listing), column.field(first));
    let place = match layer {
        Some(layer) => SegmentPlace {
            place: keys.deltas(of_base, delta.base),
            field: format!("{}/{field}", layer.generation),
        },
        None => SegmentPlace {
            place: keys.sidecar(of_base, delta.base),
            field,
        },
    };
    to.call(&[b"HGET", place.place.key().as_bytes(), place.field.as_bytes()]);
    place
}

/// Takes a reply to [`read_segment`] apart; `None` where it is lost.
pub(crate) fn decode_segment(reply: Value, place: &SegmentPlace) -> Result<Option<Vec<u8>>, StoreError> {
    let bytes = match reply::answered(reply, "read segment", place.place.key()) {
        Err(StoreError::Corrupt { .. }) => None,
        reply => reply::bytes(reply?),
    };
    Ok(bytes.and_then(|bytes| opened(&place.place, &place.field, &bytes).ok().map(<[u8]>::to_vec)))
}

/// The fields of some chunks, from wherever each counts.
fn fields(delta: &Delta, chunks: impl Iterator<Item = u64>) -> Vec<String> {
    let fields = chunks.map(|chunk| chunk_field(delta.holder_of(chunk), ChunkIndex(chunk)));
    fields.collect()
}

/// Reads chunks that count from layers.
pub(crate) fn read_layered(to: &mut Commands, place: &ListingPlace, delta: &Delta, chunks: impl Iterator<Item = u64>) {
    let fields = fields(delta, chunks);
    let mut arguments = vec![&b"HMGET"[..], place.key().as_bytes()];
    arguments.extend(fields.iter().map(|field| field.as_bytes()));
    to.call(&arguments);
}

/// Takes a reply to [`read_layered`] apart: nothing for a chunk that is gone.
pub(crate) fn decode_layered(
    reply: &[u8],
    place: &ListingPlace,
    delta: &Delta,
    chunks: impl Iterator<Item = u64>,
    dictionaries: &Dictionaries,
) -> Result<Vec<Option<Chunk>>, Undecoded> {
    let make = |value: &[u8]| unpack_chunk(value, |hash| dictionaries.get(hash));
    decode(reply, place, &fields(delta, chunks), make)
}

/// The same with the ids.
pub(crate) fn decode_layered_items(
    reply: &[u8],
    place: &ListingPlace,
    delta: &Delta,
    chunks: impl Iterator<Item = u64>,
    dictionaries: &Dictionaries,
) -> Result<Vec<Option<Vec<Item>>>, Undecoded> {
    let make = |value: &[u8]| unpack_items(value, |hash| dictionaries.get(hash));
    decode(reply, place, &fields(delta, chunks), make)
}

fn decode<T>(
    reply: &[u8],
    place: &ListingPlace,
    fields: &[String],
    make: impl Fn(&[u8]) -> Result<T, UnpackError>,
) -> Result<Vec<Option<T>>, Undecoded> {
    const OPERATION: &str = "read chunks";
    let odd = || StoreError::odd_reply(OPERATION);
    if resp::is_error(reply) {
        reply::answered(reply::value(reply, OPERATION)?, OPERATION, place.key())?;
    }
    let mut values = Values::of(reply);
    if values.array().ok_or_else(odd)? != fields.len() {
        return Err(odd().into());
    }
    let chunks = fields.iter().map(|field| {
        let Some(value) = values.bytes_or_nothing().ok_or_else(odd)? else {
            return Ok(None);
        };
        let made = opened(place, field, value)
            .map_err(UnpackError::Damaged)
            .and_then(&make);
        made.map(Some).map_err(|error| Undecoded::of(error, place.key()))
    });
    chunks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        listing::ItemId,
        store::layout::{keys::Keys, packed::PlainChunk},
    };

    const GENERATION: Generation = Generation { id: 8, nonce: 1 };

    fn items(at: u64) -> Vec<Item> {
        let item = |id: u64| Item {
            id: ItemId::parse(&format!("p{id}")).unwrap(),
            json: format!("{{\"id\":{id}}}").into(),
        };
        (3 * at..3 * at + 3).map(item).collect()
    }

    fn place(listing: &str) -> ListingPlace {
        let listing = ListingKey::parse(listing).unwrap();
        Keys::new("shop").deltas(&listing, Generation { id: 7, nonce: 1 })
    }

    fn delta() -> Delta {
        Delta::parse("7-00000001 9 8-00000001:2,4;").unwrap()
    }

    fn value(index: u64) -> Vec<u8> {
        let field = chunk_field(GENERATION, ChunkIndex(index));
        let chunk = PlainChunk::of(&items(index)).unwrap();
        sealed(&place("x/price"), &field, chunk.pack(None))
    }

    fn read(values: Vec<Value>, listing_of: &str, chunks: &[u64]) -> Result<Vec<Option<Chunk>>, Undecoded> {
        let reply = resp::written(&Value::Array(values));
        let chunks = chunks.iter().copied();
        decode_layered(&reply, &place(listing_of), &delta(), chunks, &Dictionaries::new())
    }

    #[test]
    fn what_is_written_is_read_and_what_is_gone_is_told() {
        let mut commands = Commands::default();
        read_layered(&mut commands, &place("x/price"), &delta(), [2, 4].into_iter());
        let asked = String::from_utf8(commands.parsed().remove(0).get_packed_command()).unwrap();
        assert!(asked.contains("8-00000001/2\r\n") && asked.contains("8-00000001/4\r\n"));

        let values = vec![Value::BulkString(value(2)), Value::Nil];
        let chunks = read(values.clone(), "x/price", &[2, 4]).unwrap();
        let expected = Chunk::join(items(2).iter().map(|item| item.json.clone()));
        assert_eq!(chunks, [Some(expected), None]);
        let reply = resp::written(&Value::Array(values));
        let with_ids = decode_layered_items(
            &reply,
            &place("x/price"),
            &delta(),
            [2, 4].into_iter(),
            &Dictionaries::new(),
        )
        .unwrap();
        assert_eq!(with_ids, [Some(items(2)), None]);
    }

    #[test]
    fn another_chunk_another_listing_and_another_byte_are_refused() {
        let corrupt = |found| matches!(found, Err(Undecoded::Error(StoreError::Corrupt { .. })));
        let whole = value(2);
        assert!(corrupt(read(vec![Value::BulkString(whole.clone())], "x/price", &[4])));
        assert!(corrupt(read(vec![Value::BulkString(whole.clone())], "y/price", &[2])));
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert!(corrupt(read(vec![Value::BulkString(other)], "x/price", &[2])), "{at}");
            assert!(corrupt(read(
                vec![Value::BulkString(whole[..at].to_vec())],
                "x/price",
                &[2]
            )));
        }
        assert!(read(vec![], "x/price", &[2]).is_err());
    }
}
