//! The names that a purge by hand is for, and the CDNs that are not purged in time.

use std::collections::BTreeSet;

use globset::GlobMatcher;

use super::inspect::Inspector;
use crate::{
    engine::{coherence::purged::Unpurged, error::EngineError},
    listing::{ListingKey, ListingName},
};

/// Listings that are looked at together.
const LISTINGS_A_TURN: usize = 500;

impl Inspector {
    /// The names of listings that are kept and that fit a glob.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn names(&self, glob: &GlobMatcher) -> Result<BTreeSet<ListingName>, EngineError> {
        let (mut names, mut after) = (BTreeSet::new(), None::<ListingKey>);
        loop {
            let listings = self.means.store.names.list("", after.as_ref(), LISTINGS_A_TURN).await?;
            let fitting = listings.iter().map(|(listing, _)| listing.name());
            names.extend(fitting.filter(|name| glob.is_match(name.as_str())).cloned());
            match listings.into_iter().last() {
                Some((last, _)) => after = Some(last),
                None => return Ok(names),
            }
        }
    }

    /// The CDNs that are not purged in time.
    pub fn unpurged(&self) -> Vec<Unpurged> {
        self.means.purged.unpurged()
    }
}
