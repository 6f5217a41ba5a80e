//! Bytes in their packed form: a format, and behind it the bytes as they are or a zstd frame.

use std::sync::Arc;

use crate::store::dictionaries::{Dictionary, DictionaryHash, pack_frame, unpack_frame};

/// The most bytes that are packed, and that packed bytes may unpack to. With 12 items a chunk this is room for items of 340 KB; the
/// default of `http.item_max` is 256 KB.
///
/// Larger ones stay as they are. Packing them would hold up a worker for longer than the 20 ms that this many bytes take.
pub(crate) const PLAIN_BYTES_MAX: usize = 4 << 20;

/// The plain bytes follow.
const PLAIN: u8 = 0;
/// A dictionary's hash, the plain length and a zstd frame follow.
const ZSTD: u8 = 1;

/// Why packed bytes were not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnpackError {
    /// This process does not have their dictionary. Read it from Redis, then try again.
    #[error("dictionary {0} is missing")]
    MissingDictionary(DictionaryHash),
    /// We did not write them, or they have changed since.
    #[error("{0}")]
    Damaged(&'static str),
}

/// Whether these bytes begin as packed ones do. No JSON value does.
pub(crate) fn is_packed(value: &[u8]) -> bool {
    matches!(value.first(), Some(&(PLAIN | ZSTD)))
}

/// The dictionary that packed bytes name; `None` where they need none, or are cut off.
pub(super) fn dictionary_of(packed: &[u8]) -> Option<DictionaryHash> {
    let (hash, _) = packed.strip_prefix(&[ZSTD])?.split_first_chunk()?;
    DictionaryHash::from_number(u64::from_le_bytes(*hash))
}

/// Packs bytes; more than [`PLAIN_BYTES_MAX`] stay as they are.
pub(super) fn pack(plain: &[u8], dictionary: Option<&Dictionary>) -> Vec<u8> {
    let packed = (plain.len() <= PLAIN_BYTES_MAX).then(|| packed_by_zstd(plain, dictionary));
    match packed.flatten() {
        Some(packed) if packed.len() <= plain.len() => packed,
        _ => as_it_is(plain),
    }
}

fn packed_by_zstd(plain: &[u8], dictionary: Option<&Dictionary>) -> Option<Vec<u8>> {
    let plain_len = u32::try_from(plain.len()).ok()?;
    let hash = dictionary.map_or(0, |dictionary| dictionary.hash().number());
    pack_frame(plain, dictionary, |frame| {
        let mut packed = Vec::with_capacity(HEAD_BYTES + frame.len());
        packed.push(ZSTD);
        packed.extend(hash.to_le_bytes());
        packed.extend(plain_len.to_le_bytes());
        packed.extend_from_slice(frame);
        packed
    })
}

/// Bytes of the packed form before the frame.
const HEAD_BYTES: usize = 1 + 8 + 4;

pub(super) fn as_it_is(plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(1 + plain.len());
    packed.push(PLAIN);
    packed.extend_from_slice(plain);
    packed
}

/// Unpacks bytes, and gives them to `read`, which copies what it needs. `find`: the dictionary of a name, if this process has it.
///
/// At most [`PLAIN_BYTES_MAX`] bytes are allocated, and only where the frame says the same length as the bytes before it.
pub(crate) fn unpack_bytes<T>(
    packed: &[u8],
    find: impl FnOnce(DictionaryHash) -> Option<Arc<Dictionary>>,
    read: impl FnOnce(&[u8]) -> Result<T, &'static str>,
) -> Result<T, UnpackError> {
    match packed.split_first() {
        // Nothing is unpacked: they are as long as they came.
        Some((&PLAIN, plain)) => read(plain).map_err(UnpackError::Damaged),
        Some((&ZSTD, rest)) => {
            let (_hash, rest) = rest.split_first_chunk::<8>().ok_or(CUT_OFF)?;
            let (plain_len, frame) = rest.split_first_chunk().ok_or(CUT_OFF)?;
            let plain_len = usize::try_from(u32::from_le_bytes(*plain_len)).map_err(|_| TOO_LARGE)?;
            if plain_len > PLAIN_BYTES_MAX {
                return Err(TOO_LARGE);
            }
            let dictionary = match dictionary_of(packed) {
                Some(hash) => Some(find(hash).ok_or(UnpackError::MissingDictionary(hash))?),
                None => None,
            };
            unpack_frame(frame, plain_len, dictionary.as_deref(), read)
                .and_then(|read| read)
                .map_err(UnpackError::Damaged)
        }
        _ => Err(UnpackError::Damaged("packed bytes of an unknown format")),
    }
}

const TOO_LARGE: UnpackError = UnpackError::Damaged("packed bytes that say they are too large");
const CUT_OFF: UnpackError = UnpackError::Damaged("packed bytes that end too soon");
