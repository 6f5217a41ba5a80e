//! Holds: an operator keeps listings as they are, or as they were.
//!
//! *Freezing* stops the refreshes of some names for a while, and their listings live on.
//!
//! *Rolling back* makes a generation that is still kept current again, under a new id: for data that was believed and is wrong all
//! the same. The origin most likely has the wrong data still, so the name is frozen for a while, or the next refresh would bring
//! them back.

use std::{sync::Arc, time::Duration};

use globset::{Glob, GlobMatcher};

use crate::{
    engine::{
        error::{EngineError, ParameterError},
        refreshing::{means::Means, patching::removal::without_gone},
    },
    listing::{Generation, ListingKey, ListingName, Timestamp, definition::Resolved},
    store::{FREEZES_MAX, Freeze, Published},
};

/// By then every node that can reach Redis has looked.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// The longest freeze.
const FREEZE_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Listings that are looked at together.
const LISTINGS_A_TURN: usize = 500;

/// One listing that was rolled back.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// Which listing.
    pub listing: ListingKey,
    /// Whose items it has again.
    pub from: Generation,
    /// Under which id.
    pub generation: Generation,
    /// Its items.
    pub total: u64,
}

/// The outcome of a rollback.
#[derive(Clone, Debug, Default)]
pub struct Rollback {
    /// The listings that have older items again.
    pub listings: Vec<RolledBack>,
    /// Listings that stay as they are, each with its current generation: no older one is kept.
    pub without_older: Vec<(ListingKey, Option<Generation>)>,
    /// Until when the name is not refreshed, where it was frozen.
    pub frozen_until: Option<Timestamp>,
}

/// Freezes names, and rolls listings back.
pub struct Holds {
    pub(crate) means: Arc<Means>,
}

impl Holds {
    /// Freezes the names that a glob matches. Returns until when, and how many listings live on.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] for a bad glob or period, or beyond the limit on freezes; Redis's own.
    pub async fn freeze(&self, glob: &str, period: Duration) -> Result<(Timestamp, usize), EngineError> {
        let refuse = |parameter: &str, detail: String| {
            let parameter = parameter.to_owned();
            EngineError::Invalid(vec![ParameterError { parameter, detail }])
        };
        if glob.is_empty() {
            return Err(refuse(
                "glob",
                "is empty, and matches no name; `*` matches every name".to_owned(),
            ));
        }
        let matcher = Glob::new(glob).map_err(|error| refuse("glob", error.to_string()))?;
        let matcher = matcher.compile_matcher();
        if period.is_zero() || period > FREEZE_MAX {
            return Err(refuse("for", "must be more than zero, and at most 31 days".to_owned()));
        }
        let freezes = self.means.store.freezes.all().await?;
        if freezes.len() >= FREEZES_MAX && !freezes.iter().any(|(frozen, _)| frozen == glob) {
            return Err(refuse("glob", format!("{FREEZES_MAX} globs are frozen already")));
        }
        let until = self.means.store.freezes.freeze(glob, period).await?;
        self.means.frozen.set(&self.means.store.freezes.all().await?);
        Ok((until, self.live_on(&matcher, period).await?))
    }

