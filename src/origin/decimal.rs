//! Decimal numbers as their digits: compared exactly, however many there are.

use std::cmp::Ordering;

/// A number's sign and digits: no zeros in front of the whole part, none behind the fraction.
pub(super) struct DecimalParts<'d> {
    pub negative: bool,
    pub whole: &'d str,
    pub fraction: &'d str,
}

/// Compares two texts such as `-12.50`. They must be decimal numbers without an exponent.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let [left, right] = [left, right].map(parts);
    match (left.negative, right.negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => compare_digits(&left, &right),
        (true, true) => compare_digits(&right, &left),
    }
}

fn compare_digits(left: &DecimalParts<'_>, right: &DecimalParts<'_>) -> Ordering {
    left.whole
        .len()
        .cmp(&right.whole.len())
        .then_with(|| left.whole.cmp(right.whole))
        .then_with(|| left.fraction.cmp(right.fraction))
}

/// The digits that a finite real stands for: the fewest that name it, as far as it may have a fraction. A greater one is an integer, and stands for
/// all of its digits, because it is compared with integers too.
pub(super) fn digits_of(real: f64) -> String {
    /// 2⁵³: from here on all reals are integers.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    match real.abs() < WHOLE {
        true => real.to_string(),
        false => format!("{real:.0}"),
    }
}

/// Takes a text such as `-12.50` apart.
pub(super) fn parts(text: &str) -> DecimalParts<'_> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    DecimalParts {
        // A zero has no sign.
        negative: negative && !(whole.is_empty() && fraction.is_empty()),
        whole,
        fraction,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_compare_by_all_their_digits() {
        let ascending = [
            "-10000000000000000000000",
            "-10",
            "-9.000000000000000000002",
            "-9.000000000000000000001",
            "-9",
            "-0.1",
            "0",
            "0.000000000000000000001",
            "0.1",
            "0.10000000000000000001",
            "0.9",
            "1",
            "9.5",
            "10",
            "123456789012345678901234567890.1",
            "123456789012345678901234567890.2",
        ];
        for (left_rank, left) in ascending.iter().enumerate() {
            for (right_rank, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), left_rank.cmp(&right_rank), "{left} {right}");
            }
        }
        for equal in [["1.50", "1.5"], ["-0.00", "0"], ["007", "7"], [".5", "0.5"]] {
            assert_eq!(compare(equal[0], equal[1]), Ordering::Equal, "{equal:?}");
        }
    }
}
