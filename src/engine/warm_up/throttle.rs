//! How many reads of an origin run at once, so that it stays as quick as it was asked to be.
//!
//! Additive increase, multiplicative decrease, by the latencies measured: one more at a time while all are quick enough,
//! a quarter fewer when more than one in twenty is late. How many were too many is remembered, and tried again only after
//! so many quick reads that the trial's own late ones stay rare: the bound is one for the 95th percentile.
//!
//! Where one at a time is still too much there are pauses between reads. All is counted in reads; of time only its order
//! matters: a read that began before the last change says nothing about its effect.

use std::time::{Duration, Instant};

/// A window of so many reads is judged; one in twenty may be late.
const WINDOW: u32 = 20;
/// After so many quick reads in a row there may be one more at once, but never before each place has had its turn.
const GROW_AFTER: u32 = 4;
/// Quick reads in a row that are remembered: beyond so many at once it never grows.
const QUICK_MAX: usize = 2000;
/// A number of reads that was too many is tried again after this number of quick reads a place: a trial makes about twice as many late ones as there are places.
const RETRY_AFTER: u32 = 60;
/// After each trial that fails it takes twice as long until the next, at most so many times.
const RETRY_DOUBLED_MAX: u32 = 6;
/// Between two reads at most.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// The bound on reads of one origin, as it stands.
#[derive(Clone, Debug)]
pub struct Throttle {
    latency_max: Duration,
    /// How many reads may run at once.
    pub limit: u32,
    limit_max: u32,
    changed_at: Instant,
    window: Window,
    /// When the quick reads in a row began, as many as count.
    quick: Vec<Instant>,
    /// So many were too many.
    ceiling: Option<u32>,
    /// Quick reads since the limit stands right below the ceiling.
    below_ceiling: u32,
    retries: u32,
    /// How long to wait after the last read before the next begins.
    pub pause: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    reads: u32,
    late: u32,
}

impl Throttle {
    /// Begins with one read at a time.
    pub fn new(latency_max: Duration, limit_max: u32, now: Instant) -> Self {
        Self {
            latency_max,
            limit: 1,
            limit_max: limit_max.max(1),
            changed_at: now,
            window: Window::default(),
            quick: Vec::new(),
            ceiling: None,
            below_ceiling: 0,
            retries: 0,
            pause: Duration::ZERO,
        }
    }

    /// A read that began then took so long; of those that still run the oldest began at `oldest`.
    ///
    /// Of reads that begin together the quick ones are heard of first: they count only once none of those runs any more that
    /// began before them, or growth would go by them alone.
    pub fn observe(&mut self, began: Instant, latency: Duration, oldest: Option<Instant>, now: Instant) {
        if began < self.changed_at {
            return;
        }
        let is_late = latency > self.latency_max;
        self.window.reads += 1;
        if is_late {
            self.window.late += 1;
            self.quick.clear();
        } else {
            self.quick.push(began);
            self.below_ceiling += 1;
        }
        if self.quick.len() > 4 * QUICK_MAX {
            self.quick.drain(..self.quick.len() - QUICK_MAX);
        }
        let enough = GROW_AFTER.max(self.limit) as usize;
        let is_known = |began: &&Instant| oldest.is_none_or(|oldest| **began < oldest);
        let allowed = self.window.reads.max(WINDOW) / WINDOW;
        // One at a time leaves nothing to take away but time, and each read counts.
        if self.window.late > allowed || (self.limit == 1 && is_late) {
            self.shrink(now);
        } else if self.quick.iter().filter(is_known).count() >= enough {
            self.grow(now);
        }
        if self.window.reads >= WINDOW.max(2 * self.limit) {
            self.window = Window::default();
        }
    }

    fn shrink(&mut self, now: Instant) {
        if self.limit == 1 {
            self.pause = (self.pause * 2).max(self.latency_max).min(PAUSE_MAX);
        } else {
            if self.ceiling == Some(self.limit) {
                self.retries = (self.retries + 1).min(RETRY_DOUBLED_MAX);
            }
            self.ceiling = Some(self.limit);
            self.limit = (self.limit * 3 / 4).clamp(1, self.limit - 1);
        }
        self.changed(now);
    }

    fn grow(&mut self, now: Instant) {
        if !self.pause.is_zero() {
            self.pause /= 2;
            if self.pause < self.latency_max / 4 {
                self.pause = Duration::ZERO;
            }
            return self.changed(now);
        }
        if self.limit >= self.limit_max {
            return;
        }
        if self.ceiling.is_some_and(|ceiling| self.limit >= ceiling) {
            // It was too much once, and is not any more.
            (self.ceiling, self.retries) = (None, 0);
        }
        let next = self.limit + 1;
        let wait = (RETRY_AFTER * next) << self.retries;
        if self.ceiling.is_some_and(|ceiling| next >= ceiling) && self.below_ceiling < wait {
            return;
        }
        self.limit = next;
        self.changed(now);
    }

