//! `Server-Timing`: where the time of a page went, for the browser's developer tools.
//!
//! Only what happened is told. Pages from L1 take less than a millisecond and are nearly all there are: their hundred
//! different values are written once a thread.

use std::{fmt::Write, time::Duration};

use actix_web::http::header::HeaderValue;

use crate::engine::{Served, Waited};

/// In hundredths of a millisecond.
const HITS: usize = 100;
/// Most are shorter.
const TEXT_BYTES: usize = 64;

thread_local! {
    static HIT: Box<[HeaderValue]> = (0..HITS)
        .map(|hundredths| value(format!("l1;desc=\"hit\", total;dur={:.2}", hundredths as f64 / 100.0)))
        .collect();
}

/// The header's value for a page that took so long until its head was written.
pub(crate) fn server_timing(served: Served, waited: Waited, total: Duration) -> HeaderValue {
    if served.l1_hit {
        let written = HIT.with(|hit| hit.get((total.as_micros() / 10) as usize).cloned());
        if let Some(value) = written {
            return value;
        }
    }
    let mut text = String::with_capacity(TEXT_BYTES);
    text.push_str(if served.l1_hit {
        "l1;desc=\"hit\""
    } else {
        "l1;desc=\"miss\""
    });
    for (name, duration) in [("redis", waited.redis), ("origin", waited.origin), ("total", total)] {
        if !duration.is_zero() {
            // Of whole numbers: it is done for each page that is not in L1. Writing to a String does not fail.
            let hundredths = (duration.as_micros() as u64 + 5) / 10;
            let _ = write!(text, ", {name};dur={}.{:02}", hundredths / 100, hundredths % 100);
        }
    }
    value(text)
}

fn value(text: String) -> HeaderValue {
    // Visible ASCII and spaces always are a value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(l1_hit: bool, waited: [u64; 2], total_micros: u64, expect: &str) {
        let served = Served {
            l1_hit,
            ..Served::default()
        };
        let [redis, origin] = waited.map(Duration::from_micros);
        let value = server_timing(served, Waited { redis, origin }, Duration::from_micros(total_micros));
        assert_eq!(value, expect);
    }

    #[test]
    fn only_what_happened_is_told() {
        check(true, [0, 0], 7, "l1;desc=\"hit\", total;dur=0.00");
        check(true, [0, 0], 614, "l1;desc=\"hit\", total;dur=0.61");
        check(true, [0, 0], 12_340, "l1;desc=\"hit\", total;dur=12.34");
        check(false, [420, 0], 614, "l1;desc=\"miss\", redis;dur=0.42, total;dur=0.61");
        check(
            false,
            [420, 31_000],
            32_000,
            "l1;desc=\"miss\", redis;dur=0.42, origin;dur=31.00, total;dur=32.00",
        );
    }
}
