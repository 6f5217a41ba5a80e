//! A dictionary: its bytes, the hash that names them, and the forms that zstd works with.

use std::{fmt, num::NonZeroU64, sync::OnceLock};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::frames;

/// The largest dictionary. A larger one packs hardly better, and each process and partition that uses it holds it.
pub(crate) const DICTIONARY_BYTES_MAX: usize = 2048;

/// The name of a dictionary: XXH3-64 of its bytes, never 0. Written as 16 hexadecimal digits in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DictionaryHash(NonZeroU64);

impl DictionaryHash {
    /// Of a dictionary's bytes; `None` where the hash is 0, which stands for "no dictionary".
    fn of(bytes: &[u8]) -> Option<Self> {
        Self::from_number(xxh3_64(bytes))
    }

    /// By its number; `None` for 0.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Its number.
    pub(crate) fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for DictionaryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A dictionary, ready for use by several threads at once. It takes 36 KB, and 120 KB more once it has packed.
pub(crate) struct Dictionary {
    hash: DictionaryHash,
    bytes: Bytes,
    unpacking: DecoderDictionary<'static>,
    /// Made when it packs for the first time: most dictionaries of a reader never do.
    packing: OnceLock<Option<EncoderDictionary<'static>>>,
}

impl Dictionary {
    /// Prepares a dictionary of 1 to [`DICTIONARY_BYTES_MAX`] bytes. `Err` with the reason where zstd cannot use it.
    pub(crate) fn new(bytes: Bytes) -> Result<Self, &'static str> {
        if !(1..=DICTIONARY_BYTES_MAX).contains(&bytes.len()) {
            return Err("a dictionary that is empty or too large");
        }
        Ok(Self {
            hash: DictionaryHash::of(&bytes).ok_or("a dictionary whose hash is 0")?,
            unpacking: DecoderDictionary::try_copy(&bytes).map_err(|_| "a dictionary that zstd cannot use")?,
            packing: OnceLock::new(),
            bytes,
        })
    }

    /// Prepares the dictionary of this name, as it came from Redis. `Err` where the bytes are not those that it names.
    pub(crate) fn named(hash: DictionaryHash, bytes: Bytes) -> Result<Self, &'static str> {
        // Before the hash: a large value is not read through.
        if bytes.len() > DICTIONARY_BYTES_MAX {
            return Err("a dictionary that is empty or too large");
        }
        if DictionaryHash::of(&bytes) != Some(hash) {
            return Err("a dictionary whose bytes are not those of its name");
        }
        Self::new(bytes)
    }

    /// Its name.
    pub(crate) fn hash(&self) -> DictionaryHash {
        self.hash
    }

    /// Its bytes, as they are kept in Redis.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn packing(&self) -> Option<&EncoderDictionary<'static>> {
        let make = || EncoderDictionary::try_copy(&self.bytes, frames::LEVEL).ok();
        self.packing.get_or_init(make).as_ref()
    }
}

/// Packs bytes into one zstd frame, and gives it to `read`, which may copy it.
///
/// `None` where zstd cannot, for memory is exhausted. The bytes are then kept as they are.
pub(crate) fn pack_frame<T>(plain: &[u8], dictionary: Option<&Dictionary>, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let prepared = match dictionary {
        Some(dictionary) => Some(dictionary.packing()?.as_cdict()),
        None => None,
    };
    frames::pack(plain, prepared, read)
}

/// Unpacks one zstd frame of exactly `plain_len` bytes, and gives them to `read`. The caller bounds `plain_len`: so much is allocated.
///
/// `Err` with the reason where the bytes are no such frame, or were packed with another dictionary.
pub(crate) fn unpack_frame<T>(
    frame: &[u8],
    plain_len: usize,
    dictionary: Option<&Dictionary>,
    read: impl FnOnce(&[u8]) -> T,
) -> Result<T, &'static str> {
    let prepared = dictionary.map(|dictionary| dictionary.unpacking.as_ddict());
    frames::unpack(frame, plain_len, prepared, read)
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dictionary({}, {} bytes)", self.hash, self.bytes.len())
    }
}
