//! Bounds on what is read from Redis at once, and on how many requests wait for it: beyond them a request is shed at once,
//! rather than queued without end. A page in L1 needs neither.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::error::EngineError;

/// Shed clients come back after 1 to so many seconds, not all at once.
const RETRY_AFTER_MAX: u64 = 3;

/// Permits for reads and for waits; clones share them.
#[derive(Clone)]
pub(crate) struct ReadPermits {
    reads: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    unknown_waits: Arc<Semaphore>,
}

impl ReadPermits {
    /// So many reads at once, and so many requests that wait for one, or for a fill. Half as many may wait for fills of names that
    /// nothing tells of besides: they take no place of others.
    pub(crate) fn new(reads_max: usize, waiters_max: usize) -> Self {
        let semaphore = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
        Self {
            reads: semaphore(reads_max),
            waits: semaphore(waiters_max),
            unknown_waits: semaphore((waiters_max / 2).max(1)),
        }
    }

    /// A permit to read, or [`EngineError::Overloaded`] at once.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        at_once(&self.reads)
    }

    /// A permit for a request to wait, or [`EngineError::Overloaded`] at once. A load that many wait for takes one to read;
    /// each of them takes one to wait.
    pub(crate) fn wait(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        at_once(&self.waits)
    }

    /// A permit for a request to wait for the fill of a name that nothing tells of, or [`EngineError::Overloaded`] at once.
    pub(crate) fn wait_for_unknown(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        at_once(&self.unknown_waits)
    }
}

fn at_once(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, EngineError> {
    permits
        .clone()
        .try_acquire_owned()
        .map_err(|_| EngineError::Overloaded {
            retry_after: Duration::from_secs(fastrand::u64(1..=RETRY_AFTER_MAX)),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_a_bound_is_told_when_to_come_back() {
        let permits = ReadPermits::new(1, 2);
        let (read, waits) = (permits.take(), [permits.wait(), permits.wait()]);
        assert!(read.is_ok() && waits.iter().all(Result::is_ok));
        let mut told = std::collections::BTreeSet::new();
        for _ in 0..1000 {
            for refused in [permits.take(), permits.wait()] {
                let Err(EngineError::Overloaded { retry_after }) = refused else {
                    panic!("not refused");
                };
                told.insert(retry_after.as_secs());
            }
        }
        assert_eq!(told, [1, 2, 3].into());
        drop((read, waits));
        assert!(permits.take().is_ok() && permits.wait().is_ok());
    }

    #[test]
    fn unknown_names_take_no_place_of_others() {
        let permits = ReadPermits::new(1, 4);
        let unknown = [permits.wait_for_unknown(), permits.wait_for_unknown()];
        assert!(unknown.iter().all(Result::is_ok));
        assert!(permits.wait_for_unknown().is_err());
        let waits: Vec<_> = (0..4).map(|_| permits.wait()).collect();
        assert!(waits.iter().all(Result::is_ok));
    }
}
