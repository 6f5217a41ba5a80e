//! Numbers of ranges: compared as doubles, as JSON's readers do ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6), section 6), so exact
//! for up to 15 digits.

/// Whole numbers up to here are written without a point or an exponent, for a double holds each of them.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A number as it is asked for: digits, perhaps with a sign and a point, as in `-12.50`. No exponent.
pub(super) fn parse_number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The shortest text that is read as the same number: `349`, `12.5`.
pub fn write_number(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() <= WHOLE_MAX {
        // In range, so the cast is exact. -0 is 0.
        return (number as i64).to_string();
    }
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_digits_and_one_spelling() {
        for (text, number, written) in [
            ("0", 0.0, "0"),
            ("-0", 0.0, "0"),
            ("349", 349.0, "349"),
            ("012.50", 12.5, "12.5"),
            ("-1.25", -1.25, "-1.25"),
            ("0.1", 0.1, "0.1"),
        ] {
            assert_eq!(parse_number(text), Some(number), "{text}");
            assert_eq!(write_number(number), written, "{text}");
        }
        for bad in [
            "", "-", ".5", "5.", "1e3", "+1", "inf", "NaN", "1_000", " 1", "1.2.3", "0x1",
        ] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
        assert_eq!(parse_number(&"9".repeat(400)), None);
    }
}
