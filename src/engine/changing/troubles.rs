//! Outboxes and changelogs that cannot be read: for logs, health and metrics.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{engine::error::EngineError, origin::OriginError};

/// A failure that lasts is told so often.
const TELL_PERIOD: Duration = Duration::from_secs(60);

/// Why rows were not worked off.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedError {
    #[error("its rows cannot be read or deleted")]
    Origin(#[from] OriginError),
    #[error("its changes cannot be recorded")]
    Recording(#[from] EngineError),
}

/// Outboxes and changelogs that cannot be read, by origin.
#[derive(Default)]
pub(crate) struct FeedTroubles(Mutex<BTreeMap<Box<str>, Trouble>>);

struct Trouble {
    since: Instant,
    told: Instant,
}

impl FeedTroubles {
    /// The origins, and for how long.
    pub(crate) fn all(&self) -> Vec<(Box<str>, Duration)> {
        let troubles = self.0.lock();
        troubles
            .iter()
            .map(|(origin, trouble)| (origin.clone(), trouble.since.elapsed()))
            .collect()
    }

    /// It is read again.
    pub(super) fn end(&self, origin: &str) {
        if let Some(trouble) = self.0.lock().remove(origin) {
            tracing::info!(
                origin,
                seconds = trouble.since.elapsed().as_secs(),
                "changes of the origin are read again"
            );
        }
    }

    /// It is not read here any more.
    pub(super) fn forget(&self, origin: &str) {
        self.0.lock().remove(origin);
    }

    /// Notes a failure. Returns whether it is to be told: at once, and then every minute.
    pub(super) fn note(&self, origin: &str) -> bool {
        let (now, mut troubles) = (Instant::now(), self.0.lock());
        match troubles.get_mut(origin) {
            Some(trouble) if trouble.told + TELL_PERIOD > now => false,
            Some(trouble) => {
                trouble.told = now;
                true
            }
            None => {
                troubles.insert(origin.into(), Trouble { since: now, told: now });
                true
            }
        }
    }
}
