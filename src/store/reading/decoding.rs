//! Decoding what may be packed: a dictionary that this process does not have is read first. One that Redis has lost is put back by a process
//! that has it.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    listing::{Codec, ListingName},
    store::{
        access::Access,
        dictionaries::{Dictionaries, Dictionary, DictionaryHash},
        error::StoreError,
        layout::chunk_codec::Undecoded,
        wire::{commands::Commands, reply},
    },
};

const OPERATION: &str = "read dictionary";
const WRITE_OPERATION: &str = "write dictionary";
/// How long a dictionary lives before a generation that needs it is published, which lengthens its life: longer than any takes to write.
const UNPUBLISHED_LIFE: Duration = Duration::from_secs(3600);
/// Dictionaries that the chunks of one reply may need: a group's, and perhaps one from before.
const DICTIONARIES_MAX: usize = 4;

/// Takes replies apart, which are of listings of a name.
///
/// # Errors
/// [`StoreError::Corrupt`] where a dictionary is missing or another, and those of `decode`.
pub(crate) async fn decoded<T>(
    access: &Access,
    name: &ListingName,
    replies: &[Bytes],
    decode: impl Fn(&mut dyn Iterator<Item = Bytes>, &Dictionaries) -> Result<T, Undecoded>,
) -> Result<T, StoreError> {
    for _ in 0..=DICTIONARIES_MAX {
        match decode(&mut replies.iter().cloned(), &access.dictionaries) {
            Ok(decoded) => return Ok(decoded),
            Err(Undecoded::Error(error)) => return Err(error),
            Err(Undecoded::Dictionary(hash)) => {
                if read_dictionary(access, name, hash).await?.is_none() {
                    let key = access.keys.dictionary(name, hash);
                    return Err(StoreError::corrupt(&key, "a dictionary is missing that chunks need"));
                }
            }
        }
    }
    Err(StoreError::corrupt(
        name.as_str(),
        "chunks that need too many dictionaries",
    ))
}

/// The dictionary that the chunks of a generation need, if it is here or in Redis. `Some(None)` where they need none.
pub(crate) async fn dictionary_of(
    access: &Access,
    name: &ListingName,
    codec: Codec,
) -> Result<Option<Option<Arc<Dictionary>>>, StoreError> {
    let Some(hash) = codec
        .dictionary()
        .map(NonZeroU64::get)
        .and_then(DictionaryHash::from_number)
    else {
        return Ok(Some(None));
    };
    match access.dictionaries.get(hash) {
        Some(dictionary) => Ok(Some(Some(dictionary))),
        None => Ok(read_dictionary(access, name, hash).await?.map(Some)),
    }
}

/// Reads a dictionary. One whose bytes are not those that its name stands for is as good as none.
async fn read_dictionary(
    access: &Access,
    name: &ListingName,
    hash: DictionaryHash,
) -> Result<Option<Arc<Dictionary>>, StoreError> {
    let key = access.keys.dictionary(name, hash);
    let mut command = redis::cmd("GET");
    command.arg(&key);
    let bytes = match access.redis.read_one(OPERATION, &key, &command).await {
        Err(StoreError::Corrupt { .. }) => None,
        reply => reply::bytes(reply?),
    };
    Ok(bytes.and_then(|bytes| access.dictionaries.keep(hash, bytes.into()).ok()))
}

/// Writes a dictionary where it is not there, and lets it live.
pub(crate) async fn put_dictionary(
    access: &Access,
    name: &ListingName,
    dictionary: &Dictionary,
) -> Result<(), StoreError> {
    let key = access.keys.dictionary(name, dictionary.hash());
    let life = UNPUBLISHED_LIFE.as_millis() as u64;
    let mut turn = Commands::default();
    turn.add(redis::cmd("PEXPIRE").arg(&key).arg(life).arg("GT"));
    turn.add(redis::cmd("EXISTS").arg(&key));
    let replies = access.redis.write(WRITE_OPERATION, turn).await?;
    let mut is_there = false;
    for reply in replies {
        is_there = reply::integer(&reply::answered(reply, WRITE_OPERATION, &key)?) == Some(1);
    }
    if is_there {
        return Ok(());
    }
    let mut turn = Commands::default();
    turn.add(
        redis::cmd("SET")
            .arg(&key)
            .arg(&dictionary.bytes()[..])
            .arg("PX")
            .arg(life),
    );
    for reply in access.redis.write(WRITE_OPERATION, turn).await? {
        reply::answered(reply, WRITE_OPERATION, &key)?;
    }
    Ok(())
}

/// Puts a dictionary back that Redis has lost and this process still knows. Says whether it is there now.
pub(super) async fn put_back(access: &Access, name: &ListingName, codec: Codec) -> Result<bool, StoreError> {
    let hash = codec
        .dictionary()
        .map(NonZeroU64::get)
        .and_then(DictionaryHash::from_number);
    match hash.and_then(|hash| access.dictionaries.get(hash)) {
        Some(dictionary) => put_dictionary(access, name, &dictionary).await.map(|()| true),
        None => Ok(false),
    }
}
