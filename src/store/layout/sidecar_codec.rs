//! Sidecars: what a generation says of itself, in a hash beside its stream.
//!
//! A sidecar never changes once its generation is published. Its check sum covers the listing and the generation, so that one which
//! was copied, or written by another program, counts as lost.

use std::{num::NonZeroU32, sync::Arc};

use redis::Value;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    listing::{Codec, Content, Delta, Generation},
    store::{
        error::StoreError,
        layout::keys::ListingPlace,
        wire::{commands::Commands, reply},
    },
};

/// What a generation says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Items in it.
    pub total: u64,
    /// Items a chunk; only the last one may have fewer.
    pub chunk_len: NonZeroU32,
    /// Whether its sidecar has the sort keys of all items, its base's among them.
    pub has_keys: bool,
    /// Its delta; `None` where it is whole.
    pub delta: Option<Arc<Delta>>,
    /// How its chunks lie in Redis.
    pub codec: Codec,
}

/// The fields of a description, in the order in which they are read.
const FIELDS: [&str; 6] = ["total", "chunk_len", "columns", "delta", "codec", "sum"];
/// The columns that are there.
const IDS_ONLY: &str = "ids";
const IDS_AND_KEYS: &str = "ids keys";
/// The content of each chunk of a whole generation, or of each in a delta's layers: eight bytes each in their order, and eight of a
/// check sum.
const CONTENT: &str = "content";

/// Writes a sidecar, with what its chunks come to: all of a whole generation, those in a delta's layers.
pub(crate) fn write_sidecar(
    to: &mut Commands,
    place: &ListingPlace,
    generation: Generation,
    description: &Description,
    content: Option<&Content>,
) {
    let Description {
        total,
        chunk_len,
        has_keys,
        delta,
        codec,
    } = description;
    let mut command = redis::cmd("HSET");
    command
        .arg(place)
        .arg(&[("total", total.to_string()), ("chunk_len", chunk_len.to_string())])
        .arg("columns")
        .arg(columns_of(*has_keys));
    if let Some(delta) = delta {
        command.arg("delta").arg(delta.to_string());
    }
    if *codec != Codec::Plain {
        command.arg("codec").arg(codec.to_string());
    }
    let sum = sum_of(place, generation, description);
    command.arg("sum").arg(format!("{sum:016x}"));
    if let Some(content) = content {
        let mut bytes = content.to_bytes();
        let sum = xxh3_64_with_seed(&bytes, sum);
        bytes.extend(sum.to_le_bytes());
        command.arg(CONTENT).arg(bytes);
    }
    to.add(&command);
}

/// Reads what a generation says of itself.
pub(crate) fn read_description(to: &mut Commands, place: &ListingPlace) {
    let mut arguments = vec![&b"HMGET"[..], place.key().as_bytes()];
    arguments.extend(FIELDS.map(str::as_bytes));
    to.call(&arguments);
}

/// The same, with what its chunks come to.
pub(crate) fn read_with_content(to: &mut Commands, place: &ListingPlace) {
    let mut arguments = vec![&b"HMGET"[..], place.key().as_bytes()];
    arguments.extend(FIELDS.map(str::as_bytes));
    arguments.push(CONTENT.as_bytes());
    to.call(&arguments);
}

/// Takes a reply to [`read_description`] apart; `None` where there is no sidecar, or none of ours.
pub(crate) fn decode_description(
    reply: Value,
    place: &ListingPlace,
    generation: Generation,
) -> Result<Option<Description>, StoreError> {
    Ok(fields_of(reply, place)?.and_then(|mut fields| description_of(&mut fields, place, generation)))
}

/// Takes a reply to [`read_with_content`] apart; `None` where either is missing, or none of ours.
pub(crate) fn decode_with_content(
    reply: Value,
    place: &ListingPlace,
    generation: Generation,
) -> Result<Option<(Description, Content)>, StoreError> {
    let Some(mut fields) = fields_of(reply, place)? else {
        return Ok(None);
    };
    let content = fields.pop().and_then(reply::bytes);
    let both = description_of(&mut fields, place, generation).and_then(|description| {
        let content = content?;
        let (bytes, sum) = content.split_last_chunk::<8>()?;
        let expected = xxh3_64_with_seed(bytes, sum_of(place, generation, &description));
        let content = (u64::from_le_bytes(*sum) == expected).then(|| Content::from_bytes(bytes))??;
        Some((description, content))
    });
    Ok(both)
}

/// The fields that were asked for; `None` where something else lies there.
fn fields_of(reply: Value, place: &ListingPlace) -> Result<Option<Vec<Value>>, StoreError> {
    match reply::answered(reply, "read sidecar", place.key()) {
        Err(StoreError::Corrupt { .. }) => Ok(None),
        reply => reply::array(reply?)
            .map(Some)
            .ok_or_else(|| StoreError::odd_reply("read sidecar")),
    }
}

