//! The consequences of a failed refresh: it is remembered, here and in Redis, and tried again after a back-off.

use std::time::Duration;

use super::{
    build::BuildError,
    runs::{BACK_OFF_MIN, RefreshFailure, Refresher, Request},
};
use crate::{
    engine::{error::Chain, refreshing::page_state::PageState},
    store::{Emptiness, Failing},
};

/// The shortest wait after a refusal that soon ends by itself. By this node's idea of Redis's clock it may end a little early.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait after a failure.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

impl Refresher {
    pub(crate) async fn fail(&self, request: &Request, error: &BuildError) -> RefreshFailure {
        if matches!(error, BuildError::LeaseLost) {
            // Another node reads by now, or may: this says nothing of the origin, and must not hold that node up.
            tracing::warn!(listing = %request.family, error = %Chain(error), "refresh given up");
            self.remember_failure(request, 0, BACK_OFF_MIN, PageState::OriginError);
            return RefreshFailure {
                error: error.into(),
                retry_after: BACK_OFF_MIN,
            };
        }
        let definition = request.defined.definition.hash_of_all();
        let before = self.store.failures.last(&request.family).await.ok().flatten();
        let recorded = before.as_ref().filter(|failure| failure.definition == Some(definition));
        let remembered = self.failures_in_a_row(request);
        let in_a_row = recorded.map_or(0, |failure| failure.count).max(remembered);
        let mut retry_after = back_off(in_a_row);
        let mut emptiness = Emptiness::Untold;
        match error {
            BuildError::Refused(unbelieved) => {
                emptiness = unbelieved.emptiness();
                if let Some(at) = unbelieved.believed_at() {
                    // Not later than it is believed: soon readers have nothing else.
                    retry_after = retry_after.min(at.since(self.store.now()).max(RETRY_MIN));
                }
            }
            BuildError::TooManyItems { .. } => emptiness = Emptiness::NotEmpty,
            _ => {}
        }
        let text = Chain(error).to_string();
        tracing::warn!(listing = %request.family, error = text, retry_ms = retry_after.as_millis() as u64, "refresh failed");
        let shows = match error {
            BuildError::Store(error) => PageState::after(error),
            _ => PageState::OriginError,
        };
        self.remember_error(request, in_a_row + 1, retry_after, error.is_refusal(), &text, shows);
        // A listing that was never filled is tried again only on request.
        let is_kept = self.is_kept(request).await;
        // A name that nothing tells of may be anybody's invention: its failure is remembered in this process only, or a scanner of
        // names would fill Redis while the origin is away. One that failed while it was kept is known.
        let is_known = is_kept || before.is_some() || request.defined.definition.enumerates();
        if is_known || request.wants.is_demanded() {
            let failing = Failing {
                definition,
                error: &text,
                retry_after,
                schedule: is_kept,
                emptiness,
            };
            if let Err(error) = self.store.failures.record(&request.family, failing).await {
                tracing::debug!(error = %Chain(&error), "the failure could not be recorded");
            }
        }
        RefreshFailure {
            error: error.into(),
            retry_after,
        }
    }

    /// Whether any stream of the family has a generation that is served meanwhile.
    async fn is_kept(&self, request: &Request) -> bool {
        for stream in request.defined.definition.streams() {
            let head = self.store.heads.read(&request.family.listing(stream.stored())).await;
            if head.is_ok_and(|head| head.live().is_some()) {
                return true;
            }
        }
        false
    }
}

/// The wait after so many failures in a row before this one, ±10 %.
fn back_off(in_a_row: u32) -> Duration {
    let doubled = BACK_OFF_MIN * 2u32.saturating_pow(in_a_row.min(16));
    doubled.min(BACK_OFF_MAX).mul_f64(0.9 + 0.2 * fastrand::f64())
}
