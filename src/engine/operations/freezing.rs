//! Freezing: for an outage of the origin that is planned or long, names are not refreshed for a while, and live on.
//!
//! What is frozen stands in Redis for all nodes, each of which looks every second. A frozen listing is served however old
//! it is, and says that it is stale for its origin's sake. What was never filled is filled all the same, and whoever
//! demands a refresh gets it.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use globset::{Glob, GlobMatcher};

use crate::{
    engine::{
        Engine,
        error::{Chain, EngineError, ParameterError},
    },
    listing::{ListingKey, ListingName, Timestamp, definition::Resolved},
    store::{FREEZES_MAX, Freeze},
};

/// Between two looks at what is frozen.
const PERIOD: Duration = Duration::from_secs(1);
/// By then every node that can reach Redis has looked.
pub(crate) const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// The longest freeze.
const FREEZE_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Listings that are looked at together.
const LISTINGS_A_TURN: usize = 500;

/// What is frozen, as this process knows it.
#[derive(Default)]
pub(crate) struct Frozen {
    globs: ArcSwap<Vec<(GlobMatcher, Timestamp)>>,
}

impl Frozen {
    /// Until when a name is frozen.
    pub(crate) fn until(&self, name: &ListingName, now: Timestamp) -> Option<Timestamp> {
        let globs = self.globs.load();
        // Nearly always there are none.
        let frozen = globs
            .iter()
            .filter(|(glob, until)| *until > now && glob.is_match(name.as_str()));
        frozen.map(|(_, until)| *until).max()
    }

    fn set(&self, freezes: &[Freeze]) {
        if freezes.is_empty() && self.globs.load().is_empty() {
            return;
        }
        let matcher = |(glob, until): &Freeze| Some((Glob::new(glob).ok()?.compile_matcher(), *until));
        self.globs.store(Arc::new(freezes.iter().filter_map(matcher).collect()));
    }
}

impl Engine {
    pub(crate) fn start_watching_freezes(self: &Arc<Self>) {
        let engine = self.clone();
        self.tasks.spawn_on(
            async move {
                loop {
                    match engine.store.frozen().await {
                        Ok(freezes) => engine.frozen.set(&freezes),
                        // What was frozen stays so until it is over.
                        Err(error) => tracing::debug!(error = %Chain(&error), "what is frozen could not be read"),
                    }
                    tokio::select! {
                        () = tokio::time::sleep(PERIOD) => {}
                        () = engine.stopping.cancelled() => return,
                    }
                }
            },
            &self.runtime,
        );
    }

    /// Freezes the names that a glob matches. Returns until when, and how many listings live on.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] for a bad glob or period, or beyond the limit on freezes; Redis's own.
    pub async fn freeze(&self, glob: &str, period: Duration) -> Result<(Timestamp, usize), EngineError> {
        let refuse = |parameter: &str, detail: String| {
            let parameter = parameter.to_owned();
            EngineError::Invalid(vec![ParameterError { parameter, detail }])
        };
        let matcher = Glob::new(glob).map_err(|error| refuse("glob", error.to_string()))?;
        let matcher = matcher.compile_matcher();
        if period.is_zero() || period > FREEZE_MAX {
            return Err(refuse(
                "for",
                "must be more than nothing, and at most 31 days".to_owned(),
            ));
        }
        let freezes = self.store.frozen().await?;
        if freezes.len() >= FREEZES_MAX && !freezes.iter().any(|(frozen, _)| frozen == glob) {
            return Err(refuse("glob", format!("{FREEZES_MAX} globs are frozen already")));
        }
        let until = self.store.freeze(glob, period).await?;
        self.frozen.set(&self.store.frozen().await?);
        Ok((until, self.live_on(&matcher, period).await?))
    }

    /// Ends the freeze of a glob, or of a name that a rollback froze. Says whether there was one.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn thaw(&self, glob: &str) -> Result<bool, EngineError> {
        let mut was_frozen = self.store.thaw(glob).await?;
        let name = globset::escape(glob);
        if !was_frozen && name != glob {
            was_frozen = self.store.thaw(&name).await?;
        }
        self.frozen.set(&self.store.frozen().await?);
        Ok(was_frozen)
    }

    /// The globs that are frozen now, in their order.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn freezes(&self) -> Result<Vec<Freeze>, EngineError> {
        let mut freezes = self.store.frozen().await?;
        freezes.sort();
        Ok(freezes)
    }

    /// Lets the listings of a glob live through a period and then as long as ever.
    async fn live_on(&self, glob: &GlobMatcher, period: Duration) -> Result<usize, EngineError> {
        let mut after: Option<ListingKey> = None;
        let mut count = 0;
        loop {
            let listings = self.store.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            for (listing, state) in &listings {
                let (Some(head), true) = (state.live(), glob.is_match(listing.name().as_str())) else {
                    continue;
                };
                let policy = match self.resolve(listing.name()) {
                    Resolved::Defined(defined) => defined.definition.policy.clone(),
                    Resolved::Pushed | Resolved::Unknown => self.pushed_policy(),
                };
                let life = period.saturating_add(policy.keep_for);
                self.store.renew(listing, head.generation, life, policy.pin_for).await?;
                count += 1;
            }
            match listings.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(count),
            }
        }
    }

    /// Until when the refreshing of a name is paused.
    pub(crate) fn frozen_until(&self, name: &ListingName) -> Option<Timestamp> {
        self.frozen.until(name, self.store.now())
    }
}
