//! How often, and after which waits, a request to an API is repeated.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use crate::origin::OriginError;

/// The wait before the first repetition; doubled with each.
const BACK_OFF_MIN: Duration = Duration::from_millis(200);
/// The longest wait that the API did not ask for.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Why a request was not answered as it should be.
#[derive(Debug)]
pub(super) enum RequestFailure {
    /// Perhaps it is the next time.
    Passing {
        source: Box<dyn Error + Send + Sync>,
        retry_after: Option<Duration>,
    },
    Final(OriginError),
}

impl RequestFailure {
    pub(super) fn passing(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Passing {
            source: source.into(),
            retry_after: None,
        }
    }

    /// Not before the API's headers say, where it is to be tried again.
    pub(super) fn not_before(self, headers: &HeaderMap) -> Self {
        match self {
            Self::Passing { source, .. } => Self::Passing {
                source,
                retry_after: retry_after(headers, SystemTime::now()),
            },
            Self::Final(error) => Self::Final(error),
        }
    }

    pub(super) fn unavailable(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Final(OriginError::Unavailable(reason.into()))
    }
}

impl From<OriginError> for RequestFailure {
    fn from(error: OriginError) -> Self {
        Self::Final(error)
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub(super) struct RequestAttempts {
    repeated: u32,
    repeated_max: u32,
    deadline: Instant,
}

impl RequestAttempts {
    pub(super) fn new(repeated_max: u32, deadline: Instant) -> Self {
        Self {
            repeated: 0,
            repeated_max,
            deadline,
        }
    }

    /// Waits until the request may be repeated. An error where repeating it does not help, no attempt is left, or the
    /// deadline would pass meanwhile.
    pub(super) async fn again(&mut self, failure: RequestFailure) -> Result<(), OriginError> {
        let (source, retry_after) = match failure {
            RequestFailure::Final(error) => return Err(error),
            RequestFailure::Passing { source, retry_after } => (source, retry_after),
        };
        let wait = back_off(self.repeated).max(retry_after.unwrap_or_default());
        if self.repeated >= self.repeated_max || wait >= self.deadline.saturating_duration_since(Instant::now()) {
            return Err(OriginError::Unavailable(source));
        }
        self.repeated += 1;
        tracing::debug!(
            error = %source,
            repeated = self.repeated,
            wait_ms = wait.as_millis() as u64,
            "a request to the origin is repeated"
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// The wait before a repetition, ±20 %: those that were refused together do not come back together.
fn back_off(repeated: u32) -> Duration {
    let doubled = BACK_OFF_MIN * 2u32.saturating_pow(repeated.min(16));
    doubled.min(BACK_OFF_MAX).mul_f64(0.8 + 0.4 * fastrand::f64())
}

/// Seconds, which some write with a fraction, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    if text.starts_with(|first: char| first.is_ascii_digit())
        && let Ok(seconds) = text.parse::<f64>()
    {
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let seconds = Duration::from_secs;
        for (text, expect) in [
            ("7", Some(seconds(7))),
            (" 0 ", Some(seconds(0))),
            ("2.0", Some(seconds(2))),
            ("0.25", Some(Duration::from_millis(250))),
            ("1e300", Some(Duration::MAX)),
            ("Sun, 09 Sep 2001 01:46:45 GMT", Some(seconds(5))),
            ("Sun, 09 Sep 2001 01:46:35 GMT", Some(seconds(0))),
            ("-1", None),
            ("-1.0", None),
            ("inf", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now), expect, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn the_wait_doubles_up_to_a_bound() {
        for (repeated, ms) in [(0, 200), (1, 400), (2, 800), (5, 5000), (1000, 5000)] {
            let ms = f64::from(ms);
            for _ in 0..20 {
                let wait = back_off(repeated).as_secs_f64() * 1000.0;
                assert!((ms * 0.79..ms * 1.21).contains(&wait), "{repeated}: {wait}");
            }
        }
    }
}
