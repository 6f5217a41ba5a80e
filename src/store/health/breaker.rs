//! The circuit breaker of the reading path: whether Redis is asked at all. Pure: time is an argument, nothing is awaited.
//!
//! A server that is stopped costs each read its whole time-out. After a few failures in a row nobody pays that any more:
//! the breaker is open, and a call fails at once. When it has been open for a moment one call goes through, as a probe, and
//! the others still fail at once; its answer closes the breaker, its failure opens it anew. Any success closes it, also that
//! of a call which was sent before: an answer is an answer.

use std::time::{Duration, Instant};

/// So many failures in a row open it.
pub(crate) const FAILURES_MAX: u32 = 3;
/// Between two probes. Short, so that all is well soon after Redis is back; one call's time-out in so long costs little.
pub(crate) const OPEN_FOR: Duration = Duration::from_millis(200);

/// Closed at first.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    /// Until then no call goes through; from then on the next one is the probe. A probe on its way moves the time ahead: one
    /// that never comes back, for its caller went away, is followed by another.
    Open {
        until: Instant,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether a call may be sent now; one that may while the breaker is open is the probe.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let admits = self.admits(now);
        if let (State::Open { until }, true) = (&mut self.state, admits) {
            *until = now + OPEN_FOR;
        }
        admits
    }

    /// The same for those who only look.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        match &self.state {
            State::Closed { .. } => true,
            State::Open { until } => now >= *until,
        }
    }

    /// Whether it is open, a probe on its way or not.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// A call was answered.
    pub(crate) fn succeed(&mut self) {
        self.state = State::default();
    }

    /// A call was not answered.
    pub(crate) fn fail(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= FAILURES_MAX {
                    self.state = State::Open { until: now + OPEN_FOR };
                }
            }
            // The probe's, or that of a call sent before: neither says more than what is known.
            State::Open { until } => *until = (*until).max(now + OPEN_FOR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A breaker and a clock.
    struct Timed {
        breaker: Breaker,
        now: Instant,
    }

    impl Timed {
        fn new() -> Self {
            Self {
                breaker: Breaker::default(),
                now: Instant::now(),
            }
        }

        fn after(&mut self, duration: Duration) -> &mut Self {
            self.now += duration;
            self
        }

        fn admit(&mut self) -> bool {
            self.breaker.admit(self.now)
        }

        fn fail(&mut self) {
            self.breaker.fail(self.now);
        }

        fn open() -> Self {
            let mut timed = Self::new();
            for _ in 0..FAILURES_MAX {
                assert!(timed.admit());
                timed.fail();
            }
            timed
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let mut timed = Timed::new();
        for _ in 0..10 {
            for _ in 1..FAILURES_MAX {
                timed.fail();
            }
            assert!(timed.admit());
            timed.breaker.succeed();
        }
        let mut timed = Timed::open();
        assert!(timed.breaker.is_open());
        assert!(!timed.admit());
        assert!(!timed.after(OPEN_FOR - Duration::from_millis(1)).admit());
    }

    #[test]
    fn one_probe_at_a_time_goes_through_and_its_success_closes_at_once() {
        let mut timed = Timed::open();
        timed.after(OPEN_FOR);
        assert!(timed.breaker.admits(timed.now), "looking on takes nothing");
        assert!(timed.admit());
        assert!(!timed.admit(), "the probe is on its way");
        timed.breaker.succeed();
        assert!(timed.admit() && timed.admit());
        assert!(!timed.breaker.is_open());
    }

    #[test]
    fn a_failed_probe_opens_it_anew_and_a_lost_one_is_followed_by_another() {
        let mut timed = Timed::open();
        assert!(timed.after(OPEN_FOR).admit());
        timed.after(Duration::from_millis(100)).fail();
        assert!(!timed.after(OPEN_FOR - Duration::from_millis(1)).admit());
        assert!(timed.after(Duration::from_millis(1)).admit());
        // Nothing is heard of this one.
        assert!(timed.after(OPEN_FOR).admit());
    }

    #[test]
    fn a_late_answer_closes_it_too() {
        let mut timed = Timed::open();
        timed.breaker.succeed();
        assert!(timed.admit());
        // And the count of failures begins anew.
        for _ in 1..FAILURES_MAX {
            timed.fail();
            assert!(timed.admit());
        }
        timed.fail();
        assert!(!timed.admit());
    }
}
