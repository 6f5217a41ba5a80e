//! Writes that clients ask for: pushing a listing, deleting one, refreshing one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;

use super::check_sort::check_sort;
use crate::{
    engine::{
        error::EngineError,
        reading::selection::unknown_sort,
        refreshing::{
            due::coalesced::Coalesced,
            means::Means,
            patching::recall::recall,
            request::{RefreshFailure, Refreshed, Shrink},
            runs::Refresher,
        },
    },
    listing::{
        Family, Generation, HeadState, Item, ItemId, ListingKey, ListingName, Policy, SortName, StoredSort,
        definition::{Defined, Resolved},
    },
    store::{Base, GenerationWriter, Publication, Published},
};

/// A push under way. Dropped without [`Push::finish`], nothing changes.
pub struct Push {
    means: Arc<Means>,
    policy: Arc<Policy>,
    listing: ListingKey,
    writer: GenerationWriter,
    shrink: Shrink,
    /// Items that are left out.
    recalled: BTreeSet<ItemId>,
}

/// The outcome of a push.
#[derive(Clone, Debug)]
pub struct PushOutcome {
    /// The listing.
    pub listing: ListingKey,
    /// Its current generation.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
    /// Whether it was not there before.
    pub created: bool,
}

impl Push {
    /// Adds an item at the end, if it is not recalled.
    ///
    /// # Errors
    /// [`EngineError::TooManyItems`] beyond `max_items`; Redis's own.
    pub async fn append(&mut self, item: Item) -> Result<(), EngineError> {
        if self.recalled.contains(&item.id) {
            return Ok(());
        }
        if self.writer.items() >= self.policy.max_items {
            return Err(EngineError::TooManyItems {
                max: self.policy.max_items,
            });
        }
        Ok(self.writer.append(item).await?)
    }

    /// Publishes the pushed items. From then on this node serves this generation or a newer one.
    ///
    /// # Errors
    /// [`EngineError::Superseded`] where a later write was published first, [`EngineError::Shrunk`] where too few items would
    /// be left and that was not accepted.
    pub async fn finish(self) -> Result<PushOutcome, EngineError> {
        let finished = self.writer.finish().await?;
        let (generation, total) = (finished.generation(), finished.total());
        let mut believed = Ok(());
        let believe = |head: &HeadState| {
            let before = head.live().map_or(0, |head| head.total);
            if self.shrink == Shrink::Refused {
                believed = self.policy.believes_push(before, total);
            }
            believed.is_ok()
        };
        let published = self
            .means
            .store
            .writes
            .publish_over(finished, Publication::plain(&self.policy), believe);
        match published.await? {
            Published::Moved { announcement, replaced } => {
                self.means.announcer.apply(&announcement, true);
                tracing::info!(listing = %self.listing, %generation, items = total, "listing pushed");
                // Recalled while it was pushed: who works that off may have looked at the listing before.
                let recalled = self.means.store.changes.recalled(self.listing.name()).await?;
                if !recalled.is_subset(&self.recalled) {
                    recall(&self.means, &self.listing, &self.policy, &recalled).await?;
                }
                Ok(PushOutcome {
                    listing: self.listing,
                    generation,
                    total,
                    created: replaced.live().is_none(),
                })
            }
            Published::Older { current } => Err(EngineError::Superseded { current }),
            // The stream expired or was evicted while it was written.
            Published::Fenced | Published::Incomplete | Published::Overtaken(_) => Err(EngineError::broken_load()),
            Published::Unwanted => {
                let refusal = believed.err().ok_or(EngineError::broken_load())?;
                tracing::warn!(listing = %self.listing, %refusal, "push refused");
                Err(EngineError::Shrunk(refusal))
            }
        }
    }
}

/// Values of some variants, by parameter.
pub(crate) type Chosen = BTreeMap<Arc<str>, Arc<str>>;

/// Writes listings and asks for refreshes.
pub struct Writes {
    pub(crate) means: Arc<Means>,
    pub(crate) refresher: Arc<Refresher>,
    pub(crate) coalesced: Arc<Coalesced>,
}

