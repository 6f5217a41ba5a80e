//! Redis's clock, as this process knows it: TIME as measured last, plus what a monotonic clock counted since. So ages are
//! the same on every node, whatever their own clocks say.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use redis::Value;

use super::reply;
use crate::listing::Timestamp;

/// A measurement this exact replaces the one before, in order to follow drift.
const EXACT: Duration = Duration::from_millis(20);

/// An estimate of Redis's time.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// Redis's time at `started`, in microseconds.
    offset_us: AtomicI64,
}

impl Clock {
    /// Begins with a first measurement.
    pub(crate) fn new(asked: Instant, answered: Instant, redis_us: i64) -> Self {
        let clock = Self {
            started: asked,
            offset_us: AtomicI64::new(0),
        };
        clock
            .offset_us
            .store(clock.offset(asked, answered, redis_us), Ordering::Relaxed);
        clock
    }

    /// Takes an answer to TIME. One that took long says little: it is kept only where it shows that the estimate is wrong,
    /// as after a restart of Redis on a host with another clock.
    pub(crate) fn measure(&self, asked: Instant, answered: Instant, redis_us: i64) {
        let measured = self.offset(asked, answered, redis_us);
        let off_by = measured.abs_diff(self.offset_us.load(Ordering::Relaxed));
        let round_trip = answered.saturating_duration_since(asked);
        if round_trip <= EXACT || u128::from(off_by) > round_trip.as_micros() / 2 {
            self.offset_us.store(measured, Ordering::Relaxed);
        }
    }

    /// Redis's time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(Instant::now())
    }

    fn at(&self, instant: Instant) -> Timestamp {
        let us = self
            .offset_us
            .load(Ordering::Relaxed)
            .saturating_add(self.since_start(instant));
        Timestamp(u64::try_from(us / 1000).unwrap_or_default())
    }

    /// Redis answered at some time between the two: the middle is wrong by at most half the round trip.
    fn offset(&self, asked: Instant, answered: Instant, redis_us: i64) -> i64 {
        let middle = asked + answered.saturating_duration_since(asked) / 2;
        redis_us.saturating_sub(self.since_start(middle))
    }

    fn since_start(&self, instant: Instant) -> i64 {
        let micros = instant.saturating_duration_since(self.started).as_micros();
        i64::try_from(micros).unwrap_or(i64::MAX)
    }
}

/// Microseconds in an answer to TIME.
pub(crate) fn time_us(reply: Value) -> Option<i64> {
    let [seconds, micros] = <[Value; 2]>::try_from(reply::array(reply)?).ok()?;
    reply::integer(&seconds)?
        .checked_mul(1_000_000)?
        .checked_add(reply::integer(&micros)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_middle_of_the_round_trip_is_taken() {
        let start = Instant::now();
        let clock = Clock::new(start, start + 10 * MS, 1_000_000);
        assert_eq!(clock.at(start + 5 * MS), Timestamp(1000));
        assert_eq!(clock.at(start + 105 * MS), Timestamp(1100));
    }

    #[test]
    fn a_slow_answer_counts_only_where_it_proves_the_estimate_wrong() {
        let start = Instant::now();
        let clock = Clock::new(start, start, 1_000_000);
        clock.measure(start, start + 200 * MS, 1_050_000);
        assert_eq!(clock.at(start), Timestamp(1000));
        clock.measure(start, start + 200 * MS, 900_000_000);
        assert_eq!(clock.at(start + 100 * MS), Timestamp(900_000));
        clock.measure(start, start, 5_000_000);
        assert_eq!(clock.at(start), Timestamp(5000));
    }
}
