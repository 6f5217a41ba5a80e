//! Heads as hashes: their fields, the command that reads them, and the check sum.

use std::{fmt::Write as _, num::NonZeroU32, sync::Arc};

use redis::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    listing::{Codec, Delta, Generation, Head, HeadState, ListingKey, Timestamp},
    store::{
        error::StoreError,
        layout::{
            kept_codec::{Bytes, KeptGenerations, KeptRead, decode_kept, read_kept},
            keys::{Keys, ListingPlace},
        },
        wire::{commands::Commands, reply},
    },
};

/// The fields of a head that are read, in this order.
pub(crate) const FIELDS: [&str; 13] = [
    "id",
    "nonce",
    "total",
    "chunk_len",
    "as_of",
    "definition",
    "pins_from",
    "deleted",
    "definition_version",
    "sum",
    "delta",
    "codec",
    "next_change",
];

/// What only writers read: what its generation takes up.
const BYTES: &str = "bytes";

/// A head as it lies in Redis, with what scripts compare and what only writers need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub state: HeadState,
    /// `id` and `nonce` letter by letter, empty if missing: the state that a writer has read.
    pub as_read: [String; 2],
    /// What its generation takes up.
    pub bytes: Bytes,
    /// Older generations that may still be there.
    pub kept: KeptGenerations,
}

/// Reads a head.
pub(crate) fn read_head(to: &mut Commands, key: &str) {
    let mut arguments = vec![&b"HMGET"[..], key.as_bytes()];
    arguments.extend(FIELDS.map(str::as_bytes));
    to.call(&arguments);
}

/// Takes a reply to [`read_head`] apart.
pub(crate) fn decode_head(reply: Value, place: &ListingPlace) -> Result<HeadState, StoreError> {
    let fields = decode_fields(reply, place.key())?;
    state_of(&fields, place).ok_or_else(|| StoreError::corrupt(place.key(), "a head with missing or unreadable fields"))
}

/// Reads a head and the kept generations for a writer.
pub(crate) fn read_for_writing(to: &mut Commands, keys: &Keys, listing: &ListingKey, which: KeptRead) {
    let head = keys.head(listing);
    let mut arguments = vec![&b"HMGET"[..], head.key().as_bytes()];
    arguments.extend(FIELDS.map(str::as_bytes));
    arguments.push(BYTES.as_bytes());
    to.call(&arguments);
    read_kept(to, &keys.kept(listing), which);
}

/// Takes the replies to [`read_for_writing`] apart. A writer may replace a head that no reader understands, or a value that is no head:
/// it counts as absent.
pub(crate) fn decode_for_writing(
    replies: &mut impl Iterator<Item = Value>,
    keys: &Keys,
    listing: &ListingKey,
) -> Result<StoredHead, StoreError> {
    let (head, kept) = (keys.head(listing), keys.kept(listing));
    let fields = match decode_fields(replies.next().unwrap_or_default(), head.key()) {
        Err(StoreError::Corrupt { .. }) => <[_; FIELDS.len() + 1]>::default(),
        decoded => decoded?,
    };
    let kept = decode_kept(replies, &kept)?;
    let as_read = [0, 1].map(|at: usize| fields.get(at).cloned().flatten().unwrap_or_default());
    let [fields @ .., bytes] = fields;
    Ok(StoredHead {
        state: state_of(&fields, &head).unwrap_or(HeadState::Absent),
        as_read,
        // Missing: it is counted from the next generation on.
        bytes: bytes.as_deref().and_then(Bytes::parse).unwrap_or_default(),
        kept,
    })
}

type Fields = [Option<String>; FIELDS.len()];

fn decode_fields<const MANY: usize>(reply: Value, key: &str) -> Result<[Option<String>; MANY], StoreError> {
    let reply = reply::answered(reply, "read head", key)?;
    let values = reply::array(reply).ok_or_else(|| StoreError::odd_reply("read head"))?;
    let fields = <[Value; MANY]>::try_from(values).map_err(|_| StoreError::odd_reply("read head"))?;
    Ok(fields.map(reply::text))
}

