//! Seals: a check sum behind a value of a hash, so that a value which another program changed or moved is refused.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes that a seal adds.
pub(crate) const SEAL_BYTES: usize = 8;

/// Puts a check sum behind a value. `place` says where it lies, as `<listing> <field>`: the sum covers it, so that the value counts nowhere
/// else.
pub(crate) fn seal(mut value: Vec<u8>, place: &str) -> Vec<u8> {
    let sum = sum_of(&value, place);
    value.extend(sum.to_le_bytes());
    value
}

/// The value without its seal. `Err` with the reason where it was not sealed at this place, or has changed since.
pub(crate) fn unseal<'a>(sealed: &'a [u8], place: &str) -> Result<&'a [u8], &'static str> {
    let (value, sum) = sealed
        .split_last_chunk::<SEAL_BYTES>()
        .ok_or("a sealed value that is too short")?;
    let is_ours = u64::from_le_bytes(*sum) == sum_of(value, place);
    is_ours
        .then_some(value)
        .ok_or("a sealed value whose check sum is another")
}

fn sum_of(value: &[u8], place: &str) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(place.as_bytes()))
}
