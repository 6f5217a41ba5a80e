//! Belief: whether a number of items may take the place of another. An import that truncates a table must not empty a shop.

use super::policy::Policy;

/// Why a number of items, or of names, is not believed: the bound that refuses it.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Too large a part of them would be lost.
    #[error("the items would fall from {before} to {after}; max_shrink is {max_shrink}")]
    Shrunk {
        /// How many there are.
        before: u64,
        /// How many there would be.
        after: u64,
        /// The bound.
        max_shrink: f64,
    },
    /// Too few would be left.
    #[error("the items would fall from {before} to {after}; min_items is {min_items}")]
    TooFew {
        /// How many there are.
        before: u64,
        /// How many there would be.
        after: u64,
        /// The bound.
        min_items: u64,
    },
    /// None would be left, where there were few.
    #[error("the items would fall from {before} to 0")]
    Emptied {
        /// How many there are.
        before: u64,
    },
}

impl Refusal {
    /// How many there are.
    pub fn before(&self) -> u64 {
        match self {
            Self::Shrunk { before, .. } | Self::TooFew { before, .. } | Self::Emptied { before } => *before,
        }
    }

    /// How many there would be.
    pub fn after(&self) -> u64 {
        match self {
            Self::Shrunk { after, .. } | Self::TooFew { after, .. } => *after,
            Self::Emptied { .. } => 0,
        }
    }
}

impl Policy {
    /// Whether a listing of `before` items may become one of `after` items.
    ///
    /// # Errors
    /// The bound that refuses it. [`Refusal::Emptied`] may be believed when a later read says the same.
    pub fn believes(&self, before: u64, after: u64) -> Result<(), Refusal> {
        if after < before && after < self.min_items {
            let min_items = self.min_items;
            return Err(Refusal::TooFew {
                before,
                after,
                min_items,
            });
        }
        self.believes_shrink(before, after)
    }

    /// The same for a push: a smaller listing is somebody's wish, an empty one rarely is.
    ///
    /// # Errors
    /// The bound that refuses it.
    pub fn believes_push(&self, before: u64, after: u64) -> Result<(), Refusal> {
        self.believes(before, after)?;
        match before > 0 && after == 0 {
            true => Err(Refusal::Emptied { before }),
            false => Ok(()),
        }
    }

    /// Whether this number of items, or names, may be lost. A part of few says little: of fewer than `max_shrink_from` all may be
    /// lost but the last one.
    ///
    /// # Errors
    /// The bound that refuses it.
    pub fn believes_shrink(&self, before: u64, after: u64) -> Result<(), Refusal> {
        let max_shrink = self.max_shrink;
        let is_few = before < self.max_shrink_from;
        let lost = before.saturating_sub(after) as f64;
        if lost <= max_shrink * before as f64 || (is_few && after > 0) {
            Ok(())
        } else if is_few {
            Err(Refusal::Emptied { before })
        } else {
            Err(Refusal::Shrunk {
                before,
                after,
                max_shrink,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_items_half_may_be_lost_and_of_few_all_but_the_last() {
        let policy = Policy::default();
        let is_believed = |before, after| policy.believes(before, after).is_ok();
        assert!(is_believed(50, 25) && is_believed(1000, 500));
        assert!(is_believed(3, 1) && is_believed(10, 4) && is_believed(49, 1));
        assert!(is_believed(0, 0) && is_believed(5, 50));
        assert_eq!(policy.believes(49, 0), Err(Refusal::Emptied { before: 49 }));
        let max_shrink = 0.5;
        for after in [24, 1, 0] {
            let refused = Err(Refusal::Shrunk {
                before: 50,
                after,
                max_shrink,
            });
            assert_eq!(policy.believes(50, after), refused);
        }
        let any = Policy {
            max_shrink: 1.0,
            ..Policy::default()
        };
        assert_eq!((any.believes(1, 0), any.believes(1000, 0)), (Ok(()), Ok(())));
    }

    #[test]
    fn a_minimum_counts_for_listings_of_any_length_that_shrink() {
        let policy = Policy {
            min_items: 20,
            ..Policy::default()
        };
        assert!(policy.believes(30, 20).is_ok() && policy.believes(5, 5).is_ok() && policy.believes(5, 6).is_ok());
        assert!(matches!(policy.believes(30, 19), Err(Refusal::TooFew { .. })));
        assert!(matches!(policy.believes(5, 4), Err(Refusal::TooFew { .. })));
    }

    #[test]
    fn a_push_may_shrink_a_listing_and_not_empty_it() {
        let policy = Policy {
            max_shrink: 1.0,
            ..Policy::default()
        };
        assert!(policy.believes_push(1000, 1).is_ok() && policy.believes_push(0, 0).is_ok());
        assert_eq!(policy.believes_push(1, 0), Err(Refusal::Emptied { before: 1 }));
    }
}
