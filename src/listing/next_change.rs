//! Next changes: the instants at which something of a family begins or ends, as its origin tells them ahead, such as a promotion.
//!
//! At such an instant no row is written, so no change tells of it. All of it is pure: times are arguments.

use std::{collections::BTreeSet, time::Duration};

use super::{item::ItemId, policy::Timestamp};

/// By how much the clocks of a database and of Redis are expected to differ, at most.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// Until a read is made again that came too early by the database's clock.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// An instant, and what changes then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NextChange {
    /// When.
    pub at: Timestamp,
    /// The item that changes; `None` where anything may.
    pub id: Option<ItemId>,
}

/// The next changes of a family, the first one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextChanges(Vec<NextChange>);

impl NextChanges {
    /// The most that are kept. At the first instant beyond them anything may change.
    pub const MAX: usize = 10_000;

    /// Of rows that were asked for after `drawn`, which is the time of the read that follows.
    ///
    /// An instant that has passed is left out, unless it has passed just now: then the database's clock may be behind, and the
    /// rows that are read may be those of before. So it counts once more, a moment later, and again after twice that time.
    pub fn of(rows: impl IntoIterator<Item = NextChange>, drawn: Timestamp) -> Self {
        let later = rows.into_iter().filter_map(|NextChange { at, id }| {
            let passed_by = drawn.since(at);
            let at = match at > drawn {
                true => at,
                false if passed_by < CLOCKS_APART => drawn.after(passed_by.max(AGAIN_AFTER)),
                false => return None,
            };
            Some(NextChange { at, id })
        });
        Self::bounded(later.collect())
    }

    fn bounded(rows: BTreeSet<NextChange>) -> Self {
        let mut rows: Vec<NextChange> = rows.into_iter().collect();
        if let Some(beyond) = rows.get(Self::MAX) {
            let at = beyond.at;
            rows.truncate(Self::MAX);
            rows.push(NextChange { at, id: None });
        }
        Self(rows)
    }

    /// With those of an earlier answer that come within the next seconds. A patch reads some rows only: where the database's clock is
    /// ahead, an instant may have passed for this answer, and the items that changed then are not read yet.
    pub fn with_recent(self, earlier: &Self, drawn: Timestamp) -> Self {
        let until = drawn.after(CLOCKS_APART);
        let recent = earlier
            .0
            .iter()
            .filter(|change| change.at > drawn && change.at <= until);
        let rows = self.0.iter().chain(recent).cloned().collect();
        Self::bounded(rows)
    }

    /// The first instant.
    pub fn first(&self) -> Option<Timestamp> {
        self.0.first().map(|change| change.at)
    }

    /// Those whose instants have come.
    pub fn passed(&self, now: Timestamp) -> &[NextChange] {
        let count = self.0.partition_point(|change| change.at <= now);
        self.0.get(..count).unwrap_or_default()
    }

    /// The items that have changed by now; `None` where anything may have.
    pub fn passed_ids(&self, now: Timestamp) -> Option<BTreeSet<ItemId>> {
        self.passed(now).iter().map(|change| change.id.clone()).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In JSON: `[[1795291260000,"48713"],[1795291300000]]`.
    pub fn to_json(&self) -> String {
        let row = |change: &NextChange| match &change.id {
            Some(id) => serde_json::json!([change.at.0, id.as_str()]),
            None => serde_json::json!([change.at.0]),
        };
        serde_json::Value::from_iter(self.0.iter().map(row)).to_string()
    }

    /// Reads [`NextChanges::to_json`]; `None` for anything else.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let rows: Vec<Vec<serde_json::Value>> = serde_json::from_slice(json).ok()?;
        let row = |row: Vec<serde_json::Value>| {
            let (at, id) = match &row[..] {
                [at] => (at.as_u64()?, None),
                [at, id] => (at.as_u64()?, Some(ItemId::parse(id.as_str()?)?)),
                _ => return None,
            };
            Some(NextChange { at: Timestamp(at), id })
        };
        let rows: BTreeSet<NextChange> = rows.into_iter().map(row).collect::<Option<_>>()?;
        Some(Self::bounded(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: u64, id: &str) -> NextChange {
        NextChange {
            at: Timestamp(at),
            id: ItemId::parse(id),
        }
    }

    fn of(rows: &[(u64, &str)], drawn: u64) -> NextChanges {
        NextChanges::of(rows.iter().map(|(at, id)| change(*at, id)), Timestamp(drawn))
    }

    #[test]
    fn the_first_instant_to_come_counts_and_passed_ones_do_not() {
        let next = of(&[(90_000, "2"), (60_000, "1"), (60_000, "3"), (10_000, "9")], 50_000);
        assert_eq!(next.first(), Some(Timestamp(60_000)));
        assert_eq!(next.passed(Timestamp(59_999)), []);
        let ids = ["1", "3"].map(|id| ItemId::parse(id).unwrap());
        assert_eq!(next.passed_ids(Timestamp(60_000)), Some(ids.into()));
        assert!(of(&[(10_000, "9")], 50_000).is_empty());
        assert_eq!(of(&[], 50_000).first(), None);
    }

    #[test]
    fn a_row_without_an_id_may_be_anything() {
        let next = of(&[(60_000, "1"), (60_000, "")], 50_000);
        assert_eq!(next.passed_ids(Timestamp(60_000)), None);
        assert_eq!(next.passed_ids(Timestamp(50_000)), Some(BTreeSet::new()));
    }

    #[test]
    fn an_instant_of_just_now_counts_again_and_again_but_not_for_ever() {
        let (mut drawn, mut reads) = (60_000, 0);
        while let Some(next) = of(&[(60_000, "1")], drawn).first() {
            assert!(next > Timestamp(drawn));
            (drawn, reads) = (next.0, reads + 1);
        }
        assert_eq!((reads, drawn), (6, 68_000));
        assert_eq!(of(&[(60_000, "1")], 60_000).first(), Some(Timestamp(60_250)));
    }

    #[test]
    fn a_patch_keeps_what_comes_within_seconds() {
        let earlier = of(&[(50_100, "1"), (54_000, "2"), (54_000, "3"), (56_000, "4")], 40_000);
        // The database is ahead: it does not tell of 54,000 any more.
        let next = of(&[(54_000, "3"), (90_000, "5")], 50_100).with_recent(&earlier, Timestamp(50_100));
        let expect = of(&[(54_000, "2"), (54_000, "3"), (90_000, "5")], 50_100);
        assert_eq!(next, expect);
    }

    #[test]
    fn beyond_the_limit_anything_may_change() {
        let rows = (0..20_000_u64).map(|at| change(60_000 + at, &at.to_string()));
        let next = NextChanges::of(rows, Timestamp(50_000));
        assert_eq!(next.passed(Timestamp(u64::MAX)).len(), NextChanges::MAX + 1);
        assert_eq!(next.passed_ids(Timestamp(69_999)).map(|ids| ids.len()), Some(10_000));
        assert_eq!(next.passed_ids(Timestamp(70_000)), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let next = of(&[(60_000, "1"), (60_000, "a\"b"), (70_000, "")], 50_000);
        assert_eq!(next.to_json(), r#"[[60000,"1"],[60000,"a\"b"],[70000]]"#);
        assert_eq!(NextChanges::parse(next.to_json().as_bytes()), Some(next));
        for bad in [
            "",
            "{}",
            "[1]",
            "[[]]",
            "[[\"1\"]]",
            "[[1,2]]",
            "[[1,\"\"]]",
            "[[1,\"a\",1]]",
            "[[-1]]",
        ] {
            assert_eq!(NextChanges::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
