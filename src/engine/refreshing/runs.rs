//! Runs: in this process a family is refreshed by one run at a time.
//!
//! A caller that only wants it fresher joins the run. A caller that needs a generation drawn after now gets the run after it, and all
//! such callers share that run. Runs are spawned: no request owns one. The work of a run is in [`refresh`](super::refresh).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::Shared};
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
};

use super::{coalesced::Attended, frozen::Frozen, latencies::Latencies};
use crate::{
    engine::{
        coherence::announcer::Announcer, declared::Declaration, error::EngineError, limits::EngineLimits,
        refreshing::page_state::PageState,
    },
    listing::{Definition, Family, Generation, ListingKey, ListingName, StoredSort, Timestamp, definition::Defined},
    store::{Claim, Store},
    telemetry::Metrics,
};

/// The first wait after a failure; doubled with each failure in a row.
pub(crate) const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// For so long after it was last looked at a failure is remembered here.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(600);
/// How many failing families are remembered here; Redis remembers them all.
const FAILING_MAX: u64 = 10_000;

/// One refreshed listing.
#[derive(Clone, Debug)]
pub struct Refreshed {
    /// Which listing.
    pub listing: ListingKey,
    /// The generation that is current now.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
}

/// The outcome of a run.
pub(crate) type Outcome = Result<Arc<[Refreshed]>, RefreshFailure>;

/// Why a run refreshed nothing.
#[derive(Clone, Debug)]
pub struct RefreshFailure {
    /// For those who wait.
    pub error: EngineError,
    /// When the next attempt is made.
    pub retry_after: Duration,
}

/// Waits for a run.
pub(crate) type Waiting = Shared<oneshot::Receiver<Outcome>>;

/// Runs refreshes, and remembers which fail.
pub(crate) struct Refresher {
    pub(crate) store: Store,
    pub(crate) declaration: Arc<Declaration>,
    pub(crate) frozen: Arc<Frozen>,
    pub(crate) announcer: Arc<Announcer>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) latencies: Arc<Latencies>,
    pub(crate) runtime: Handle,
    pub(crate) attended: Attended,
    runs: Mutex<HashMap<Family, Slot>>,
    pub(crate) runs_max: usize,
    failing: Cache<Family, Failing>,
}

struct Slot {
    running: Waiting,
    /// Told when somebody joins who waits.
    hurry: Arc<Notify>,
    /// The run after this one, for those who came while it ran and need a later generation.
    next: Option<(Request, oneshot::Sender<Outcome>, Waiting)>,
}

/// One run that somebody wants.
#[derive(Clone)]
pub(crate) struct Request {
    pub defined: Defined,
    pub family: Family,
    /// The stream that somebody waits for.
    pub first: Option<StoredSort>,
    pub wants: Wants,
    /// Whether any number of items is believed.
    pub accepts_any: bool,
    /// Told when the run need not stand back behind others any more, see [`Budget::place`](crate::engine::declared::budget::Budget::place).
    pub hurry: Arc<Notify>,
}

impl Request {
    /// Whether an empty generation would only tell of a name that anybody may have made up: nothing enumerates it, nothing is kept of it,
    /// and no operator wants it. Nothing is published then, or a scanner of names would fill Redis.
    pub(crate) fn leaves_nothing(&self, total: u64, is_kept: bool) -> bool {
        self.is_nothing(total) && !is_kept && !self.wants.is_demanded() && !matches!(self.wants, Wants::Since(_))
    }

    /// Whether so many items are no listing: nothing enumerates the name, so that it exists by its items alone. It is not
    /// refreshed unless somebody asks again.
    pub(crate) fn is_nothing(&self, total: u64) -> bool {
        total == 0 && !self.defined.definition.enumerates()
    }
}

/// Whether a listing may shrink beyond its policy's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shrink {
    /// It is refused.
    #[default]
    Refused,
    /// It is believed: somebody has looked.
    Accepted,
}

/// The state that makes a run unnecessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// A fresh head.
    Fresh,
    /// A head drawn no earlier than this: being fresh a while longer is no reason to wait for the next due time.
    Later(Timestamp),
    /// That the family's due time is no longer the one that its claim has set: somebody has refreshed it meanwhile.
    Due(Timestamp),
    /// That nobody has asked for a refresh since the family was read last, or that this is less than `coalesce_for` ago.
    Asked,
    /// Heads of all its streams that were read since a warm-up began, by whomever. Those that are so already stay.
    Since(Timestamp),
    /// Nothing: a read of the origin is wanted, in spite of a back-off too.
    Anew,
}

impl Wants {
    /// Whether somebody has said so, and it is not only that time has passed.
    pub(crate) fn is_demanded(self) -> bool {
        matches!(self, Self::Asked | Self::Anew)
    }

