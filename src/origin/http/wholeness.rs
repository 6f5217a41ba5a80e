//! Whether the pages of one read make one whole list.
//!
//! While pages are read one by one the list behind them may change: an item moves from a page that is still to come to one
//! that was read, and is never seen; or the other way, and is seen twice. Where one happened the other may have too, so a
//! read with an item twice, or with another number of items than the API says, is worth nothing. A move between two
//! pages without a trace is not seen: for that an API has sessions, or a cursor by the sort key of the items.

use std::collections::HashSet;

use crate::{listing::ItemId, origin::OriginError};

/// The known facts of the pages so far.
#[derive(Debug, Default)]
pub(super) struct Wholeness {
    seen: HashSet<ItemId>,
    /// Items so far.
    pub count: u64,
    total: Option<u64>,
}

impl Wholeness {
    /// Takes a page in: its ids, where its elements have some, how many elements, and what the API says there are in all.
    pub(super) fn take<'i>(
        &mut self,
        ids: impl Iterator<Item = &'i ItemId> + Clone,
        count: usize,
        total: Option<u64>,
    ) -> Result<(), OriginError> {
        if let (Some(before), Some(total)) = (self.total, total)
            && before != total
        {
            return Err(shifted(format!("there were {before} items, and then {total}")));
        }
        self.total = self.total.or(total);
        // Within one answer the API may mean it: an id may repeat in a listing.
        if let Some(twice) = ids.clone().find(|id| self.seen.contains(*id)) {
            return Err(shifted(format!("`{}` was on two pages", twice.as_str())));
        }
        self.seen.extend(ids.cloned());
        self.count += count as u64;
        Ok(())
    }

    /// Whether the API says that there are no more than those.
    pub(super) fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.count >= total)
    }

    /// The last page was read.
    pub(super) fn end(&self) -> Result<(), OriginError> {
        match self.total {
            Some(total) if total != self.count => Err(shifted(format!(
                "there are {total} items, and its pages had {}",
                self.count
            ))),
            _ => Ok(()),
        }
    }
}

fn shifted(reason: String) -> OriginError {
    OriginError::Shifted(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of ids, each with the total that came with it.
    #[track_caller]
    fn check(pages: &[(&[i64], Option<u64>)], expect: Result<(), &str>) {
        let mut wholeness = Wholeness::default();
        let mut outcome = Ok(());
        for (ids, total) in pages {
            let ids: Vec<ItemId> = ids.iter().map(|id| ItemId::from_integer(*id)).collect();
            outcome = outcome.and_then(|()| wholeness.take(ids.iter(), ids.len(), *total));
        }
        let outcome = outcome
            .and_then(|()| wholeness.end())
            .map_err(|error| error.to_string());
        match (&outcome, expect) {
            (Err(error), Err(says)) => assert!(error.contains(says), "{error}"),
            (outcome, expect) => assert_eq!(outcome.is_ok(), expect.is_ok(), "{outcome:?}"),
        }
    }

    #[test]
    fn pages_that_shift_are_no_whole() {
        check(&[], Ok(()));
        check(&[(&[1, 2], None), (&[3], None), (&[], None)], Ok(()));
        check(&[(&[1, 2], Some(3)), (&[3], Some(3))], Ok(()));
        check(&[(&[1, 1], None), (&[2, 2], None)], Ok(()));
        check(&[(&[1, 2], None), (&[2, 3], None)], Err("`2` was on two pages"));
        check(
            &[(&[1, 2], Some(4)), (&[3], Some(3))],
            Err("there were 4 items, and then 3"),
        );
        check(
            &[(&[1, 2], Some(4)), (&[3], Some(4))],
            Err("there are 4 items, and its pages had 3"),
        );
        check(&[(&[1, 2], Some(1))], Err("there are 1 items, and its pages had 2"));
        check(&[(&[1, 2], Some(4)), (&[3, 4], None)], Ok(()));
    }
}