impl Writes {
    /// Begins to replace a pushed listing. [`Shrink`] says whether any number of items is believed.
    ///
    /// # Errors
    /// [`EngineError::HasOrigin`] where a definition fills the name, [`EngineError::NotAllowed`] where `pushed.names` does not allow it.
    pub async fn push(&self, name: &ListingName, sort: SortName, shrink: Shrink) -> Result<Push, EngineError> {
        match self.means.declaration.resolve(name) {
            Resolved::Defined(_) => return Err(EngineError::HasOrigin),
            Resolved::Unknown => return Err(EngineError::NotAllowed),
            Resolved::Pushed(_) => {}
        }
        let listing = Family::plain(name.clone()).listing(StoredSort::ascending(sort));
        let policy = self.means.declaration.pushed_policy();
        let store = &self.means.store;
        let grant = store.draws.without_lease(name, 1).await?;
        let generation = grant.generations.first().copied().ok_or(EngineError::broken_load())?;
        let writer = store.writes.begin(&listing, generation, grant.as_of, 0, &policy);
        let base = self.base(&listing, &policy).await?;
        Ok(Push {
            recalled: store.changes.recalled(name).await?,
            means: self.means.clone(),
            policy,
            listing,
            writer: writer.over(base),
            shrink,
        })
    }

    /// The base of a push: only chunks that differ from it are written.
    async fn base(&self, listing: &ListingKey, policy: &Policy) -> Result<Option<Base>, EngineError> {
        let writes = &self.means.store.writes;
        let kept = writes.kept(std::slice::from_ref(listing)).await?;
        match kept.first().and_then(|kept| kept.state.live()) {
            Some(head) if head.definition == 0 => Ok(writes.base(listing, head, policy).await?),
            _ => Ok(None),
        }
    }

    /// Forgets a listing, pins included: all sorts of the name unless one is given. With an origin the next read fills it again.
    ///
    /// # Errors
    /// [`EngineError::NotAllowed`] for a name that nothing can fill, [`EngineError::Invalid`] for a sort that is neither
    /// declared nor kept.
    pub async fn delete(&self, name: &ListingName, sort: Option<&SortName>) -> Result<(), EngineError> {
        let resolved = self.means.declaration.resolve(name);
        // The kept listings, whether their heads can be read or not, and those that a refresh or a push under way may be about to publish
        // for the first time.
        let mut listings: BTreeSet<ListingKey> = self.means.store.names.ever_of(name).await?.into_iter().collect();
        let policy = match &resolved {
            Resolved::Unknown => return Err(EngineError::NotAllowed),
            Resolved::Pushed(_) => {
                let sort = sort.cloned().unwrap_or_else(SortName::default_sort);
                listings.insert(Family::plain(name.clone()).listing(StoredSort::ascending(sort)));
                self.means.declaration.pushed_policy()
            }
            Resolved::Defined(defined) => {
                let mut families = self.refresher.families_of(name);
                families.push(defined.default_family(name));
                for family in families {
                    let streams = defined.definition.streams();
                    listings.extend(streams.map(|stream| family.listing(stream.stored())));
                }
                defined.definition.policy.clone()
            }
        };
        let listings: Vec<_> = listings
            .into_iter()
            .filter(|key| sort.is_none_or(|sort| key.sort() == sort))
            .collect();
        if let (Resolved::Defined(defined), true, Some(sort)) = (&resolved, listings.is_empty(), sort) {
            let error = unknown_sort(&defined.definition);
            tracing::debug!(listing = %name, %sort, "no such sort to delete");
            return Err(EngineError::Invalid(vec![error]));
        }
        for (announcement, _) in self.means.store.writes.delete(&listings, &policy).await? {
            self.means.announcer.apply(&announcement, true);
        }
        tracing::info!(listing = %name, sorts = listings.len(), "listing deleted");
        Ok(())
    }

