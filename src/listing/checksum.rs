//! Check sums of gzip (CRC-32), of parts that are summed by themselves and combined.

use bytes::Bytes;
use crc32fast::Hasher;

/// The check sum of some text, and the text's length, without which it could not be combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// CRC-32 as gzip has it.
    pub crc: u32,
    /// Bytes of text.
    pub bytes: u64,
}

impl Checksum {
    /// The check sum of slices, one after the other.
    pub fn of(slices: impl IntoIterator<Item = Bytes>) -> Self {
        let mut hasher = Hasher::new();
        let mut bytes = 0;
        for slice in slices {
            hasher.update(&slice);
            bytes += slice.len() as u64;
        }
        let crc = hasher.finalize();
        Self { crc, bytes }
    }

    /// The check sum of this text with another behind it.
    pub fn then(self, next: Self) -> Self {
        let mut hasher = Hasher::new_with_initial_len(self.crc, self.bytes);
        hasher.combine(&Hasher::new_with_initial_len(next.crc, next.bytes));
        Self {
            crc: hasher.finalize(),
            bytes: self.bytes + next.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_sum_of_parts_is_the_sum_of_the_whole(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6)) {
            let combined = parts
                .iter()
                .map(|part| Checksum::of([Bytes::copy_from_slice(part)]))
                .fold(Checksum::default(), Checksum::then);
            prop_assert_eq!(combined, Checksum::of([Bytes::from(parts.concat())]));
            prop_assert_eq!(combined.crc, crc32fast::hash(&parts.concat()));
        }
    }
}
