//! Due times that lie too far ahead: further than the listing's own period. They were set before Redis's clock was set back, or
//! before the configuration made the period shorter. Such a listing is due now.
//!
//! Each look reads a bounded number of due times of each partition, in their order, and the next look goes on from there. It begins
//! beyond the shortest period, so that where all listings have one period nothing is read.

use crate::{
    engine::{declared::Declaration, error::Chain},
    listing::{Family, Timestamp, definition::Resolved},
    store::{LATER_A_PARTITION, PARTITIONS, Store},
};

/// Where the next look at each partition begins; `None`: at the shortest period.
pub(crate) struct FarOff(Vec<Option<Timestamp>>);

impl FarOff {
    /// From the beginning.
    pub(crate) fn new() -> Self {
        Self(vec![None; PARTITIONS.into()])
    }

    /// Makes families due whose due times lie too far ahead, as far as this look comes.
    pub(crate) async fn bring_forward(&mut self, store: &Store, declaration: &Declaration) {
        let declared = declaration.take();
        let periods = declared.definitions.defined.iter();
        let Some(shortest) = periods.map(|definition| definition.policy.due_within()).min() else {
            return;
        };
        if !store.is_up() {
            return;
        }
        let now = store.now();
        let from = self.0.iter().map(|from| from.unwrap_or(now.after(shortest)));
        let due = match store.due.later(&from.collect::<Vec<_>>()).await {
            Ok(due) => due,
            Err(error) => return tracing::debug!(error = %Chain(&error), "due times could not be read"),
        };
        let mut far_off: Vec<&Family> = Vec::new();
        for (from, due) in self.0.iter_mut().zip(&due) {
            let due_within = |family: &Family| match declared.definitions.resolve(&family.name) {
                Resolved::Defined(defined) => defined.definition.policy.due_within(),
                // Once it is due it is found that nothing fills it.
                Resolved::Pushed(_) | Resolved::Unknown => shortest,
            };
            let is_far_off = |(family, at): &&(Family, Timestamp)| at.since(now) > due_within(family);
            far_off.extend(due.iter().filter(is_far_off).map(|(family, _)| family));
            let last = due.last().filter(|_| due.len() == LATER_A_PARTITION);
            *from = last.map(|(_, at)| *at);
        }
        if far_off.is_empty() {
            return;
        }
        match store.due.bring_forward(far_off.iter().copied()).await {
            Ok(()) => tracing::info!(
                families = far_off.len(),
                "due times lay further ahead than the listings' periods: they are due now"
            ),
            Err(error) => tracing::debug!(error = %Chain(&error), "listings could not be made due"),
        }
    }
}
