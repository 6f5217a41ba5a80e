//! Coalesced refreshes: a shop's change feed asks for a refresh with each product that changes, many times a second.
//!
//! With `coalesce_for` a request is remembered in Redis and makes its family due: at once, or when `coalesce_for` has passed
//! since the last read was drawn. So a listing is read at most once in that time, by whichever node, and shows every change
//! after the time has passed and the refresh is done. The due time survives a killed node: any node that finds it takes it up,
//! see [`schedule`](super::schedule). But the schedule looks only now and then, so the node that was asked attends to the family
//! too: it sleeps until then and begins the run itself. Where several nodes do, the one that draws first reads; the others hear
//! that nothing is asked for any more.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    engine::{error::Chain, refreshing::runs::Refresher},
    listing::{Family, definition::Defined},
    store::StoreError,
};

/// The families that this node attends to. A request that comes meanwhile only leaves its definition here: it is looked at
/// again before the family is let go.
#[derive(Default)]
struct Attended(Mutex<HashMap<Family, Option<Defined>>>);

impl Attended {
    /// Whether the caller is to attend to the family: nobody does yet, and there are not too many.
    fn begin(&self, family: &Family, defined: &Defined, max: usize) -> bool {
        let mut families = self.0.lock();
        if let Some(again) = families.get_mut(family) {
            *again = Some(defined.clone());
            return false;
        }
        let is_room = families.len() < max;
        if is_room {
            families.insert(family.clone(), None);
        }
        is_room
    }

    /// Lets a family go, unless somebody has asked since it was looked at last.
    fn end(&self, family: &Family) -> Option<Defined> {
        let mut families = self.0.lock();
        let again = families.get_mut(family).and_then(Option::take);
        if again.is_none() {
            families.remove(family);
        }
        again
    }
}

/// Refreshes that are coalesced.
pub(crate) struct Coalesced {
    refresher: Arc<Refresher>,
    attended: Attended,
    attended_max: usize,
}

impl Coalesced {
    /// Begins without requests, and attends to `attended_max` families at most.
    pub(crate) fn new(refresher: Arc<Refresher>, attended_max: usize) -> Self {
        Self {
            refresher,
            attended: Attended::default(),
            attended_max,
        }
    }

    /// Wants families of one name read anew, at most once in `coalesce_for`. When this returns, Redis knows.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        families: &[(Defined, Family)],
        coalesce_for: Duration,
    ) -> Result<(), StoreError> {
        let names: Vec<Family> = families.iter().map(|(_, family)| family.clone()).collect();
        let waits = self.refresher.means.store.coalesced.ask(&names, coalesce_for).await?;
        for ((defined, family), wait) in families.iter().zip(waits) {
            // Invariant 8: beyond the limit the schedule alone finds it.
            if self.attended.begin(family, defined, self.attended_max) {
                let attending = self.clone().attend(defined.clone(), family.clone(), wait);
                self.refresher.means.runtime.spawn(attending);
            }
        }
        Ok(())
    }

    /// Begins the run when it may begin, and again as long as somebody asked meanwhile.
    async fn attend(self: Arc<Self>, mut defined: Defined, family: Family, mut wait: Duration) {
        loop {
            tokio::time::sleep(wait).await;
            let run = self.refresher.demand_asked(&defined, &family).await;
            // Where it failed, the due time is that of the next attempt.
            let is_done = matches!(run, Ok(Ok(_)));
            let left = match is_done {
                true => self.asked_in(&defined, &family).await,
                false => None,
            };
            // A refresh that may begin already and did not is another node's.
            match left.filter(|left| !left.is_zero()) {
                Some(left) => wait = left,
                None => match self.attended.end(&family) {
                    Some(again) => {
                        defined = again;
                        wait = self.asked_in(&defined, &family).await.unwrap_or_default();
                    }
                    None => return,
                },
            }
        }
    }

    /// How long until a refresh that was asked for may begin.
    async fn asked_in(&self, defined: &Defined, family: &Family) -> Option<Duration> {
        let coalesce_for = defined.definition.policy.coalesce_for;
        let store = &self.refresher.means.store;
        match store.coalesced.begins_at(family, coalesce_for).await {
            Ok(at) => at.map(|at| at.since(store.now())),
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "a refresh that was asked for is left to the schedule");
                None
            }
        }
    }

    /// Whether somebody has asked for a refresh of the family that no read has answered.
    pub(crate) async fn is_asked_for(&self, defined: &Defined, family: &Family) -> bool {
        !defined.definition.policy.coalesce_for.is_zero() && self.asked_in(defined, family).await.is_some()
    }
}
