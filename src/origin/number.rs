//! Numbers that are written as texts.

use super::SortValue;

/// Digits that every real keeps.
const REAL_DIGITS_MAX: usize = 15;

/// The number that a cell spells as JSON would, if it can be read back exactly.
pub(super) fn of_cell(text: &str) -> Option<SortValue> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return None;
    }
    match fraction {
        // JSON allows `-0`, but it is no integer.
        None if text == "-0" => None,
        None => text.parse().ok().map(SortValue::Integer),
        Some(fraction) if all_digits(fraction) && whole.len() + fraction.len() <= REAL_DIGITS_MAX => {
            text.parse().ok().map(SortValue::Real)
        }
        Some(_) => None,
    }
}

/// The number that a text is, however it is written: `1.50`, `+7`, `007`, `1e3`. Without an exponent it is exact.
pub(super) fn of_text(text: &str) -> Option<SortValue> {
    let text = text.trim();
    if let Ok(integer) = text.parse() {
        return Some(SortValue::Integer(integer));
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    // Neither `inf` nor `nan`, which a real may be read from too.
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    let real: f64 = text.parse().ok().filter(|real: &f64| real.is_finite())?;
    let digits = unsigned.bytes().filter(u8::is_ascii_digit).count();
    let has_exponent = unsigned.bytes().any(|byte| byte.is_ascii_alphabetic());
    if has_exponent || (digits <= REAL_DIGITS_MAX && unsigned.contains('.')) {
        Some(SortValue::Real(real))
    } else {
        Some(SortValue::Decimal(text.strip_prefix('+').unwrap_or(text).into()))
    }
}

/// A number with a decimal comma as one with a point. A text with a point is none: `1.234` may mean a thousand.
pub(super) fn with_point(text: &str) -> Option<String> {
    (!text.contains('.')).then(|| text.replacen(',', ".", 1))
}

/// One text for each number: `7.5` for `+07.50`.
pub(super) fn canonical(text: &str) -> Option<String> {
    let digits = match of_text(text)? {
        SortValue::Integer(number) => return Some(number.to_string()),
        SortValue::Real(number) => number.to_string(),
        SortValue::Decimal(digits) => digits.into(),
        SortValue::Null | SortValue::Text(_) | SortValue::Rank(_) => return None,
    };
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", &*digits),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    Some(match fraction.trim_end_matches('0') {
        "" if whole == "0" => "0".to_owned(),
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_json_would_spell_as_a_number_is_one() {
        for (text, expect) in [
            ("0", SortValue::Integer(0)),
            ("-12", SortValue::Integer(-12)),
            ("9223372036854775807", SortValue::Integer(i64::MAX)),
            ("1.50", SortValue::Real(1.5)),
            ("-0.5", SortValue::Real(-0.5)),
        ] {
            assert_eq!(of_cell(text), Some(expect), "{text}");
            assert!(serde_json::from_str::<serde_json::Number>(text).is_ok());
        }
        for text in [
            "007",
            "+1",
            "-0",
            "1.",
            ".5",
            "1e3",
            " 1",
            "1,5",
            "-",
            "--1",
            "9223372036854775808",
            "0.1234567890123456",
            "x",
            "NaN",
            "1.2.3",
            "١",
        ] {
            assert_eq!(of_cell(text), None, "{text}");
        }
    }

    #[test]
    fn a_comma_stands_for_the_point() {
        for (text, expect) in [
            ("9,50", Some("9.50")),
            ("-7", Some("-7")),
            ("1.234,50", None),
            ("9.50", None),
        ] {
            assert_eq!(with_point(text).as_deref(), expect, "{text}");
        }
        assert_eq!(of_text(&with_point("1,234,50").unwrap()), None);
    }

    #[test]
    fn a_text_is_a_number_however_it_is_written() {
        for (text, expect, one) in [
            ("7", SortValue::Integer(7), "7"),
            (" +007 ", SortValue::Integer(7), "7"),
            ("-0", SortValue::Integer(0), "0"),
            ("12.50", SortValue::Real(12.5), "12.5"),
            ("-.50", SortValue::Real(-0.5), "-0.5"),
            ("-0.0", SortValue::Real(-0.0), "0"),
            ("1e3", SortValue::Real(1000.0), "1000"),
            (
                "9223372036854775808",
                SortValue::Decimal("9223372036854775808".into()),
                "9223372036854775808",
            ),
            (
                "+1.1000000000000000",
                SortValue::Decimal("1.1000000000000000".into()),
                "1.1",
            ),
            (
                "-001234567890123456789.0",
                SortValue::Decimal("-001234567890123456789.0".into()),
                "-1234567890123456789",
            ),
        ] {
            assert_eq!(of_text(text), Some(expect), "{text}");
            assert_eq!(canonical(text).as_deref(), Some(one), "{text}");
        }
        for text in [
            "", ".", "-", "1,5", "1 5", "x", "NaN", "inf", "+-1", "1e999", "0x10", "1_000", "١",
        ] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }
}
