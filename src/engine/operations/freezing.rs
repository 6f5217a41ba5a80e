//! Freezing and thawing: an operator stops the refreshes of some names for a while, and their listings live on.

use std::time::Duration;

use globset::{Glob, GlobMatcher};

use crate::{
    engine::{
        Engine,
        error::{EngineError, ParameterError},
    },
    listing::{ListingKey, Timestamp},
    store::{FREEZES_MAX, Freeze},
};

/// By then every node that can reach Redis has looked.
pub(crate) const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// The longest freeze.
const FREEZE_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Listings that are looked at together.
const LISTINGS_A_TURN: usize = 500;

impl Engine {
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
        let freezes = self.store.freezes.all().await?;
        if freezes.len() >= FREEZES_MAX && !freezes.iter().any(|(frozen, _)| frozen == glob) {
            return Err(refuse("glob", format!("{FREEZES_MAX} globs are frozen already")));
        }
        let until = self.store.freezes.freeze(glob, period).await?;
        self.frozen.set(&self.store.freezes.all().await?);
        Ok((until, self.live_on(&matcher, period).await?))
    }

    /// Ends the freeze of a glob, or of a name that a rollback froze. Says whether there was one.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn thaw(&self, glob: &str) -> Result<bool, EngineError> {
        let mut was_frozen = self.store.freezes.thaw(glob).await?;
        let name = globset::escape(glob);
        if !was_frozen && name != glob {
            was_frozen = self.store.freezes.thaw(&name).await?;
        }
        self.frozen.set(&self.store.freezes.all().await?);
        Ok(was_frozen)
    }

    /// The globs that are frozen now, in their order.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn freezes(&self) -> Result<Vec<Freeze>, EngineError> {
        let mut freezes = self.store.freezes.all().await?;
        freezes.sort();
        Ok(freezes)
    }

    /// Lets the listings of a glob live through a period and then as long as ever.
    async fn live_on(&self, glob: &GlobMatcher, period: Duration) -> Result<usize, EngineError> {
        let mut after: Option<ListingKey> = None;
        let mut count = 0;
        loop {
            let listings = self.store.names.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            for (listing, state) in &listings {
                let (Some(head), true) = (state.live(), glob.is_match(listing.name().as_str())) else {
                    continue;
                };
                let policy = self.declaration.policy(listing.name());
                let life = period.saturating_add(policy.keep_for);
                self.store
                    .writes
                    .renew(listing, head.generation, life, policy.pin_for)
                    .await?;
                count += 1;
            }
            match listings.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(count),
            }
        }
    }
}
