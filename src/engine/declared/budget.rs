//! An origin's budget in this process: how many refreshes read it at once, how many begin a second, and how many bytes of
//! its items are written to Redis a second. A shop's database has other work, and so has Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::sleep_until,
};

use crate::config::OriginBounds;

/// Bytes that are written between two looks at the budget.
const BYTES_A_LOOK: u64 = 64 * 1024;

/// The shared limits of one origin's refreshes.
pub(crate) struct Budget {
    pub bounds: OriginBounds,
    at_once: Arc<Semaphore>,
    /// Refreshes that are only due pass this gate first: some places are always left to those that a request waits for.
    due_at_once: Arc<Semaphore>,
    /// Fills of names that nothing tells of pass this gate first: anybody can make up such names.
    unknown_at_once: Arc<Semaphore>,
    beginnings: Option<Pace>,
    bytes: Option<Pace>,
}

/// A refresh's place among those that read the origin at the same time.
pub(crate) struct Place {
    _due: Option<OwnedSemaphorePermit>,
    _at_once: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// Nothing of it is used yet.
    pub(crate) fn new(bounds: OriginBounds) -> Self {
        let at_once = bounds.refreshes_at_once;
        Self {
            at_once: Arc::new(Semaphore::new(at_once)),
            unknown_at_once: Arc::new(Semaphore::new((at_once / 2).max(1))),
            due_at_once: Arc::new(Semaphore::new(at_once.saturating_sub((at_once / 4).max(1)).max(1))),
            beginnings: bounds.refreshes_per_second.map(Pace::new),
            bytes: bounds.bytes_per_second.map(|bytes| Pace::new(bytes as f64)),
            bounds,
        }
    }

    /// Waits for a place, and for the turn to begin. A refresh with `is_due` stands back, until it is told to hurry because a request waits.
    pub(crate) async fn place(&self, is_due: bool, hurry: &Notify) -> Place {
        let due = if is_due {
            tokio::select! {
                due = self.due_at_once.clone().acquire_owned() => due.ok(),
                () = hurry.notified() => None,
            }
        } else {
            None
        };
        if let Some(beginnings) = &self.beginnings {
            sleep_until(beginnings.turn(1.0, Instant::now()).into()).await;
        }
        // Neither is ever closed.
        Place {
            _due: due,
            _at_once: self.at_once.clone().acquire_owned().await.ok(),
        }
    }

    /// Waits for a place among the fills of names that nothing tells of. To be held while the fill runs.
    pub(crate) async fn unknown_place(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.unknown_at_once.clone().acquire_owned().await.ok()
    }

    /// Counts what one generation writes.
    pub(crate) fn writing(&self) -> Writing<'_> {
        Writing {
            pace: self.bytes.as_ref(),
            pending: 0,
        }
    }
}

/// The bytes of one generation being written.
pub(crate) struct Writing<'b> {
    pace: Option<&'b Pace>,
    pending: u64,
}

impl Writing<'_> {
    /// So many more were written; waits where that was ahead of the budget.
    pub(crate) async fn wrote(&mut self, bytes: usize) {
        let Some(pace) = self.pace else { return };
        self.pending += bytes as u64;
        if self.pending >= BYTES_A_LOOK {
            let turn = pace.turn(self.pending as f64, Instant::now());
            self.pending = 0;
            sleep_until(turn.into()).await;
        }
    }
}

/// Lets a number of units pass a second, evenly: unused units are not made up for.
struct Pace {
    a_unit: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(per_second: f64) -> Self {
        Self {
            a_unit: Duration::from_secs_f64(1.0 / per_second),
            next: Mutex::new(Instant::now()),
        }
    }

    /// When it is the turn of so many units, which are taken with it.
    fn turn(&self, units: f64, now: Instant) -> Instant {
        let mut next = self.next.lock();
        let turn = (*next).max(now);
        *next = turn + self.a_unit.mul_f64(units);
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_pace_is_even_and_makes_up_for_nothing() {
        let pace = Pace::new(100.0);
        let now = Instant::now() + Duration::from_secs(1);
        let ms = Duration::from_millis;
        assert_eq!(pace.turn(1.0, now), now);
        assert_eq!(pace.turn(5.0, now), now + ms(10));
        assert_eq!(pace.turn(1.0, now), now + ms(60));
        // Nobody came for a while.
        assert_eq!(pace.turn(1.0, now + ms(500)), now + ms(500));
        assert_eq!(pace.turn(1.0, now + ms(500)), now + ms(510));
    }

    #[tokio::test]
    async fn names_that_nothing_tells_of_take_half_of_the_places_and_at_least_one() {
        for (at_once, unknown) in [(1, 1), (4, 2), (9, 4), (40, 20)] {
            let budget = Budget::new(OriginBounds {
                refreshes_at_once: at_once,
                ..OriginBounds::default()
            });
            let mut places = Vec::new();
            while let Some(place) = budget.unknown_place().now_or_never() {
                places.push(place.unwrap());
            }
            assert_eq!(places.len(), unknown);
            places.pop();
            assert!(budget.unknown_place().now_or_never().is_some());
        }
    }

    #[tokio::test]
    async fn what_is_due_leaves_places_to_what_is_waited_for() {
        let bounds = OriginBounds {
            refreshes_at_once: 4,
            ..OriginBounds::default()
        };
        let budget = Budget::new(bounds);
        let hurry = Notify::new();
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(budget.place(true, &hurry).await);
        }
        let waits = |is_due| tokio::time::timeout(Duration::from_millis(20), budget.place(is_due, &hurry));
        assert!(waits(true).await.is_err());
        let waited_for = waits(false).await.unwrap();
        assert!(waits(false).await.is_err());
        drop(waited_for);
        // Somebody joined who waits.
        hurry.notify_one();
        assert!(waits(true).await.is_ok());
    }
}
