//! Turns: a warm-up begins a given number of listings a second, evenly.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// The turns of a rate.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    a_listing: Duration,
    next: Instant,
}

impl Turns {
    /// The first turn is now.
    pub(super) fn new(listings_a_second: NonZeroU32, now: Instant) -> Self {
        Self {
            a_listing: Duration::from_secs(1) / listings_a_second.get(),
            next: now,
        }
    }

    /// When the next turn is; it may be past.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Takes the turn for so many listings. Time that was not used is not saved up.
    pub(super) fn take(&mut self, listings: usize, now: Instant) {
        let turns = u32::try_from(listings).unwrap_or(u32::MAX);
        self.next = self.next.max(now) + self.a_listing.saturating_mul(turns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_count_listings_and_save_nothing_up() {
        const MS: Duration = Duration::from_millis(1);
        let start = Instant::now();
        let mut turns = Turns::new(NonZeroU32::new(1000).unwrap(), start);
        turns.take(6, start);
        turns.take(6, start);
        assert_eq!(turns.next(), start + 12 * MS);
        turns.take(6, start + 100 * MS);
        assert_eq!(turns.next(), start + 106 * MS);
    }
}
