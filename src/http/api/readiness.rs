//! Whether traffic should come: not before warming up is done, and not after the drain began.
//!
//! Whether Redis answers *now* plays no part: without it no service starts, and when it goes away later all nodes would
//! leave at once, while L1 still serves.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use parking_lot::Mutex;

/// The answer of `/health/ready`: set at the start and the end of the service, read by probes.
#[derive(Debug, Default)]
pub struct Readiness {
    /// Warming up until it is said to be done, at most until then: a warm-up that hangs must not keep a node out for good.
    warming_until: Mutex<Option<Instant>>,
    draining: AtomicBool,
}

/// Why a node is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// Listings are being refreshed before they are asked for.
    Warming,
    /// The service is ending.
    Draining,
}

impl NotReady {
    /// For the probe's log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::Draining => "draining",
        }
    }
}

impl Readiness {
    /// Not ready from now until [`Readiness::warmed_up`], at most until the deadline.
    pub fn warming_up(&self, deadline: Instant) {
        *self.warming_until.lock() = Some(deadline);
    }

    /// Warming up is done, or was given up.
    pub fn warmed_up(&self) {
        *self.warming_until.lock() = None;
    }

    /// The service is ending. There is no way back.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether traffic should come.
    pub fn check(&self, now: Instant) -> Result<(), NotReady> {
        if self.draining.load(Ordering::Acquire) {
            Err(NotReady::Draining)
        } else if self.warming_until.lock().is_some_and(|deadline| now < deadline) {
            Err(NotReady::Warming)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn warming_ends_by_word_or_by_deadline() {
        let readiness = Readiness::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(60);
        readiness.warming_up(later);
        assert_eq!(readiness.check(now), Err(NotReady::Warming));
        assert_eq!(readiness.check(later), Ok(()));
        readiness.warmed_up();
        assert_eq!(readiness.check(now), Ok(()));
    }

    #[test]
    fn a_drain_is_final() {
        let readiness = Readiness::default();
        readiness.drain();
        readiness.warmed_up();
        assert_eq!(readiness.check(Instant::now()), Err(NotReady::Draining));
    }
}