fn description_of(fields: &mut Vec<Value>, place: &ListingPlace, generation: Generation) -> Option<Description> {
    let fields: Vec<Option<String>> = fields.drain(..).map(reply::text).collect();
    let [total, chunk_len, columns, delta, codec, sum] = fields.as_slice() else {
        return None;
    };
    let description = Description {
        total: total.as_deref()?.parse().ok()?,
        chunk_len: chunk_len.as_deref()?.parse().ok()?,
        has_keys: columns.as_deref()? == IDS_AND_KEYS,
        delta: match delta {
            None => None,
            Some(delta) => Some(Arc::new(Delta::parse(delta)?)),
        },
        codec: match codec {
            None => Codec::Plain,
            Some(codec) => Codec::parse(codec)?,
        },
    };
    let expected = format!("{:016x}", sum_of(place, generation, &description));
    (sum.as_deref()? == expected).then_some(description)
}

fn columns_of(has_keys: bool) -> &'static str {
    if has_keys { IDS_AND_KEYS } else { IDS_ONLY }
}

fn sum_of(place: &ListingPlace, generation: Generation, description: &Description) -> u64 {
    let Description {
        total,
        chunk_len,
        has_keys,
        delta,
        codec,
    } = description;
    let (columns, delta) = (
        columns_of(*has_keys),
        delta.as_ref().map(ToString::to_string).unwrap_or_default(),
    );
    let text = format!(
        "{} {generation} {total} {chunk_len} {columns} {codec} {delta}",
        place.listing()
    );
    xxh3_64(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{listing::ListingKey, store::layout::keys::Keys};

    const GENERATION: Generation = Generation { id: 7, nonce: 1 };

    fn place(listing: &str) -> ListingPlace {
        Keys::new("shop").sidecar(&ListingKey::parse(listing).unwrap(), GENERATION)
    }

    /// The values that a hash written so would give for these fields.
    fn written(description: &Description, content: Option<&Content>, fields: &[&str]) -> Value {
        let mut commands = Commands::default();
        write_sidecar(&mut commands, &place("x/price"), GENERATION, description, content);
        let command = commands.parsed().remove(0);
        let arguments: Vec<Vec<u8>> = command
            .args_iter()
            .skip(2)
            .map(|argument| match argument {
                redis::Arg::Simple(bytes) => bytes.to_vec(),
                _ => panic!("a cursor"),
            })
            .collect();
        let value = |name: &&str| {
            let mut pairs = arguments.chunks(2);
            let pair = pairs.find(|pair| pair[0] == name.as_bytes());
            pair.map_or(Value::Nil, |pair| Value::BulkString(pair[1].clone()))
        };
        Value::Array(fields.iter().map(value).collect())
    }

    #[test]
    fn what_is_written_is_read_and_what_is_not_ours_counts_as_lost() {
        let whole = Description {
            total: 30,
            chunk_len: NonZeroU32::new(12).unwrap(),
            has_keys: true,
            delta: None,
            codec: Codec::parse("packed 00000000000000ab").unwrap(),
        };
        let delta = Description {
            delta: Delta::parse("5-00000001 3 7-00000001:1;").map(Arc::new),
            has_keys: false,
            codec: Codec::Plain,
            ..whole.clone()
        };
        let content = Content { chunks: vec![1, 2, 3] };
        let with_content = [&FIELDS[..], &[CONTENT]].concat();
        for description in [&whole, &delta] {
            let reply = written(description, None, &FIELDS);
            let read = |reply, listing, generation| decode_description(reply, &place(listing), generation).unwrap();
            assert_eq!(read(reply.clone(), "x/price", GENERATION).as_ref(), Some(description));
            assert_eq!(read(reply.clone(), "y/price", GENERATION), None);
            assert_eq!(read(reply, "x/price", Generation { id: 8, nonce: 1 }), None);
            assert_eq!(read(Value::Array(vec![Value::Nil; 6]), "x/price", GENERATION), None);
        }
        let reply = written(&whole, Some(&content), &with_content);
        let read = |reply| decode_with_content(reply, &place("x/price"), GENERATION).unwrap();
        assert_eq!(read(reply.clone()), Some((whole.clone(), content)));
        let Value::Array(mut values) = reply else {
            panic!("no array")
        };
        let Some(Value::BulkString(bytes)) = values.last_mut() else {
            panic!("no content")
        };
        bytes[0] ^= 1;
        assert_eq!(read(Value::Array(values)), None);
        assert_eq!(read(written(&whole, None, &with_content)), None);
        let wrong_type = redis::parse_redis_value(b"-WRONGTYPE Operation against a key\r\n").unwrap();
        assert_eq!(read(wrong_type), None);
    }
}
