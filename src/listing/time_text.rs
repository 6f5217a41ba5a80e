//! Times as databases write them: with a zone or without, as a date, or as a number since 1970.

use super::policy::Timestamp;

/// A number below this counts seconds, a greater one milliseconds: the year 5138, or 3 March 1973.
const SECONDS_BELOW: f64 = 1e11;

/// A time of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This one; one before 1970 counts as 1970.
    At(Timestamp),
    /// `infinity` of PostgreSQL.
    Never,
}

/// A text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is no time: write `2026-12-24 18:00:00+01`, `2026-12-24 17:00:00` in UTC, or seconds or milliseconds since 1970"
)]
pub struct BadTime;

impl Moment {
    /// Reads a time. One without a zone is in UTC.
    pub fn parse(text: &str) -> Result<Self, BadTime> {
        let text = text.trim();
        match text {
            "infinity" => return Ok(Self::Never),
            "-infinity" => return Ok(Self::At(Timestamp(0))),
            _ => {}
        }
        if text.starts_with(|first: char| first.is_ascii_digit())
            && let Ok(number) = text.parse::<f64>()
            && number.is_finite()
        {
            let millis = if number < SECONDS_BELOW {
                number * 1000.0
            } else {
                number
            };
            // Rounded up: an instant that has come has come for the database too.
            return Ok(Self::At(Timestamp(millis.ceil() as u64)));
        }
        let millis = calendar_millis(text).ok_or(BadTime)?;
        Ok(Self::At(Timestamp(u64::try_from(millis).unwrap_or(0))))
    }
}

/// Milliseconds since 1970 of `2026-12-24`, `2026-12-24 18:00`, `2026-12-24T18:00:00.5Z`, `2026-12-24 18:00:00+01:00`.
fn calendar_millis(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let [year, month, day] = numbers(date, '-')?;
    if date.len() != 10 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    if rest.is_empty() {
        return Some(days * 86_400_000);
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at_checked(zone_at)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let [hours, minutes, seconds] = match time.matches(':').count() {
        1 => numbers::<2>(time, ':').map(|[hours, minutes]| [hours, minutes, 0])?,
        _ => numbers(time, ':')?,
    };
    if hours > 24 || minutes > 59 || seconds > 60 {
        return None;
    }
    let of_day = (hours * 3600 + minutes * 60 + seconds) * 1000 + fraction_millis(fraction)?;
    Some(days * 86_400_000 + of_day - zone_millis(zone.trim())?)
}

/// Digits with separators between them, so many numbers.
fn numbers<const MANY: usize>(text: &str, between: char) -> Option<[i64; MANY]> {
    let number = |part: &str| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let all: Vec<i64> = text.split(between).map(number).collect::<Option<_>>()?;
    all.try_into().ok()
}

/// Rounded up, as above.
fn fraction_millis(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (millis, rest) = digits.split_at(digits.len().min(3));
    let rounded_up = i64::from(rest.bytes().any(|byte| byte != b'0'));
    Some(format!("{millis:0<3}").parse::<i64>().ok()? + rounded_up)
}

/// By how much a zone is ahead of UTC: `Z`, `+01`, `-0330`, `+05:30`, `+00:00:00`; none is UTC.
fn zone_millis(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.split_at_checked(1) {
        None | Some(("Z" | "z", "")) => return Some(0),
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        Some(_) => return zone.eq_ignore_ascii_case("utc").then_some(0),
    };
    let digits = digits.replace(':', "");
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0')),
        _ => None,
    });
    let pairs: Vec<i64> = pairs.collect::<Option<_>>()?;
    let seconds = match pairs[..] {
        [hours] => hours * 3600,
        [hours, minutes] => hours * 3600 + minutes * 60,
        [hours, minutes, seconds] => hours * 3600 + minutes * 60 + seconds,
        _ => return None,
    };
    Some(sign * seconds * 1000)
}

/// Of a day of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day ends its year; an era has 400 years.
    let year = if month > 2 { year } else { year - 1 };
    let month_from_march = (month + 9) % 12;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let Ok(Moment::At(found)) = Moment::parse(text) else {
            panic!("{text}: {:?}", Moment::parse(text));
        };
        assert_eq!(found.rfc3339(), expect, "{text}");
    }

    #[test]
    fn times_of_all_databases_are_read() {
        // PostgreSQL: timestamptz, timestamp, date, extract(epoch from …).
        check("2026-12-24 18:00:00+01", "2026-12-24T17:00:00.000Z");
        check("2026-12-24 18:00:00.25+05:30", "2026-12-24T12:30:00.250Z");
        check("2026-12-24 18:00:00-03:30", "2026-12-24T21:30:00.000Z");
        check("2026-12-24 18:00:00", "2026-12-24T18:00:00.000Z");
        check("2026-12-24", "2026-12-24T00:00:00.000Z");
        check("1798135200.000000", "2026-12-24T18:00:00.000Z");
        // MariaDB and MySQL: datetime(6), unix_timestamp().
        check("2026-12-24 18:00:00.123000", "2026-12-24T18:00:00.123Z");
        check("1798135200", "2026-12-24T18:00:00.000Z");
        // SQLite: texts, and numbers as programs write them.
        check("2026-12-24T18:00:00.5Z", "2026-12-24T18:00:00.500Z");
        check("2026-12-24T18:00", "2026-12-24T18:00:00.000Z");
        check("1798135200123", "2026-12-24T18:00:00.123Z");
        check("1798135200.5", "2026-12-24T18:00:00.500Z");
        // A microsecond later it has come.
        check("2026-12-24 18:00:00.123001", "2026-12-24T18:00:00.124Z");
        check("0000-01-01", "1970-01-01T00:00:00.000Z");
        check("2024-02-29 23:59:59.9999", "2024-03-01T00:00:00.000Z");
        check("2024-02-29 24:00:00 UTC", "2024-03-01T00:00:00.000Z");
        assert_eq!(Moment::parse("infinity"), Ok(Moment::Never));
        assert_eq!(Moment::parse("-infinity"), Ok(Moment::At(Timestamp(0))));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for day in 0..60_000 {
            let time = Timestamp(day * 86_400_000 + day % 86_400_000);
            assert_eq!(Moment::parse(&time.rfc3339()), Ok(Moment::At(time)));
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for bad in [
            "",
            "soon",
            "24.12.2026",
            "12/24/2026",
            "2026-12",
            "2026-13-01",
            "2026-12-24 18",
            "2026-12-24 25:00",
            "2026-12-24x",
            "2026-12-24 18:00:00+",
            "2026-12-24 18:00:00+1",
            "2026-12-24 18:00:00 CET",
            "18:00:00",
            "nan",
            "inf",
            "1e999",
            "-1",
            "2026-12-24 18:00:0é",
            "2026-12-2é",
        ] {
            assert_eq!(Moment::parse(bad), Err(BadTime), "{bad}");
        }
    }
}
