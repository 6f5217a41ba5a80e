//! How much an origin may give that enumerates names, or the values of a filter.

use super::{NAMES_BYTES_MAX, NAMES_MAX, OriginError};

/// Counts rows and their bytes: a few long texts cost as much memory as many short ones.
#[derive(Debug, Default)]
pub(super) struct NamesBound {
    rows: usize,
    bytes: usize,
}

impl NamesBound {
    /// Takes one more row; an error where it is too much.
    pub(super) fn take(&mut self, row: &[String]) -> Result<(), OriginError> {
        self.take_bytes(row.iter().map(String::len).sum())
    }

    /// Takes one more row of so many bytes.
    pub(super) fn take_bytes(&mut self, bytes: usize) -> Result<(), OriginError> {
        self.rows += 1;
        self.bytes += bytes;
        let too_many = |what: String| Err(OriginError::Misdeclared(format!("there are more than {what}")));
        if self.rows > NAMES_MAX {
            return too_many(format!("{NAMES_MAX} names or values"));
        }
        if self.bytes > NAMES_BYTES_MAX {
            return too_many(format!("{NAMES_BYTES_MAX} bytes of names or values"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_their_bytes_are_bounded() {
        let mut short = NamesBound::default();
        let row = ["a".repeat(200), "b".repeat(56)];
        for _ in 0..NAMES_MAX {
            short.take(&row).unwrap();
        }
        assert!(
            short
                .take(&[])
                .unwrap_err()
                .to_string()
                .ends_with("more than 1000000 names or values")
        );

        let mut long = NamesBound::default();
        let row = ["a".repeat(1 << 20)];
        let taken = (0..1000).find(|_| long.take(&row).is_err());
        assert_eq!(taken, Some(NAMES_BYTES_MAX >> 20));
    }
}
