//! News from an origin: its items changed, as a watched file reports.
//!
//! Then every family read from it before is due at once. It is refreshed as any that is due, so nobody waits, and those
//! that nobody reads are let go as ever. Each node hears of a change for itself; a family that another node has refreshed
//! since is not due again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::BoxStream};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    engine::{declared::Declaration, error::Chain},
    listing::{Family, ListingKey, Timestamp, definition::Resolved},
    origin::Origin,
    store::{Store, StoreError},
};

/// Listings looked at in one turn.
const LISTINGS_A_TURN: usize = 1000;
/// Until it is tried again to make families due, where Redis did not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Origins that are heard, by name. Dropping one ends the hearing.
type Heard = HashMap<Box<str>, (Arc<dyn Origin>, DropGuard)>;

/// Hears what the definitions' origins tell.
#[derive(Clone)]
pub struct OriginChanges {
    /// Redis.
    pub store: Store,
    /// Which families are of an origin.
    pub declaration: Arc<Declaration>,
    /// Each origin is heard by a task of its own.
    pub tasks: TaskTracker,
}

impl OriginChanges {
    /// Runs until the engine stops.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let mut replaced = self.declaration.replacements();
        let mut heard = Heard::default();
        loop {
            self.hear_declared(&mut heard, &stopping);
            tokio::select! {
                Ok(()) = replaced.changed() => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Hears the origins that are declared now, and no others. One that stays goes on being heard: no change is missed.
    fn hear_declared(&self, heard: &mut Heard, stopping: &CancellationToken) {
        let declared = self.declaration.get();
        let names = declared.definitions.defined.iter().map(|definition| &definition.origin);
        let mut now = Heard::default();
        for name in names {
            let Some(origin) = declared.origins.get(name) else {
                continue;
            };
            if now.contains_key(name) {
                continue;
            }
            match heard.remove(name) {
                Some((before, listening)) if Arc::ptr_eq(&before, &origin) => {
                    now.insert(name.clone(), (before, listening));
                }
                _ => {
                    if let Some(changes) = origin.changes() {
                        let listening = self.hear_origin(name.clone(), changes, stopping.child_token());
                        now.insert(name.clone(), (origin, listening));
                    }
                }
            }
        }
        *heard = now;
    }

    fn hear_origin(
        &self,
        name: Box<str>,
        mut changes: BoxStream<'static, Instant>,
        listening: CancellationToken,
    ) -> DropGuard {
        let (this, stopping) = (self.clone(), listening.clone());
        self.tasks.spawn(async move {
            let heard = async {
                while let Some(since) = changes.next().await {
                    this.origin_changed(&name, since).await;
                }
            };
            tokio::select! {
                () = heard => {}
                () = stopping.cancelled() => {}
            }
        });
        listening.drop_guard()
    }

    /// Makes families due, however often it takes: nothing else tells of the change.
    async fn origin_changed(&self, origin: &str, since: Instant) {
        loop {
            // By Redis's clock, which ages count by.
            let now = self.store.now();
            let changed = Timestamp(
                now.0
                    .saturating_sub(u64::try_from(since.elapsed().as_millis()).unwrap_or(now.0)),
            );
            match self.families_are_due(origin, changed).await {
                Ok(families) => {
                    tracing::info!(origin, families, "the origin changed; its listings are due");
                    return;
                }
                Err(error) => tracing::debug!(origin, error = %Chain(&error), "listings could not be made due"),
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    /// Makes every family of an origin's definitions due now whose items were read before a time; says how many.
    pub async fn families_are_due(&self, origin: &str, read_before: Timestamp) -> Result<usize, StoreError> {
        let mut after: Option<ListingKey> = None;
        let mut count = 0;
        loop {
            let listings = self.store.names.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            // Sorts of one family are neighbours, save at the end of a turn: to be made due twice does no harm.
            let mut due: BTreeSet<&Family> = BTreeSet::new();
            for (listing, state) in &listings {
                let now = self.store.now();
                let old = state.live().is_some_and(|head| !head.is_read_since(read_before, now));
                let of_origin = || match self.declaration.resolve(listing.name()) {
                    Resolved::Defined(defined) => *defined.definition.origin == *origin,
                    Resolved::Pushed(_) | Resolved::Unknown => false,
                };
                if old && !due.contains(&listing.family) && of_origin() {
                    due.insert(&listing.family);
                }
            }
            self.store.due.bring_forward(due.iter().copied()).await?;
            count += due.len();
            match listings.last() {
                Some((last, _)) => after = Some(last.clone()),
                None => return Ok(count),
            }
        }
    }
}