fn state_of(fields: &Fields, place: &ListingPlace) -> Option<HeadState> {
    let [
        id,
        nonce,
        total,
        chunk_len,
        as_of,
        definition,
        pins_from,
        deleted,
        definition_version,
        sum,
        delta,
        codec,
        next_change,
    ] = fields;
    let Some(id) = id else {
        let nothing = fields.iter().all(Option::is_none);
        return nothing.then_some(HeadState::Absent);
    };
    let generation = format!("{id}-{}", nonce.as_deref()?).parse().ok()?;
    if deleted.is_some() {
        // A tombstone has no field of a listing: one with such a field is not ours.
        // But for the next change: a release that does not know it leaves it.
        let bare = [total, chunk_len, as_of, definition, sum, delta, codec]
            .iter()
            .all(|field| field.is_none());
        return bare.then_some(HeadState::Deleted(generation));
    }
    let head = Head {
        generation,
        total: total.as_deref()?.parse().ok()?,
        chunk_len: chunk_len.as_deref()?.parse::<NonZeroU32>().ok()?,
        as_of: Timestamp(as_of.as_deref()?.parse().ok()?),
        definition: u64::from_str_radix(definition.as_deref()?, 16).ok()?,
        definition_version: match definition_version.as_deref() {
            // Pushed listings have none.
            None => 0,
            Some(version) => version.parse().ok()?,
        },
        pins_from: pins_from.as_deref()?.parse().ok()?,
        delta: match delta {
            None => None,
            Some(delta) => Some(Arc::new(Delta::parse(delta)?)),
        },
        codec: match codec {
            None => Codec::Plain,
            Some(codec) => Codec::parse(codec)?,
        },
        next_change: next_change
            .as_deref()
            .and_then(|text| parse_next_change(place.listing(), generation, text)),
    };
    // A number changed by somebody else may look as good as ours: a listing would end early, or have no items at all.
    (sum.as_deref()? == sum_of(place.listing(), &head)).then_some(HeadState::Live(head))
}

