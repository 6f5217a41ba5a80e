//! How long is measured.

use std::time::Duration;

#[derive(Clone, Copy)]
pub struct Effort {
    /// What is compared alternates in so many rounds, of which medians are taken.
    pub rounds: usize,
    /// One measurement under load.
    pub duration: Duration,
    /// Whether a round that does not count goes before.
    pub warms_up: bool,
    /// How long the trace is followed, a round and server.
    pub trace: Duration,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 5,
        duration: Duration::from_secs(3),
        warms_up: true,
        trace: Duration::from_secs(25),
    };

    pub const QUICK: Self = Self {
        rounds: 1,
        duration: Duration::from_secs(1),
        warms_up: false,
        trace: Duration::from_secs(6),
    };

    pub fn rounds_with_warm_up(&self) -> usize {
        self.rounds + usize::from(self.warms_up)
    }
}
