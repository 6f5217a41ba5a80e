//! Failed refreshes: each is remembered, here and in Redis, and tried again after a back-off.
//!
//! Redis remembers all failures of listings that are known, for all nodes. This process remembers enough to answer requests
//! without asking Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{
    build_error::BuildError,
    page_state::PageState,
    request::{RefreshFailure, Request},
};
use crate::{
    engine::error::Chain,
    listing::{Definition, Family},
    store::{Emptiness, Failing, Store},
};

/// The first wait after a failure; doubled with each failure in a row.
pub(crate) const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// For so long after it was last looked at a failure is remembered here.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(600);
/// How many failing families are remembered here; Redis remembers them all.
const FAILING_MAX: u64 = 10_000;
/// The shortest wait after a refusal that soon ends by itself. By this node's idea of Redis's clock it may end a little early.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest wait after a failure.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// Which families fail.
pub(crate) struct Failures {
    store: Store,
    failing: Cache<Family, Remembered>,
}

/// One failing family, as this process remembers it.
#[derive(Clone)]
struct Remembered {
    /// The hash of the definition whose read failed: another one is tried at once.
    definition: u64,
    until: Instant,
    in_a_row: u32,
    /// The origin's items were not believed: an operator has to look.
    refused: bool,
    /// The error, if it is known.
    error: Option<Arc<str>>,
    /// The state of stale pages until then.
    shows: PageState,
}

impl Failures {
    /// None fails.
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            failing: Cache::builder()
                .max_capacity(FAILING_MAX)
                .time_to_idle(FAILURE_REMEMBERED)
                .build(),
        }
    }

    /// How long the next attempt still has to wait, where the last refresh failed.
    pub(crate) fn backing_off(&self, definition: &Definition, family: &Family) -> Option<Duration> {
        let left = self
            .failing_as(definition, family)?
            .until
            .checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }

    /// Why the next attempt still has to wait, as stale pages say it.
    pub(crate) fn why_backing_off(&self, definition: &Definition, family: &Family) -> Option<PageState> {
        let failing = self.failing_as(definition, family)?;
        (failing.until > Instant::now()).then_some(failing.shows)
    }

    /// Remembers the failure of a run, and says when the next attempt is.
    pub(crate) async fn fail(&self, request: &Request, error: &BuildError) -> RefreshFailure {
        if matches!(error, BuildError::LeaseLost) {
            // Another node reads by now, or may: this says nothing of the origin, and must not hold that node up.
            tracing::warn!(listing = %request.family, error = %Chain(error), "refresh given up");
            self.remember(request, BACK_OFF_MIN, PageState::OriginError);
            return RefreshFailure {
                error: error.into(),
                retry_after: BACK_OFF_MIN,
            };
        }
        let definition = request.defined.definition.hash_of_all();
        let before = self.store.failures.last(&request.family).await.ok().flatten();
        let recorded = before.as_ref().filter(|failure| failure.definition == Some(definition));
        let remembered = self.failing_as(&request.defined.definition, &request.family);
        let remembered = remembered.map_or(0, |failing| failing.in_a_row);
        let in_a_row = recorded.map_or(0, |failure| failure.count).max(remembered);
        let mut retry_after = back_off(in_a_row);
        let mut emptiness = Emptiness::Untold;
        match error {
            BuildError::Refused(unbelieved) => {
                emptiness = unbelieved.emptiness();
                if let Some(at) = unbelieved.believed_at {
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
        let failing = Remembered {
            definition,
            until: Instant::now() + retry_after,
            in_a_row: in_a_row + 1,
            refused: error.is_refusal(),
            error: Some(text.as_str().into()),
            shows,
        };
        self.failing.insert(request.family.clone(), failing);
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

    /// The last failure here, if this definition met it.
    fn failing_as(&self, definition: &Definition, family: &Family) -> Option<Remembered> {
        let failing = self.failing.get(family)?;
        (failing.definition == definition.hash_of_all()).then_some(failing)
    }

    /// A refresh of the family did not fail.
    pub(crate) fn forget(&self, family: &Family) {
        self.failing.invalidate(family);
    }

    /// The next attempt is after `retry_after`. The error is not known, or says nothing about the origin.
    pub(crate) fn remember(&self, request: &Request, retry_after: Duration, shows: PageState) {
        let failing = Remembered {
            definition: request.defined.definition.hash_of_all(),
            until: Instant::now() + retry_after,
            in_a_row: 0,
            refused: false,
            error: None,
            shows,
        };
        self.failing.insert(request.family.clone(), failing);
    }

    /// Why the last refresh of the family failed here.
    pub(crate) fn last_error(&self, family: &Family) -> Option<Arc<str>> {
        self.failing.get(family)?.error
    }

    /// Families whose last refresh here was not believed, at most `limit`.
    pub(crate) fn refused(&self, limit: usize) -> Vec<Family> {
        let refused = self.failing.iter().filter(|(_, failing)| failing.refused);
        refused.map(|(family, _)| (*family).clone()).take(limit).collect()
    }
}

/// The wait before the next attempt, ±10 %, by the number of failures in a row before this one.
fn back_off(in_a_row: u32) -> Duration {
    let doubled = BACK_OFF_MIN * 2u32.saturating_pow(in_a_row.min(16));
    doubled.min(BACK_OFF_MAX).mul_f64(0.9 + 0.2 * fastrand::f64())
}