    fn changed(&mut self, now: Instant) {
        self.changed_at = now;
        self.window = Window::default();
        self.quick.clear();
        self.below_ceiling = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Reads against an origin whose latency follows from how many run at once when one begins; returns each read's latency
    /// and the limits that there were.
    fn simulate(reads: usize, limit_max: u32, latency: impl Fn(u32, usize) -> Duration) -> (Vec<Duration>, Vec<u32>) {
        let start = Instant::now();
        let mut now = start;
        let mut throttle = Throttle::new(60 * MS, limit_max, now);
        // When each ends, when it began.
        let mut running: Vec<(Instant, Instant)> = Vec::new();
        let (mut latencies, mut limits) = (Vec::new(), Vec::new());
        let mut may_begin = now;
        while latencies.len() < reads {
            while (running.len() as u32) < throttle.limit && now >= may_begin {
                let took = latency(running.len() as u32 + 1, latencies.len());
                running.push((now + took, now));
                may_begin = now + throttle.pause;
            }
            let Some((at, _)) = running.iter().enumerate().min_by_key(|(_, (end, _))| *end) else {
                now = may_begin;
                continue;
            };
            let (end, began) = running.remove(at);
            now = end;
            let oldest = running.iter().map(|(_, began)| *began).min();
            throttle.observe(began, end - began, oldest, now);
            may_begin = now + throttle.pause;
            latencies.push(end - began);
            limits.push(throttle.limit);
        }
        (latencies, limits)
    }

    fn percentile_95(latencies: &[Duration]) -> Duration {
        let mut sorted = latencies.to_vec();
        sorted.sort();
        sorted[sorted.len() * 95 / 100]
    }

    #[test]
    fn it_grows_to_the_most_that_is_quick_enough() {
        let (_, limits) = simulate(300, 8, |_, _| 50 * MS);
        assert_eq!(limits.last(), Some(&8));
        assert!(limits.iter().position(|limit| *limit == 8).unwrap() < 60);
    }

    #[test]
    fn what_is_too_much_is_tried_rarely() {
        // Flat up to five, then a cliff.
        let cliff = |at_once: u32, _| if at_once <= 5 { 50 * MS } else { 50 * MS * at_once };
        for reads in [300, 1000, 10_000] {
            let (latencies, limits) = simulate(reads, 32, cliff);
            assert!(percentile_95(&latencies) <= 60 * MS, "{reads}");
            let at_five = limits.iter().filter(|limit| **limit >= 4).count();
            assert!(at_five * 10 > reads * 8, "{at_five} of {reads}");
        }
        // A slope: at three at once it takes 60 ms.
        let slope = |at_once: u32, _| 50 * MS + 5 * MS * (at_once - 1);
        let (latencies, limits) = simulate(2000, 32, slope);
        assert!(percentile_95(&latencies) <= 60 * MS);
        assert!(limits.iter().filter(|limit| **limit == 3).count() > 1000);
    }

    #[test]
    fn an_origin_that_slows_down_is_given_room_and_used_again_when_it_is_quick() {
        let (_, limits) = simulate(6000, 8, |at_once, read| match read {
            1000..2000 => 40 * MS * at_once,
            _ => 50 * MS,
        });
        assert_eq!(limits[999], 8);
        assert_eq!(limits[1999], 1);
        assert_eq!(limits[5999], 8);
    }

    #[test]
    fn one_at_a_time_and_too_slow_means_pauses() {
        let now = Instant::now();
        let mut throttle = Throttle::new(10 * MS, 4, now);
        let late = |throttle: &mut Throttle, at: u32| throttle.observe(now + MS * at, 20 * MS, None, now + MS * at);
        late(&mut throttle, 1);
        assert_eq!((throttle.limit, throttle.pause), (1, 10 * MS));
        for at in 2..30 {
            late(&mut throttle, at);
        }
        assert_eq!(throttle.pause, PAUSE_MAX);
        for at in 30..200 {
            throttle.observe(now + MS * at, 5 * MS, None, now + MS * at);
        }
        assert_eq!((throttle.limit, throttle.pause), (4, Duration::ZERO));
    }

    #[test]
    fn what_began_before_a_change_does_not_count() {
        let start = Instant::now();
        let mut throttle = Throttle::new(10 * MS, 8, start);
        for at in 0..4 {
            throttle.observe(start + MS * at, 5 * MS, None, start + 10 * MS);
        }
        assert_eq!(throttle.limit, 2);
        for _ in 0..50 {
            throttle.observe(start + 5 * MS, 500 * MS, None, start + 20 * MS);
        }
        assert_eq!((throttle.limit, throttle.pause), (2, Duration::ZERO));
    }
}
