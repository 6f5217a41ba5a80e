//! Why a call failed, and when to make it again.

use std::{error::Error, time::Duration};

use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};

/// The longest wait that a CDN may ask for: longer ones are cut.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Bytes of an answer that a message shows.
const SHOWN_BYTES: usize = 200;

/// Why nothing is known to be purged.
#[derive(Debug, thiserror::Error)]
pub enum PurgeFailure {
    /// It refuses this service: what is configured is wrong, and trying again helps only once somebody has mended it.
    #[error("it answers {status}: {said}; check the token's rights and the {what} in the configuration")]
    Refused {
        /// Its status.
        status: u16,
        /// The beginning of its answer.
        said: String,
        /// The key of the configuration that names what is purged.
        what: &'static str,
    },
    /// It takes no more calls now.
    #[error("it takes no more calls now (429)")]
    Busy {
        /// How long it wants to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// It failed, or says that it did not purge.
    #[error("it answers {status}: {said}")]
    Failed {
        /// Its status.
        status: u16,
        /// The beginning of its answer.
        said: String,
        /// How long it wants to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// No answer came.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The configuration makes no call.
    #[error("the call cannot be made: {0}")]
    Misdeclared(String),
}

impl PurgeFailure {
    pub(super) fn unreachable(error: reqwest::Error) -> Self {
        // The URL may name a zone, which the configuration has anyway; the token is never part of it.
        Self::Unreachable(Box::new(error.without_url()))
    }

    pub(super) fn late(after: Duration) -> Self {
        Self::Late(after)
    }

    pub(super) fn answered(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = headers.get(RETRY_AFTER).and_then(|value| {
            let seconds: f64 = value.to_str().ok()?.trim().parse().ok()?;
            let wait = Duration::try_from_secs_f64(seconds).ok()?;
            Some(wait.min(RETRY_AFTER_MAX))
        });
        let said = said(body);
        match status.as_u16() {
            429 => Self::Busy { retry_after },
            status @ (400 | 401 | 403 | 404 | 405 | 422) => Self::Refused {
                status,
                said,
                what: "service, zone or url",
            },
            status => Self::Failed {
                status,
                said,
                retry_after,
            },
        }
    }

    /// How long the other side wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// The beginning of an answer, in one line of visible ASCII.
fn said(body: &[u8]) -> String {
    let visible = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => ' ',
    };
    let said: String = body.iter().take(SHOWN_BYTES).map(visible).collect();
    match said.trim() {
        "" => "nothing".to_owned(),
        said => said.to_owned(),
    }
}
