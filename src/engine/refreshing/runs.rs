//! Runs: in this process a family is refreshed by one run at a time.
//!
//! A caller that only wants it fresher joins the run. A caller that needs a generation drawn after now gets the run after it, and
//! all who come meanwhile share that one. Runs are spawned: no request owns one. The work of a run is in [`refresh`](super::refresh).

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::Shared};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{
    failures::BACK_OFF_MIN,
    means::Means,
    refresh::Refresh,
    request::{Outcome, RefreshFailure, Request, Shrink, Wants},
};
use crate::{
    engine::error::EngineError,
    listing::{Family, ListingKey, ListingName, Timestamp, definition::Defined},
    store::Claim,
};

/// Waits for a run.
pub(crate) type Waiting = Shared<oneshot::Receiver<Outcome>>;

/// Runs refreshes, and remembers which fail.
pub(crate) struct Refresher {
    pub(crate) means: Arc<Means>,
    runs: Mutex<HashMap<Family, Slot>>,
    runs_max: usize,
}

struct Slot {
    running: Waiting,
    /// Told when somebody joins who waits.
    hurry: Arc<Notify>,
    /// The run after this one, for those who came while it ran and need a later generation.
    next: Option<(Request, oneshot::Sender<Outcome>, Waiting)>,
}

impl Refresher {
    /// Nothing runs yet. More runs than `runs_max` are refused.
    pub(crate) fn new(means: Arc<Means>, runs_max: usize) -> Self {
        Self {
            means,
            runs: Mutex::default(),
            runs_max,
        }
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
        self.means.runtime.spawn(self.clone().run_all(request, sender));
        waiting
    }

    /// Runs a family's requests until none is left.
    async fn run_all(self: Arc<Self>, mut request: Request, mut sender: oneshot::Sender<Outcome>) {
        loop {
            // A task of its own, so that a panic, which is our own bug, leaves no family locked.
            let refresh = Refresh {
                means: self.means.clone(),
                request: request.clone(),
            };
            let outcome = self.means.runtime.spawn(refresh.run()).await.unwrap_or_else(|error| {
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
            // The waiting side may have left.
            let _ = sender.send(outcome);
            match next {
                Some(next) => (request, sender) = next,
                None => return,
            }
        }
    }
}