    /// Ends the freeze of a glob, or of a name that a rollback froze. Says whether there was one.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn thaw(&self, glob: &str) -> Result<bool, EngineError> {
        let mut was_frozen = self.means.store.freezes.thaw(glob).await?;
        let name = globset::escape(glob);
        if !was_frozen && name != glob {
            was_frozen = self.means.store.freezes.thaw(&name).await?;
        }
        self.means.frozen.set(&self.means.store.freezes.all().await?);
        Ok(was_frozen)
    }

    /// The globs that are frozen now, in their order.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn freezes(&self) -> Result<Vec<Freeze>, EngineError> {
        let mut freezes = self.means.store.freezes.all().await?;
        freezes.sort();
        Ok(freezes)
    }

    /// Lets the listings of a glob live through a period and then as long as ever.
    async fn live_on(&self, glob: &GlobMatcher, period: Duration) -> Result<usize, EngineError> {
        let mut after: Option<ListingKey> = None;
        let mut count = 0;
        loop {
            let listings = self.means.store.names.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            for (listing, state) in &listings {
                let (Some(head), true) = (state.live(), glob.is_match(listing.name().as_str())) else {
                    continue;
                };
                let policy = self.means.declaration.policy(listing.name());
                let life = period.saturating_add(policy.keep_for);
                let writes = &self.means.store.writes;
                writes.renew(listing, head, life, policy.pin_for).await?;
                count += 1;
            }
            match listings.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(count),
            }
        }
    }

    /// Republishes, for each listing kept under a name, the newest generation before the current one; listings without one
    /// stay as they are. A second rollback goes back further: an undone generation is not kept for another. The name is frozen for
    /// `hold`, unless that is zero.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] where nothing is kept under the name; Redis's own.
    pub async fn rollback(&self, name: &ListingName, hold: Duration) -> Result<Rollback, EngineError> {
        let listings = self.means.store.names.listings_of(name).await?;
        if listings.is_empty() {
            return Err(EngineError::NotFound);
        }
        let (mut older, mut done) = (Vec::new(), Rollback::default());
        for listing in listings {
            match self.older(&listing).await? {
                (_, Some(from)) => older.push((listing, from)),
                (current, None) => done.without_older.push((listing, current)),
            }
        }
        // Nothing is frozen for nothing.
        if !hold.is_zero() && !older.is_empty() {
            let (until, _) = self.freeze(&globset::escape(name.as_str()), hold).await?;
            done.frozen_until = Some(until);
            // A node that has not heard of it could draw after us, and bring back what is being undone.
            tokio::time::sleep(HEARD_WITHIN).await;
        }
        for (listing, from) in older {
            done.listings.extend(self.rollback_one(listing, from, hold).await?);
        }
        Ok(done)
    }

    /// The current generation, and the newest before it that is there still.
    async fn older(&self, listing: &ListingKey) -> Result<(Option<Generation>, Option<Generation>), EngineError> {
        let (current, kept) = self.means.store.heads.kept_generations(listing).await?;
        for generation in kept {
            if self.means.store.pages.describe(listing, generation).await?.is_some() {
                return Ok((current, Some(generation)));
            }
        }
        Ok((current, None))
    }

    async fn rollback_one(
        &self,
        listing: ListingKey,
        from: Generation,
        hold: Duration,
    ) -> Result<Option<RolledBack>, EngineError> {
        let resolved = self.means.declaration.resolve(listing.name());
        let (policy, hash) = match &resolved {
            Resolved::Defined(defined) => {
                let hash = defined.definition.hash_of(&listing.stored).unwrap_or_default();
                (defined.definition.policy.clone(), hash)
            }
            Resolved::Pushed(_) | Resolved::Unknown => (self.means.declaration.pushed_policy(), 0),
        };
        // Drawn now: a refresh that began before is superseded.
        let grant = self.means.store.draws.without_lease(listing.name(), 1).await?;
        let generation = grant.generations.first().copied().ok_or(EngineError::broken_load())?;
        let writes = &self.means.store.writes;
        let copied = writes.copy(&listing, from, generation, grant.as_of, hash, &policy);
        // It was at the end of its life.
        let Some(copied) = copied.await? else { return Ok(None) };
        let Some(copied) = without_gone(&self.means, copied, &policy).await? else {
            tracing::warn!(%listing, %from, "not rolled back: items that are gone cannot be found in it");
            return Ok(None);
        };
        let (generation, total) = (copied.generation(), copied.total());
        // As after a refresh: a time that lay further ahead would be taken for one from before a step of the clock. A freeze outlasts it.
        let next_due = matches!(resolved, Resolved::Defined(_)).then(|| policy.next_due(false, fastrand::f64()));
        match writes.publish(copied, &policy, None, next_due).await? {
            Published::Moved { announcement, .. } => {
                self.means.announcer.apply(&announcement, true);
                let head = announcement.head.live().ok_or(EngineError::broken_load())?;
                // The freeze has lengthened the lives of the generation before.
                let life = hold.saturating_add(policy.keep_for);
                writes.renew(&listing, head, life, policy.pin_for).await?;
                tracing::info!(%listing, %from, %generation, items = total, "listing rolled back");
                Ok(Some(RolledBack {
                    listing,
                    from,
                    generation,
                    total,
                }))
            }
            Published::Older { current } => Err(EngineError::Superseded { current }),
            Published::Fenced | Published::Incomplete | Published::Unwanted | Published::Overtaken(_) => {
                Err(EngineError::broken_load())
            }
        }
    }
}
