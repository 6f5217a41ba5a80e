//! Texts that stand for durations, sizes, addresses and URLs.

use std::{net::SocketAddr, time::Duration};

use url::Url;

/// `5s`, `1h 30m`: humantime's grammar.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("`{text}` is no duration ({error}); write it like \"100ms\", \"5s\" or \"1h 30m\""))
}

/// A duration as the file may write it, for messages.
pub(super) fn write_duration(duration: Duration) -> String {
    // humantime's own spelling knows months of 30.44 days, which nobody wrote.
    const UNITS: [(u128, &str); 5] = [
        (24 * 3_600_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1000, "s"),
        (1, "ms"),
    ];
    let mut left = duration.as_millis();
    let mut parts = Vec::new();
    for (unit_ms, unit) in UNITS {
        if left >= unit_ms {
            parts.push(format!("{}{unit}", left / unit_ms));
            left %= unit_ms;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// `256MiB`, `64 KiB`, `1000`: binary units, or bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1_u64 << 30),
        _ => None,
    };
    let bytes = number
        .parse::<u64>()
        .ok()
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| format!("`{text}` is no size; write it like 65536, \"256KiB\", \"64MiB\" or \"1GiB\""))
}

/// A size in the greatest unit that divides it, for messages.
pub(super) fn write_size(bytes: u64) -> String {
    for (factor, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// An IP address and a port. Host names are not looked up: a service should listen where its file says.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is no address to listen on; write an IP address and a port, like \"127.0.0.1:8080\" or \"[::]:8080\"")
    })
}

/// Whether a URL holds a password, before the host or as a parameter.
pub(super) fn holds_password(url: &Url) -> bool {
    let in_query = |name: &str| matches!(name, "pass" | "password");
    url.password().is_some() || url.query_pairs().any(|(name, _)| in_query(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_written_for_people() {
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for bad in ["", "5", "5 parsecs", "-1s", "s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        for (ms, text) in [
            (0, "0s"),
            (100, "100ms"),
            (90_000, "1m 30s"),
            (3_600_000, "1h"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(write_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_size_has_binary_units() {
        assert_eq!(parse_size("1000"), Ok(1000));
        assert_eq!(parse_size("256MiB"), Ok(256 << 20));
        assert_eq!(parse_size("2 GiB"), Ok(2 << 30));
        for bad in [
            "",
            "MiB",
            "1MB",
            "1.5GiB",
            "-1",
            "99999999999GiB",
            "18446744073709551616",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        for (bytes, text) in [(1, "1B"), (1024, "1KiB"), (256 << 20, "256MiB"), (1 << 30, "1GiB")] {
            assert_eq!(write_size(bytes), text);
        }
    }

    #[test]
    fn a_password_is_found_wherever_it_stands() {
        for (url, expect) in [
            ("redis://localhost", false),
            ("redis://user@localhost", false),
            ("redis://:secret@localhost", true),
            ("unix:///run/redis.sock?pass=secret", true),
            ("unix:///run/redis.sock?db=1", false),
            ("postgres://shop:secret@db/shop", true),
        ] {
            assert_eq!(holds_password(&Url::parse(url).unwrap()), expect, "{url}");
        }
    }
}