    /// Whether nobody waits for it at a page.
    pub(crate) fn is_patient(self) -> bool {
        matches!(self, Self::Later(_) | Self::Due(_) | Self::Since(_) | Self::Asked)
    }

    /// The wish that satisfies both.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Since(one), Self::Since(other)) => Self::Since(one.max(other)),
            (Self::Asked, Self::Asked) => Self::Asked,
            _ => Self::Anew,
        }
    }
}

#[derive(Clone)]
struct Failing {
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

impl Refresher {
    /// Nothing runs yet.
    pub(crate) fn new(
        store: Store,
        declaration: Arc<Declaration>,
        frozen: Arc<Frozen>,
        announcer: Arc<Announcer>,
        metrics: Arc<Metrics>,
        limits: &EngineLimits,
        runtime: Handle,
    ) -> Self {
        Self {
            store,
            declaration,
            frozen,
            announcer,
            metrics,
            latencies: Arc::default(),
            runtime,
            attended: Attended::default(),
            runs: Mutex::default(),
            runs_max: limits.refreshes_waiting_max,
            failing: Cache::builder()
                .max_capacity(FAILING_MAX)
                .time_to_idle(FAILURE_REMEMBERED)
                .build(),
        }
    }

    /// How long the next attempt still has to wait, where the last refresh failed.
    pub(crate) fn backing_off(&self, definition: &Definition, family: &Family) -> Option<Duration> {
        let failing = self.failing_as(definition, family)?;
        let left = failing.until.checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left)
    }

    /// Why the next attempt still has to wait, as stale pages say it.
    pub(crate) fn why_backing_off(&self, definition: &Definition, family: &Family) -> Option<PageState> {
        let failing = self.failing_as(definition, family)?;
        (failing.until > Instant::now()).then_some(failing.shows)
    }

    /// How many families are being refreshed here, or wait to be.
    pub(crate) fn running(&self) -> usize {
        self.runs.lock().len()
    }

    /// The families of a name that are being refreshed here, or wait to be.
    pub(crate) fn families_of(&self, name: &ListingName) -> Vec<Family> {
        let runs = self.runs.lock();
        runs.keys().filter(|family| family.name == *name).cloned().collect()
    }

    /// Wants the listing's family fresh; joins a run under way.
    pub(crate) fn trigger(self: &Arc<Self>, defined: &Defined, key: &ListingKey) -> Waiting {
        self.join(defined, key, Wants::Fresh)
    }

    /// Wants the listing's family read after what is kept was; joins a run under way.
    pub(crate) fn trigger_after(self: &Arc<Self>, defined: &Defined, key: &ListingKey, read_at: Timestamp) -> Waiting {
        self.join(defined, key, Wants::Later(Timestamp(read_at.0 + 1)))
    }

    /// Wants the listing's family read from now on; joins a run under way.
    pub(crate) fn trigger_now(self: &Arc<Self>, defined: &Defined, key: &ListingKey) -> Waiting {
        self.join(defined, key, Wants::Later(self.store.now()))
    }

    /// The family was due and is claimed; joins a run under way.
    pub(crate) fn trigger_due(self: &Arc<Self>, defined: &Defined, key: &ListingKey, claim: &Claim) -> Waiting {
        self.join(defined, key, Wants::Due(claim.due_again))
    }

    fn join(self: &Arc<Self>, defined: &Defined, key: &ListingKey, wants: Wants) -> Waiting {
        let mut runs = self.runs.lock();
        if let Some(slot) = runs.get(&key.family) {
            if wants == Wants::Fresh {
                slot.hurry.notify_one();
            }
            return slot.running.clone();
        }
        let request = Request {
            defined: defined.clone(),
            family: key.family.clone(),
            first: Some(key.stored.clone()),
            wants,
            accepts_any: false,
            hurry: Arc::default(),
        };
        self.start(&mut runs, request)
    }

    /// Wants a generation that is drawn after now. Callers during a run share the one after it. See [`Shrink`]
    /// for the bounds.
    pub(crate) fn demand(self: &Arc<Self>, defined: &Defined, family: &Family, shrink: Shrink) -> Waiting {
        self.after_running(defined, family, Wants::Anew, shrink)
    }

    /// Wants what was asked for before now, and is not answered yet.
    pub(crate) fn demand_asked(self: &Arc<Self>, defined: &Defined, family: &Family) -> Waiting {
        self.after_running(defined, family, Wants::Asked, Shrink::Refused)
    }

    /// Wants generations of all streams that were read since then, for a warm-up. It stands back behind what somebody waits for.
    pub(crate) fn demand_since(
        self: &Arc<Self>,
        defined: &Defined,
        family: &Family,
        since: Timestamp,
        shrink: Shrink,
    ) -> Waiting {
        self.after_running(defined, family, Wants::Since(since), shrink)
    }

