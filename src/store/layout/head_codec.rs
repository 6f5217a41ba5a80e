//! Heads as hashes: their fields, the command that reads them, and the check sum.

use std::{
    fmt::{self, Write as _},
    num::NonZeroU32,
    sync::Arc,
};

use redis::Value;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    listing::{Delta, Generation, Head, HeadState, Timestamp},
    store::{
        error::StoreError,
        layout::keys::ListingPlace,
        wire::{commands::Commands, reply},
    },
};

/// The fields of a head that are read, in this order.
pub(crate) const FIELDS: [&str; 12] = [
    "id",
    "nonce",
    "total",
    "chunk_len",
    "as_of",
    "definition",
    "pins_from",
    "deleted",
    "kept",
    "definition_version",
    "sum",
    "delta",
];

/// A head as it lies in Redis, with what scripts compare and what only writers need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredHead {
    pub state: HeadState,
    /// `id`, `nonce` and `kept` letter by letter, empty if missing: the state that a writer has read.
    pub as_read: [String; 3],
    /// Older generations that may still be there, newest first.
    pub kept: Vec<KeptGeneration>,
}

/// A generation that was replaced and is still kept: `<generation>`, or `<generation>@<base>` where it is a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeptGeneration {
    pub generation: Generation,
    pub base: Option<Generation>,
}

impl KeptGeneration {
    fn parse(text: &str) -> Option<Self> {
        let (generation, base) = match text.split_once('@') {
            Some((generation, base)) => (generation, Some(base.parse().ok()?)),
            None => (text, None),
        };
        Some(Self {
            generation: generation.parse().ok()?,
            base,
        })
    }
}

impl fmt::Display for KeptGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            None => write!(f, "{}", self.generation),
            Some(base) => write!(f, "{}@{base}", self.generation),
        }
    }
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

/// The same for a writer, who may replace a head that no reader understands, or a value that is no head: it counts as absent.
pub(crate) fn decode_for_writing(reply: Value, place: &ListingPlace) -> Result<StoredHead, StoreError> {
    let fields = match decode_fields(reply, place.key()) {
        Err(StoreError::Corrupt { .. }) => Fields::default(),
        decoded => decoded?,
    };
    let as_read = [0, 1, 8].map(|at| fields[at].clone().unwrap_or_default());
    let kept = as_read[2]
        .split_ascii_whitespace()
        .filter_map(KeptGeneration::parse)
        .collect();
    Ok(StoredHead {
        state: state_of(&fields, place).unwrap_or(HeadState::Absent),
        as_read,
        kept,
    })
}

type Fields = [Option<String>; FIELDS.len()];

fn decode_fields(reply: Value, key: &str) -> Result<Fields, StoreError> {
    let reply = reply::answered(reply, "read head", key)?;
    let values = reply::array(reply).ok_or_else(|| StoreError::odd_reply("read head"))?;
    let fields = <[Value; FIELDS.len()]>::try_from(values).map_err(|_| StoreError::odd_reply("read head"))?;
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
        _,
        definition_version,
        sum,
        delta,
    ] = fields;
    let Some(id) = id else {
        let nothing = fields.iter().all(Option::is_none);
        return nothing.then_some(HeadState::Absent);
    };
    let generation = format!("{id}-{}", nonce.as_deref()?).parse().ok()?;
    if deleted.is_some() {
        // A tombstone has no field of a listing: one with such a field is not ours.
        let bare = [total, chunk_len, as_of, definition, sum, delta]
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
    } = head;
    let mut text = format!(
        "{listing} {generation} {total} {chunk_len} {} {definition:016x} {definition_version} {pins_from}",
        as_of.0
    );
    if let Some(delta) = delta {
        // Writing to a text does not fail.
        let _ = write!(text, " {delta}");
    }
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{listing::ListingKey, store::layout::keys::Keys};

    fn place() -> ListingPlace {
        Keys::new("shop").head(&ListingKey::parse("x/price").unwrap())
    }

    fn reply(fields: [Option<&str>; 12]) -> Value {
        let value = |field: Option<&str>| field.map_or(Value::Nil, |text| Value::BulkString(text.into()));
        Value::Array(fields.map(value).into())
    }

    const LIVE: [Option<&str>; 12] = [
        Some("1795291200123456"),
        Some("9f1c02ab"),
        Some("25"),
        Some("12"),
        Some("1795291200123"),
        Some("fedcba9876543210"),
        Some("0"),
        None,
        Some("7-000000ab@5-000000ef junk 6-000000cd"),
        Some("3"),
        Some(SUM),
        Some("5-000000ef 9 0,2-3"),
    ];
    const SUM: &str = "3ace45e3eea9705e";

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

        let stored = decode_for_writing(reply(LIVE), &place()).unwrap();
        assert_eq!(stored.as_read[2], "7-000000ab@5-000000ef junk 6-000000cd");
        let kept: Vec<_> = stored.kept.iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["7-000000ab@5-000000ef", "6-000000cd"]);
    }

    #[test]
    fn a_tombstone_and_nothing_are_told_apart() {
        let mut tombstone = [None; 12];
        tombstone[0] = Some("8");
        tombstone[1] = Some("000000ab");
        tombstone[7] = Some("1");
        let generation = Generation { id: 8, nonce: 0xab };
        assert_eq!(
            decode_head(reply(tombstone), &place()).unwrap(),
            HeadState::Deleted(generation)
        );
        assert_eq!(decode_head(reply([None; 12]), &place()).unwrap(), HeadState::Absent);
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
            (9, "x"),
            (10, "0"),
            // As good as ours, but for the sum.
            (0, "1795291200123455"),
            (1, "9f1c02ac"),
            (2, "0"),
            (2, "24"),
            (3, "24"),
            (4, "1795291200124"),
            (5, "fedcba9876543211"),
            (6, "1"),
            (9, "4"),
            (11, ""),
            (11, "5-000000ef 9 0,2"),
            (11, "5-000000ee 9 0,2-3"),
            (11, "5-000000ef 8 0,2-3"),
        ] {
            let mut fields = LIVE;
            fields[at] = Some(bad);
            assert!(
                matches!(decode_head(reply(fields), &place()), Err(StoreError::Corrupt { .. })),
                "{at}"
            );
            assert_eq!(
                decode_for_writing(reply(fields), &place()).unwrap().state,
                HeadState::Absent
            );
        }
        let wrong_type = || redis::parse_redis_value(b"-WRONGTYPE Operation against a key\r\n").unwrap();
        assert!(matches!(
            decode_head(wrong_type(), &place()),
            Err(StoreError::Corrupt { .. })
        ));
        let stored = decode_for_writing(wrong_type(), &place()).unwrap();
        assert_eq!((stored.state, stored.as_read), (HeadState::Absent, Default::default()));
    }
}
