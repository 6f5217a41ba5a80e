//! A patch: the changed items of one family are read, and exchanged in all its streams.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    exchange::{Exchanged, StreamExchange},
    publishing::publish_over,
    recall::recall,
    removal::remove,
    rows::{ChangedRows, RowReader},
};
use crate::{
    engine::{
        declared::Declared,
        error::{Chain, EngineError},
        refreshing::{build::streams_in_order, clock::asking::Asking, means::Means},
    },
    listing::{
        Family, HeadState, ItemId, ListingKey,
        definition::{Defined, Resolved, StreamOrder},
    },
    origin::{Origin, OriginError},
    store::{Drawn, Grant, NextChangeIs, Publication},
};

/// Between two looks at a lease that another holds.
const LEASE_POLL: Duration = Duration::from_millis(20);
/// So long a patch waits for another's lease.
const LEASE_WAIT: Duration = Duration::from_secs(2);
/// How often a stream is made again because another has moved its head in between.
const ATTEMPTS_MAX: usize = 16;

/// The outcome of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patched {
    /// New generations are current.
    Published,
    /// The changed items are as they were, or not in the family.
    Unchanged,
    /// Nothing of the family is kept: whoever asks for it reads it anew.
    NotKept,
    /// It must be read in full.
    NeedsRefresh(&'static str),
    /// Nodes with a newer definition, or the end of a freeze, have it read in full.
    Left(&'static str),
}

impl Patched {
    fn of(published: bool) -> Self {
        match published {
            true => Self::Published,
            false => Self::Unchanged,
        }
    }
}

/// The streams in which items are exchanged, one after the other, by their numbers: items that stay in the family, and those that leave it.
///
/// The first stream tells which items the family holds. Where this node dies between two streams, the changes are worked off again, and
/// the family must be found for each of its items: the first stream is the first to show one, and the last to hold one that leaves.
pub(crate) fn steps(
    changed: &BTreeSet<ItemId>,
    stay: BTreeSet<ItemId>,
    streams: usize,
) -> impl Iterator<Item = (usize, BTreeSet<ItemId>)> {
    let leave: BTreeSet<ItemId> = changed.difference(&stay).cloned().collect();
    let forward = (0..streams).map(move |at| (at, stay.clone()));
    let backward = (0..streams).rev().map(move |at| (at, leave.clone()));
    forward.chain(backward).filter(|(_, ids)| !ids.is_empty())
}

/// The changes of one family.
pub(crate) struct Patch {
    pub means: Arc<Means>,
    pub family: Family,
    /// Items that have changed.
    pub changed: BTreeSet<ItemId>,
    /// Items that are gone.
    pub gone: BTreeSet<ItemId>,
    /// Items that are recalled.
    pub recalled: BTreeSet<ItemId>,
    /// The last of the changes that say so.
    pub recorded: u64,
    /// Whether an instant has come: the items that change then are known in Redis.
    pub by_clock: bool,
}

impl Patch {
    /// Of no items yet.
    pub(crate) fn nothing(means: Arc<Means>, family: Family) -> Self {
        Self {
            means,
            family,
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            recalled: BTreeSet::new(),
            recorded: 0,
            by_clock: false,
        }
    }

    /// Removes what is recalled or gone, then exchanges what has changed.
    pub(crate) async fn run(&self) -> Result<Patched, EngineError> {
        let recalled = self.recall().await?;
        Ok(match self.run_without_recall().await? {
            Patched::Unchanged | Patched::NotKept if recalled => Patched::Published,
            outcome => outcome,
        })
    }

    /// The listings of the family that are kept, whether their sorts are declared or not.
    async fn kept_listings(&self) -> Result<impl Iterator<Item = ListingKey>, EngineError> {
        let listings = self.means.store.names.listings_of(&self.family.name).await?;
        Ok(listings.into_iter().filter(|listing| listing.family == self.family))
    }

    async fn recall(&self) -> Result<bool, EngineError> {
        let mut recalled = false;
        if !self.recalled.is_empty() {
            let policy = match self.means.declaration.resolve(&self.family.name) {
                Resolved::Defined(defined) => defined.definition.policy.clone(),
                Resolved::Pushed(_) | Resolved::Unknown => self.means.declaration.pushed_policy(),
            };
            for listing in self.kept_listings().await? {
                recalled |= recall(&self.means, &listing, &policy, &self.recalled).await?;
            }
        }
        Ok(recalled)
    }

    async fn run_without_recall(&self) -> Result<Patched, EngineError> {
        let means = &self.means;
        let declared = means.declaration.take();
        match declared.definitions.resolve(&self.family.name) {
            Resolved::Defined(defined) if defined.definition.declares(&self.family.choices) => {
                self.run_defined(&declared, &defined).await
            }
            Resolved::Pushed(_) => {
                let policy = means.declaration.pushed_policy();
                let mut removed = false;
                if !self.gone.is_empty() {
                    for listing in self.kept_listings().await? {
                        removed |= remove(means, &listing, &policy, &self.gone, self.recorded).await?;
                    }
                }
                Ok(Patched::of(removed))
            }
            _ => Ok(Patched::NotKept),
        }
    }

    async fn run_defined(&self, declared: &Declared, defined: &Defined) -> Result<Patched, EngineError> {
        let (means, policy) = (&self.means, &defined.definition.policy);
        let streams = streams_in_order(defined, None);
        let listing = |stream: &StreamOrder<'_>| self.family.listing(stream.stored());
        let mut removed = false;
        // The first stream last, as with items that leave by a change.
        for stream in streams.iter().rev().filter(|_| !self.gone.is_empty()) {
            removed |= remove(means, &listing(stream), policy, &self.gone, self.recorded).await?;
        }
        let outcome = match self.changed.is_empty() && !self.by_clock {
            true => Patched::Unchanged,
            false => self.exchange(declared, defined, &streams).await?,
        };
        Ok(match outcome {
            Patched::Unchanged if removed => Patched::Published,
            outcome => outcome,
        })
    }

    async fn exchange(
        &self,
        declared: &Declared,
        defined: &Defined,
        streams: &[StreamOrder<'_>],
    ) -> Result<Patched, EngineError> {
        let (means, definition) = (&self.means, &defined.definition);
        let listings: Vec<ListingKey> = streams
            .iter()
            .map(|stream| self.family.listing(stream.stored()))
            .collect();
        let kept = means.store.writes.kept(&listings).await?;
        let heads = || kept.iter().map(|kept| kept.state.live());
        if heads().all(|head| head.is_none()) {
            return Ok(Patched::NotKept);
        }
        if heads().flatten().any(|head| definition.is_outdated(head)) {
            means.store.due.bring_forward(std::iter::once(&self.family)).await?;
            return Ok(Patched::Left("another node has a newer definition"));
        }
        if means.frozen.until(&self.family.name, means.store.now()).is_some() {
            means.store.due.bring_forward(std::iter::once(&self.family)).await?;
            return Ok(Patched::Left("the name is frozen"));
        }
        let is_shaped = |(head, listing): (Option<&crate::listing::Head>, &ListingKey)| {
            head.is_some_and(|head| definition.hash_of(&listing.stored) == Some(head.definition))
        };
        if !heads().zip(&listings).all(is_shaped) {
            return Ok(Patched::NeedsRefresh("a sort is deleted, or of another definition"));
        }
        let origin = declared.origins.get(&definition.origin);
        let Some((origin, budget)) = origin.zip(declared.budget(&definition.origin)) else {
            return Ok(Patched::NeedsRefresh("its origin is not configured"));
        };
        if !origin.reads_rows(definition) {
            return Ok(Patched::NeedsRefresh("its origin cannot read rows"));
        }
        let grant = self.draw(streams.len()).await?;
        let _place = budget.place(false, &Notify::new()).await;
        let outcome = self.exchange_all(defined, &*origin, streams, &grant).await;
        if let Some(lease) = grant.lease {
            lease.release().await;
        }
        outcome
    }

    /// Draws under the family's lease: a refresh that runs ends first, or the patch is made later. Others must not wait for its place.
    async fn draw(&self, count: usize) -> Result<Grant, EngineError> {
        let deadline = Instant::now() + LEASE_WAIT;
        loop {
            match self.means.store.draws.with_lease(&self.family, count, true).await? {
                Drawn::Granted(grant) => return Ok(grant),
                Drawn::Leased { .. } if Instant::now() >= deadline => {
                    return Err(EngineError::NothingYet {
                        reason: "a full read is under way, and follows the change",
                        retry_after: LEASE_WAIT,
                    });
                }
                Drawn::Leased { left, .. } => {
                    tokio::time::sleep(left.clamp(Duration::from_millis(1), LEASE_POLL)).await
                }
                Drawn::BackingOff { .. } | Drawn::TooSoon { .. } | Drawn::Unasked => {
                    return Err(EngineError::broken_load());
                }
            }
        }
    }

    async fn exchange_all(
        &self,
        defined: &Defined,
        origin: &dyn Origin,
        streams: &[StreamOrder<'_>],
        grant: &Grant,
    ) -> Result<Patched, EngineError> {
        let (means, family) = (&*self.means, &self.family);
        let reader = RowReader {
            means,
            origin,
            defined,
            family,
        };
        let asking = Asking {
            means,
            origin,
            defined,
            family,
        };
        let (known, passed) = asking.passed(grant.as_of).await?;
        let Some(mut changed) = passed else {
            return Ok(Patched::NeedsRefresh("something of it begins or ends now"));
        };
        changed.extend(self.changed.iter().cloned());
        // Before the rows: an instant in between is still to come for this answer.
        let read = async {
            let answered = asking.ask_again(&known, grant.as_of).await?;
            Ok((answered, reader.read(&changed).await?))
        };
        let (answered, mut rows) = match read.await {
            Ok(read) => read,
            Err(error @ OriginError::Misdeclared(_)) => {
                tracing::warn!(listing = %family, error = %Chain(&error), "changed rows cannot be read: the listing is read in full");
                return Ok(Patched::NeedsRefresh("its rows cannot be read"));
            }
            Err(error) => return Err(EngineError::RefreshFailed(Chain(&error).to_string().into())),
        };
        asking.expect(&answered).await?;
        // An item may be gone although its row is still there.
        rows.remove(&self.gone_now(grant).await?);
        let mut published = false;
        for (at, ids) in steps(&changed, rows.ids(), streams.len()) {
            let Some(stream) = streams.get(at) else { continue };
            match self
                .exchange_one(defined, stream, (&ids, &rows), (grant, at), answered.next_change())
                .await?
            {
                Patched::Published => published = true,
                Patched::Unchanged => {}
                other => return Ok(other),
            }
        }
        published |= self.remove_gone(defined, streams, &changed, grant).await?;
        let listings: Vec<ListingKey> = streams.iter().map(|stream| family.listing(stream.stored())).collect();
        asking.tell(&listings, &answered).await?;
        asking.write(&answered).await;
        Ok(Patched::of(published))
    }

    /// An item may have gone while its rows were on their way here. Its removal has not found this family then.
    async fn remove_gone(
        &self,
        defined: &Defined,
        streams: &[StreamOrder<'_>],
        changed: &BTreeSet<ItemId>,
        grant: &Grant,
    ) -> Result<bool, EngineError> {
        let drawn = grant.generations.first().map_or(0, |first| first.id);
        let since = self.means.store.changes.since(&self.family.name, drawn).await?;
        let gone: BTreeSet<ItemId> = since.gone.into_iter().filter(|id| changed.contains(id)).collect();
        let mut removed = false;
        for stream in streams.iter().rev().filter(|_| !gone.is_empty()) {
            let (listing, policy) = (self.family.listing(stream.stored()), &defined.definition.policy);
            removed |= remove(&self.means, &listing, policy, &gone, since.last).await?;
        }
        Ok(removed)
    }

    /// All that is gone or recalled.
    async fn gone_now(&self, grant: &Grant) -> Result<BTreeSet<ItemId>, EngineError> {
        let drawn = grant.generations.first().map_or(0, |first| first.id);
        let since = self.means.store.changes.since(&self.family.name, drawn).await?;
        Ok(since.gone.into_iter().collect())
    }

    async fn exchange_one(
        &self,
        defined: &Defined,
        stream: &StreamOrder<'_>,
        (ids, rows): (&BTreeSet<ItemId>, &ChangedRows),
        (grant, at): (&Grant, usize),
        next_change: NextChangeIs,
    ) -> Result<Patched, EngineError> {
        let (means, policy) = (&*self.means, &*defined.definition.policy);
        let listing = self.family.listing(stream.stored());
        let Some(mut rows) = rows.sorted(stream.by) else {
            return Ok(Patched::NeedsRefresh("a sort has no keys"));
        };
        rows.retain(|(_, item)| ids.contains(&item.id));
        let store = &means.store;
        let mut generation = grant.generations.get(at).copied();
        for _ in 0..ATTEMPTS_MAX {
            let HeadState::Live(head) = store.heads.read(&listing).await? else {
                return Ok(Patched::NeedsRefresh("a sort of it is lost"));
            };
            // Removed from this head, perhaps, by another node: asked after the head was read, nothing that is gone comes back.
            let gone = self.gone_now(grant).await?;
            rows.retain(|(_, item)| !gone.contains(&item.id));
            // It leaves the first stream last: see `remove_gone`.
            let ids = &ids.difference(&gone).cloned().collect();
            let generation = match generation
                .take()
                .filter(|generation| generation.id > head.generation.id)
            {
                Some(generation) => generation,
                // Another has moved the head: a patch draws anew.
                None => means.draw_one(&self.family.name).await?,
            };
            let exchange = StreamExchange {
                store,
                policy,
                listing: &listing,
                ids,
                rows: &rows,
            };
            let finished = match exchange.over(&head, generation).await? {
                Exchanged::Unchanged => return Ok(Patched::Unchanged),
                Exchanged::Impossible => return Ok(Patched::NeedsRefresh("its columns are lost")),
                Exchanged::Written(finished) => *finished,
            };
            if policy.believes(head.total, finished.total()).is_err() || finished.total() > policy.max_items {
                return Ok(Patched::NeedsRefresh("too few or too many items would be left"));
            }
            let publication = Publication {
                lease: grant.lease.as_ref(),
                next_change,
                ..Publication::patch(policy)
            };
            if publish_over(&head, finished, means, publication).await? {
                return Ok(Patched::Published);
            }
        }
        Ok(Patched::NeedsRefresh("others kept moving its head"))
    }
}
