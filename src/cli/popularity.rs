//! Popularity from a file: which names are warmed first.

use std::{collections::HashMap, io::Read};

/// Numbers by a name, or by a value of a name's parameter.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Popularity {
    numbers: HashMap<Box<str>, f64>,
}

/// A row that is no text with a number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(super) struct BadRow {
    line: u64,
    reason: String,
}

impl Popularity {
    /// Reads CSV: a name or a parameter's value in the first column, a number in the second. A first row without a
    /// number is a header. A name that is listed twice counts as the sum.
    pub(super) fn read(csv: impl Read) -> Result<Self, BadRow> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(csv);
        let mut numbers: HashMap<Box<str>, f64> = HashMap::new();
        for (at, row) in reader.records().enumerate() {
            let row = row.map_err(|error| BadRow {
                line: error.position().map_or(at as u64 + 1, csv::Position::line),
                reason: "no CSV in UTF-8".to_owned(),
            })?;
            let line = row.position().map_or(at as u64 + 1, csv::Position::line);
            let number = row.get(1).and_then(|number| number.trim().parse::<f64>().ok());
            match (row.get(0), number.filter(|number| number.is_finite())) {
                (Some(text), Some(number)) => *numbers.entry(text.into()).or_default() += number,
                _ if at == 0 => {}
                _ => {
                    return Err(BadRow {
                        line,
                        reason: "the second column holds no number".to_owned(),
                    });
                }
            }
        }
        Ok(Self { numbers })
    }

    /// How popular a name is, by itself or by its parameters' values; unlisted names come last.
    pub(super) fn of<'a>(&self, name: &str, parameters: impl Iterator<Item = &'a str>) -> f64 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        parameters
            .filter_map(|value| self.numbers.get(value).copied())
            .fold(f64::NEG_INFINITY, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_its_value_is_found() {
        let csv = "product_category,orders\nSOFT DRINKS,100\n\"category:MILK, FRESH\",7\nSOFT DRINKS,1\n";
        let popularity = Popularity::read(csv.as_bytes()).unwrap();
        assert_eq!(
            popularity.of("category:SOFT DRINKS", ["SOFT DRINKS"].into_iter()),
            101.0
        );
        assert_eq!(popularity.of("category:MILK, FRESH", ["MILK, FRESH"].into_iter()), 7.0);
        assert!(popularity.of("category:PETS", ["PETS"].into_iter()) < 0.0);
    }

    #[test]
    fn only_the_first_row_may_be_a_header() {
        assert!(Popularity::read("a,1\nb,2".as_bytes()).is_ok());
        assert!(Popularity::read("".as_bytes()).is_ok());
        for (bad, line) in [("a,1\nb,many", 2), ("name,n\na\n", 2), ("a,1\nb,2\nc,NaN", 3)] {
            assert_eq!(Popularity::read(bad.as_bytes()).unwrap_err().line, line, "{bad}");
        }
    }
}