/// The check sum of a listing's head: hexadecimal, over all that readers go by.
pub(crate) fn sum_of(listing: &str, head: &Head) -> String {
    let Head {
        generation,
        total,
        chunk_len,
        as_of,
        definition,
        definition_version,
        pins_from,
        delta,
        codec,
        // A release that does not know it has another sum of its own.
        next_change: _,
    } = head;
    let mut text = format!(
        "{listing} {generation} {total} {chunk_len} {} {definition:016x} {definition_version} {pins_from}",
        as_of.0
    );
    if let Some(delta) = delta {
        // Writing to a text does not fail.
        let _ = write!(text, " {delta}");
    }
    if *codec != Codec::Plain {
        let _ = write!(text, " {codec}");
    }
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// The next change of a listing's head, with a sum of its own.
///
/// A release before this one leaves the field as it is where it moves the head: then it is another generation's, and says nothing.
pub(crate) fn write_next_change(listing: &str, generation: Generation, next: Option<Timestamp>) -> String {
    next.map_or_else(String::new, |Timestamp(next)| {
        let text = format!("{listing} {generation} {next}");
        format!("{next} {:016x}", xxh3_64(text.as_bytes()))
    })
}

fn parse_next_change(listing: &str, generation: Generation, text: &str) -> Option<Timestamp> {
    let next = Timestamp(text.split(' ').next()?.parse().ok()?);
    (write_next_change(listing, generation, Some(next)) == text).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> ListingKey {
        ListingKey::parse("x/price").unwrap()
    }

    fn place() -> ListingPlace {
        Keys::new("shop").head(&listing())
    }

    fn reply(fields: [Option<&str>; 13]) -> Value {
        let value = |field: Option<&str>| field.map_or(Value::Nil, |text| Value::BulkString(text.into()));
        Value::Array(fields.map(value).into())
    }

    /// What a writer reads: a head's reply, its generation's bytes, and what is kept.
    fn for_writing(head: Value, kept: &[&str]) -> StoredHead {
        let head = match head {
            Value::Array(mut fields) => {
                fields.push(Value::BulkString("7 7 0 7".into()));
                Value::Array(fields)
            }
            error => error,
        };
        let kept = kept.iter().flat_map(|member| [*member, "9"]);
        let kept = Value::Array(kept.map(|text| Value::BulkString(text.into())).collect());
        let count = Value::Int(1);
        decode_for_writing(&mut [head, kept, count].into_iter(), &Keys::new("shop"), &listing()).unwrap()
    }

    const LIVE: [Option<&str>; 13] = [
        Some("1795291200123456"),
        Some("9f1c02ab"),
        Some("25"),
        Some("12"),
        Some("1795291200123"),
        Some("fedcba9876543210"),
        Some("0"),
        None,
        Some("3"),
        Some(SUM),
        Some("5-000000ef 9 7-00000001:0,2-3;"),
        None,
        None,
    ];
    const SUM: &str = "eee32140eba92efd";

    #[test]
    fn a_head_is_read() {
        let HeadState::Live(head) = decode_head(reply(LIVE), &place()).unwrap() else {
            panic!("not live");
        };
        assert_eq!(head.generation.to_string(), "1795291200123456-9f1c02ab");
        assert_eq!((head.total, head.chunk_len.get(), head.pins_from), (25, 12, 0));
        assert_eq!(head.definition_version, 3);
        // Greater than a double holds.
        assert_eq!(head.definition, 0xfedc_ba98_7654_3210);

        let stored = for_writing(reply(LIVE), &["6-000000cd 1 1 0 1", "junk"]);
        assert_eq!(stored.state, HeadState::Live(head));
        assert_eq!(stored.as_read, ["1795291200123456", "9f1c02ab"].map(String::from));
        assert_eq!((stored.bytes, stored.kept.read.len()), (Bytes::whole(7), 1));
    }

    #[test]
    fn a_next_change_is_of_one_generation_and_no_other() {
        let generation: Generation = "1795291200123456-9f1c02ab".parse().unwrap();
        let next = Some(Timestamp(1_795_291_260_000));
        let written = write_next_change("x/price", generation, next);
        let read = |text: &str| {
            let mut fields = LIVE;
            fields[12] = Some(text);
            // Whatever the field says, the head is as it was.
            let state = decode_head(reply(fields), &place()).unwrap();
            state.live().unwrap().next_change
        };
        assert_eq!(read(&written), next);
        // A release that does not know the field has left it where it moved the head.
        let earlier = Generation {
            id: generation.id - 1,
            ..generation
        };
        assert_eq!(read(&write_next_change("x/price", earlier, next)), None);
        assert_eq!(read(&write_next_change("y/price", generation, next)), None);
        for bad in ["", "1795291260000", &written.replacen('6', "7", 1)] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(write_next_change("x/price", generation, None), "");
    }

    #[test]
    fn a_tombstone_and_nothing_are_told_apart() {
        let mut tombstone = [None; 13];
        tombstone[0] = Some("8");
        tombstone[1] = Some("000000ab");
        tombstone[7] = Some("1");
        let generation = Generation { id: 8, nonce: 0xab };
        assert_eq!(
            decode_head(reply(tombstone), &place()).unwrap(),
            HeadState::Deleted(generation)
        );
        assert_eq!(decode_head(reply([None; 13]), &place()).unwrap(), HeadState::Absent);
        // One that lost its id, and one that somebody only called deleted, are neither.
        let (mut lost, mut called) = (LIVE, LIVE);
        (lost[0], called[7]) = (None, Some("1"));
        for neither in [lost, called] {
            assert!(matches!(
                decode_head(reply(neither), &place()),
                Err(StoreError::Corrupt { .. })
            ));
        }
    }

    #[test]
    fn an_unreadable_head_is_corrupt_to_readers_and_absent_to_writers() {
        for (at, bad) in [
            (0, "0"),
            (1, "xyz"),
            (2, "-1"),
            (3, "0"),
            (4, ""),
            (5, "g"),
            (6, "1.5"),
            (8, "x"),
            (9, "0"),
            // As good as ours, but for the sum.
            (0, "1795291200123455"),
            (1, "9f1c02ac"),
            (2, "0"),
            (2, "24"),
            (3, "24"),
            (4, "1795291200124"),
            (5, "fedcba9876543211"),
            (6, "1"),
            (8, "4"),
            (10, ""),
            (10, "5-000000ef 9 7-00000001:0,2;"),
            (10, "5-000000ee 9 7-00000001:0,2-3;"),
            (10, "5-000000ef 8 7-00000001:0,2-3;"),
            (11, "packed"),
            (11, "x"),
        ] {
            let mut fields = LIVE;
            fields[at] = Some(bad);
            assert!(
                matches!(decode_head(reply(fields), &place()), Err(StoreError::Corrupt { .. })),
                "{at}"
            );
            assert_eq!(for_writing(reply(fields), &[]).state, HeadState::Absent);
        }
        let wrong_type = || redis::parse_redis_value(b"-WRONGTYPE Operation against a key\r\n").unwrap();
        assert!(matches!(
            decode_head(wrong_type(), &place()),
            Err(StoreError::Corrupt { .. })
        ));
        let stored = for_writing(wrong_type(), &["6-000000cd 1 1 0 1"]);
        assert_eq!((stored.state, stored.as_read), (HeadState::Absent, Default::default()));
        assert_eq!(stored.kept.read.len(), 1);
    }
}