    /// A run that begins after now.
    fn after_running(self: &Arc<Self>, defined: &Defined, family: &Family, wants: Wants, shrink: Shrink) -> Waiting {
        let mut runs = self.runs.lock();
        let request = Request {
            defined: defined.clone(),
            family: family.clone(),
            first: None,
            wants,
            accepts_any: shrink == Shrink::Accepted,
            hurry: Arc::default(),
        };
        let Some(slot) = runs.get_mut(family) else {
            return self.start(&mut runs, request);
        };
        if wants == Wants::Anew {
            slot.hurry.notify_one();
        }
        if let Some((next, _, waiting)) = &mut slot.next {
            next.wants = next.wants.and(wants);
            next.accepts_any |= shrink == Shrink::Accepted;
            return waiting.clone();
        }
        let (sender, receiver) = oneshot::channel();
        let waiting = receiver.shared();
        slot.next = Some((request, sender, waiting.clone()));
        waiting
    }

    fn start(self: &Arc<Self>, runs: &mut HashMap<Family, Slot>, request: Request) -> Waiting {
        let (sender, receiver) = oneshot::channel();
        let waiting = receiver.shared();
        // Invariant 8: a scanner of names that nothing enumerates must not fill the memory with runs that wait their turn.
        if runs.len() >= self.runs_max {
            let retry_after = Duration::from_secs(1);
            let error = EngineError::Overloaded { retry_after };
            // The receiver is here.
            let _ = sender.send(Err(RefreshFailure { error, retry_after }));
            return waiting;
        }
        let slot = Slot {
            running: waiting.clone(),
            hurry: request.hurry.clone(),
            next: None,
        };
        runs.insert(request.family.clone(), slot);
        self.runtime.spawn(self.clone().run_all(request, sender));
        waiting
    }

    /// Runs a family's requests until none is left.
    async fn run_all(self: Arc<Self>, mut request: Request, mut sender: oneshot::Sender<Outcome>) {
        loop {
            // A task of its own, so that a panic, which is our own bug, leaves no family locked.
            let run = self.clone().run(request.clone());
            let outcome = self.runtime.spawn(run).await.unwrap_or_else(|error| {
                tracing::error!(listing = %request.family, %error, "refresh broke off");
                Err(RefreshFailure {
                    error: EngineError::broken_load(),
                    retry_after: BACK_OFF_MIN,
                })
            });
            let next = {
                let mut runs = self.runs.lock();
                let next = runs.get_mut(&request.family).and_then(|slot| {
                    let (request, sender, waiting) = slot.next.take()?;
                    slot.running = waiting;
                    slot.hurry = request.hurry.clone();
                    Some((request, sender))
                });
                if next.is_none() {
                    runs.remove(&request.family);
                }
                next
            };
            // Nobody may be waiting any more.
            let _ = sender.send(outcome);
            match next {
                Some(next) => (request, sender) = next,
                None => return,
            }
        }
    }

    /// How many refreshes of the family failed in a row, as far as is remembered here.
    pub(crate) fn failures_in_a_row(&self, request: &Request) -> u32 {
        let failing = self.failing_as(&request.defined.definition, &request.family);
        failing.map_or(0, |failing| failing.in_a_row)
    }

    /// The last failure here, if this definition met it.
    fn failing_as(&self, definition: &Definition, family: &Family) -> Option<Failing> {
        let failing = self.failing.get(family)?;
        (failing.definition == definition.hash_of_all()).then_some(failing)
    }

    pub(crate) fn forget_failure(&self, family: &Family) {
        self.failing.invalidate(family);
    }

    pub(crate) fn remember_failure(&self, request: &Request, in_a_row: u32, retry_after: Duration, shows: PageState) {
        let failing = Failing {
            definition: request.defined.definition.hash_of_all(),
            until: Instant::now() + retry_after,
            in_a_row,
            refused: false,
            error: None,
            shows,
        };
        self.failing.insert(request.family.clone(), failing);
    }

    /// The same with the error; `refused`: the origin's items were not believed.
    pub(crate) fn remember_error(
        &self,
        request: &Request,
        in_a_row: u32,
        retry_after: Duration,
        refused: bool,
        error: &str,
        shows: PageState,
    ) {
        let failing = Failing {
            definition: request.defined.definition.hash_of_all(),
            until: Instant::now() + retry_after,
            in_a_row,
            refused,
            error: Some(error.into()),
            shows,
        };
        self.failing.insert(request.family.clone(), failing);
    }

    /// Why the last refresh of the family failed here.
    pub(crate) fn last_error(&self, family: &Family) -> Option<Arc<str>> {
        self.failing.get(family)?.error
    }

    /// Families whose last refresh here was not believed, at most so many.
    pub(crate) fn refused(&self, limit: usize) -> Vec<Family> {
        let refused = self.failing.iter().filter(|(_, failing)| failing.refused);
        refused.map(|(family, _)| (*family).clone()).take(limit).collect()
    }
}
