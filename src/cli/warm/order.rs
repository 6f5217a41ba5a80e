//! The order in which names are warmed: the most wanted first.

use std::{cmp::Reverse, fs::File};

use crate::{
    cli::{
        CommandError,
        popularity::Popularity,
        warm_options::{WarmOptions, WarmOrder},
    },
    engine::warm_up::{RecordedReads, Target},
};

/// The first in order.
pub(super) enum Ranking {
    /// By name, then by choices.
    Name,
    /// Most read first, as a file says, or as the nodes have counted.
    Popularity(Option<Popularity>),
}

impl Ranking {
    pub(super) fn of(options: &WarmOptions) -> Result<Self, CommandError> {
        if options.order == WarmOrder::Name {
            return Ok(Self::Name);
        }
        let Some(path) = &options.popularity else {
            return Ok(Self::Popularity(None));
        };
        let shown = path.display();
        let file = File::open(path).map_err(CommandError::io(format!("cannot read `{shown}`")))?;
        match Popularity::read(file) {
            Ok(popularity) => Ok(Self::Popularity(Some(popularity))),
            Err(error) => Err(CommandError::Refused(format!("`{shown}`: {error}"))),
        }
    }

    /// Stable: equally popular names stay in the order of the definitions, of a name's families the default one first.
    pub(super) fn sort(&self, targets: &mut [Target], reads: &RecordedReads) {
        match self {
            Self::Name => targets.sort_by(|a, b| a.family.cmp(&b.family)),
            Self::Popularity(None) => targets.sort_by_key(|target| Reverse(reads.of(&target.family))),
            // A file says nothing of variants: of those the recorded reads decide.
            Self::Popularity(Some(popularity)) => targets.sort_by(|a, b| {
                let of = |target: &Target| popularity.of(target.family.name.as_str(), target.values());
                let own = |target: &Target| reads.of(&target.family).0;
                of(b)
                    .total_cmp(&of(a))
                    .then_with(|| match a.family.name == b.family.name {
                        true => own(b).cmp(&own(a)),
                        false => std::cmp::Ordering::Equal,
                    })
            }),
        }
    }
}
