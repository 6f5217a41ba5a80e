//! What an origin tells by itself: that its items changed, as a watched file does.
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
use tokio_util::sync::DropGuard;

use crate::{
    engine::{Engine, error::Chain},
    listing::{Family, ListingKey, Timestamp, definition::Resolved},
    origin::Origin,
    store::StoreError,
};

/// Listings looked at in one turn.
const LISTINGS_A_TURN: usize = 1000;
/// Until it is tried again to make families due, where Redis did not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Origins that are heard, by name. Dropping one ends the hearing.
type Heard = HashMap<Box<str>, (Arc<dyn Origin>, DropGuard)>;

impl Engine {
    /// Hears what the definitions' origins tell, until the engine shuts down.
    pub(crate) fn start_hearing_origins(self: &Arc<Self>) {
        let engine = self.clone();
        let mut replaced = self.declaration.replacements();
        self.tasks.spawn_on(
            async move {
                let mut heard = Heard::default();
                loop {
                    engine.hear_declared(&mut heard);
                    tokio::select! {
                        Ok(()) = replaced.changed() => {}
                        () = engine.stopping.cancelled() => return,
                    }
                }
            },
            &self.runtime,
        );
    }

    /// Hears the origins that are declared now, and no others. One that stays goes on being heard: no change is missed.
    fn hear_declared(self: &Arc<Self>, heard: &mut Heard) {
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
                        let listening = self.hear_origin(name.clone(), changes);
                        now.insert(name.clone(), (origin, listening));
                    }
                }
            }
        }
        *heard = now;
    }

    fn hear_origin(self: &Arc<Self>, name: Box<str>, mut changes: BoxStream<'static, Instant>) -> DropGuard {
        let (engine, listening) = (self.clone(), self.stopping.child_token());
        let stopping = listening.clone();
        self.tasks.spawn_on(
            async move {
                let heard = async {
                    while let Some(since) = changes.next().await {
                        engine.origin_changed(&name, since).await;
                    }
                };
                tokio::select! {
                    () = heard => {}
                    () = stopping.cancelled() => {}
                }
            },
            &self.runtime,
        );
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
            match self.families_of_origin_are_due(origin, changed).await {
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
    pub async fn families_of_origin_are_due(&self, origin: &str, read_before: Timestamp) -> Result<usize, StoreError> {
        let mut after: Option<ListingKey> = None;
        let mut count = 0;
        loop {
            let listings = self.store.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            // Sorts of one family are neighbours, save at the end of a turn: to be made due twice does no harm.
            let mut due: BTreeSet<&Family> = BTreeSet::new();
            for (listing, state) in &listings {
                let now = self.store.now();
                let old = state.live().is_some_and(|head| !head.is_read_since(read_before, now));
                let of_origin = || match self.declaration.resolve(listing.name()) {
                    Resolved::Defined(defined) => *defined.definition.origin == *origin,
                    Resolved::Pushed | Resolved::Unknown => false,
                };
                if old && !due.contains(&listing.family) && of_origin() {
                    due.insert(&listing.family);
                }
            }
            self.store.due_now(due.iter().copied()).await?;
            count += due.len();
            match listings.last() {
                Some((last, _)) => after = Some(last.clone()),
                None => return Ok(count),
            }
        }
    }
}
