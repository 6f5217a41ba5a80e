//! Why a read of a server failed, and whether it is worth trying at once again.

use std::time::Duration;

use crate::origin::OriginError;

/// How often a read is tried that the server gave up for the sake of others, as long as none of it was handed out.
pub(super) const TRIES_MAX: u32 = 3;
/// The longest pause before the second try; before the third it is twice as long.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// An error of a try.
#[derive(Debug)]
pub(super) struct Failure {
    pub error: OriginError,
    /// A serialisation failure, a conflict with recovery, a deadlock: the next try may well succeed.
    pub passing: bool,
    /// The server's SQLSTATE, where it is the server that said no.
    pub state: Option<Box<str>>,
}

impl Failure {
    /// Whether the SQLSTATE begins so.
    pub fn is(&self, state: &str) -> bool {
        self.state.as_deref().is_some_and(|found| found.starts_with(state))
    }

    /// Whether there is another try after this one, the n-th, of which nothing was handed out.
    pub fn may_pass(&self, tried: u32) -> bool {
        self.passing && tried < TRIES_MAX
    }
}

impl From<OriginError> for Failure {
    fn from(error: OriginError) -> Self {
        Self {
            error,
            passing: false,
            state: None,
        }
    }
}

/// Waits a little before the next try: those who were in each other's way should not meet again.
pub(super) async fn pause_after(tried: u32) {
    tokio::time::sleep((PAUSE_MAX * tried).mul_f64(0.5 + fastrand::f64() / 2.0)).await;
}