    /// Starts a refresh of a name and does not wait for it; where refreshes are coalesced, perhaps a while later. With
    /// [`Shrink::Accepted`] it starts in any case, and the number of items is believed whatever it is: somebody has looked.
    ///
    /// # Errors
    /// [`EngineError::NoOrigin`] for a pushed name, [`EngineError::NotFound`] for one that cannot exist, [`EngineError::Invalid`] for an unknown sort.
    pub async fn refresh(
        &self,
        name: &ListingName,
        chosen: &Chosen,
        sort: Option<&SortName>,
        shrink: Shrink,
    ) -> Result<(), EngineError> {
        self.accept_names(name, shrink).await;
        let families = self.families(name, chosen, sort).await?;
        let coalesce_for = families
            .first()
            .map_or(Duration::ZERO, |(defined, _)| defined.definition.policy.coalesce_for);
        if !coalesce_for.is_zero() && shrink == Shrink::Refused {
            return Ok(self.coalesced.ask(&families, coalesce_for).await?);
        }
        for (defined, family) in families {
            let waiting = self.refresher.demand(&defined, &family, shrink);
            // One that has ended already was never begun.
            if let Some(Ok(Err(RefreshFailure {
                error: error @ EngineError::Overloaded { .. },
                ..
            }))) = waiting.now_or_never()
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Refreshes a name; ends with generations that were drawn after this call.
    ///
    /// # Errors
    /// As [`Writes::refresh`], and [`EngineError::RefreshFailed`] with its kin where the origin or Redis failed.
    pub async fn refresh_and_wait(
        &self,
        name: &ListingName,
        chosen: &Chosen,
        sort: Option<&SortName>,
        shrink: Shrink,
    ) -> Result<Vec<Refreshed>, EngineError> {
        self.accept_names(name, shrink).await;
        let waits: Vec<_> = self
            .families(name, chosen, sort)
            .await?
            .into_iter()
            .map(|(defined, family)| self.refresher.demand(&defined, &family, shrink))
            .collect();
        let mut all = Vec::new();
        for wait in waits {
            let outcome = wait.await.map_err(|_| EngineError::broken_load())?;
            let refreshed = outcome.map_err(|RefreshFailure { error, .. }| error)?;
            let wanted = refreshed
                .iter()
                .filter(|one| sort.is_none_or(|sort| one.listing.sort() == sort));
            all.extend(wanted.cloned());
        }
        Ok(all)
    }

    /// An operator who has looked at a listing that shrinks has looked at the names too, where they are doubted.
    async fn accept_names(&self, name: &ListingName, shrink: Shrink) {
        if let (Resolved::Defined(defined), Shrink::Accepted) = (self.means.declaration.resolve(name), shrink) {
            let declared = self.means.declaration.take();
            declared.names.accept(&defined.definition).await;
        }
    }

    /// The families of a defined name with the chosen values: the default one or its like, and those with other choices that are kept.
    async fn families(
        &self,
        name: &ListingName,
        chosen: &Chosen,
        sort: Option<&SortName>,
    ) -> Result<Vec<(Defined, Family)>, EngineError> {
        let defined = match self.means.declaration.resolve(name) {
            Resolved::Pushed(_) => return Err(EngineError::NoOrigin),
            Resolved::Unknown => return Err(EngineError::NotFound),
            Resolved::Defined(defined) => defined,
        };
        let (frozen, now) = (&self.means.frozen, self.means.store.now());
        check_sort(&self.means.declaration, frozen, now, (&defined, name), sort).await?;
        let given = chosen.iter().map(|(parameter, value)| (&**parameter, &**value));
        let default = Family {
            name: name.clone(),
            choices: defined.definition.choices(&given.collect()),
        };
        let mut others = BTreeSet::new();
        if !defined.definition.variants.is_empty() {
            let kept = self.means.store.names.listings_of(name).await?;
            others.extend(kept.into_iter().map(|key| key.family));
        }
        let has = |family: &Family, (parameter, value): (&Arc<str>, &Arc<str>)| {
            let mut choices = family.choices.iter();
            choices.any(|(name, of)| name == parameter && of == value)
        };
        others.retain(|family| *family != default && defined.definition.declares(&family.choices));
        others.retain(|family| chosen.iter().all(|one| has(family, one)));
        let families = std::iter::once(default).chain(others);
        Ok(families.map(|family| (defined.clone(), family)).collect())
    }
}
