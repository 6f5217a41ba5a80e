//! Changelogs of other programs: rows are read behind a position, which is kept in Redis.
//!
//! The position moves only after the changes before it are recorded. Transactions may commit in another order than they drew their versions, so
//! some versions before the position are read again each time, and rows that were seen are left out. A new reader has seen none: it records
//! these once more.

use std::collections::BTreeSet;

use super::{recording::Changes, troubles::FeedError};
use crate::{
    engine::error::EngineError,
    origin::{ChangeRow, Changelog},
};

/// Before every version.
const BEGINNING: i64 = -1;
/// This many new rows mean that there are probably more.
const MORE_FROM: usize = 100;

/// The reading of one changelog.
pub(super) struct ChangelogReading<'f> {
    origin: &'f str,
    changelog: &'f Changelog,
    position: Option<Position>,
}

impl<'f> ChangelogReading<'f> {
    pub(super) fn new(origin: &'f str, changelog: &'f Changelog) -> Self {
        Self {
            origin,
            changelog,
            position: None,
        }
    }

    /// Records the changes of new rows. Returns whether there are probably more.
    pub(super) async fn work_off(&mut self, changes: &Changes) -> Result<bool, FeedError> {
        let Self {
            origin,
            changelog,
            position,
        } = self;
        // Asked first: each row up to there is ready by then.
        let up_to = changelog.up_to().await?;
        let position = match position {
            Some(position) => position,
            none => none.insert(begin(origin, changelog, up_to, changes).await?),
        };
        let mut rows = changelog.read(position.read_after()).await?;
        let last = rows.last().map_or(BEGINNING, |row| row.number);
        if last <= position.at {
            // Perhaps the query yields no more rows at once than there are before the position.
            let later = changelog.read(position.at).await?;
            if later.is_empty() && last < position.at {
                tracing::info!(
                    origin,
                    position = position.at,
                    "the changelog ends before the position: it was emptied or restored, and is read from its beginning"
                );
                keep(origin, BEGINNING, changes).await?;
                *position = Position::new(BEGINNING, changelog.overlap());
                return Ok(true);
            }
            rows.extend(later);
        }
        rows.retain(|row| row.number <= up_to && position.is_new(row));
        let Some(last) = rows.last().map(|row| row.number) else {
            return Ok(false);
        };
        changes.record_rows(rows.iter()).await?;
        if last > position.at {
            keep(origin, last, changes).await?;
        }
        let new = rows.len();
        position.advance(rows);
        Ok(new >= MORE_FROM)
    }
}

/// The position to go on from. At the first start all rows are old, but for those that are not ready yet.
async fn begin(origin: &str, changelog: &Changelog, up_to: i64, changes: &Changes) -> Result<Position, FeedError> {
    let kept = changes.means.store.changes.changelogs().of(origin).await;
    if let Some(at) = kept.map_err(EngineError::from)? {
        return Ok(Position::new(at, changelog.overlap()));
    }
    let greatest = changelog.greatest(BEGINNING).await?.unwrap_or(BEGINNING);
    let mut position = Position::new(greatest.min(up_to), changelog.overlap());
    let mut rows = changelog.read(position.read_after()).await?;
    rows.retain(|row| row.number <= position.at);
    keep(origin, position.at, changes).await?;
    tracing::info!(origin, position = position.at, "the changelog is read from here on");
    position.advance(rows);
    Ok(position)
}

async fn keep(origin: &str, position: i64, changes: &Changes) -> Result<(), FeedError> {
    let kept = changes.means.store.changes.changelogs().set(origin, position).await;
    Ok(kept.map_err(EngineError::from)?)
}

/// How far a changelog is worked off.
#[derive(Debug)]
struct Position {
    /// The greatest version that is recorded.
    at: i64,
    overlap: i64,
    /// Rows in the overlap that are recorded.
    seen: BTreeSet<ChangeRow>,
}

impl Position {
    fn new(at: i64, overlap: i64) -> Self {
        Self {
            at,
            overlap,
            seen: BTreeSet::new(),
        }
    }

    /// The version after which rows are read. The row at the position is always among them: where it is missing, the changelog is another one.
    fn read_after(&self) -> i64 {
        self.at.saturating_sub(self.overlap.max(1)).max(BEGINNING)
    }

    fn is_new(&self, row: &ChangeRow) -> bool {
        row.number > self.at || row.number > self.at.saturating_sub(self.overlap) && !self.seen.contains(row)
    }

    /// These rows are recorded.
    fn advance(&mut self, rows: Vec<ChangeRow>) {
        self.at = rows.iter().map(|row| row.number).fold(self.at, i64::max);
        self.seen.extend(rows);
        let first = ChangeRow {
            number: self.at.saturating_sub(self.overlap).saturating_add(1),
            id: String::new(),
        };
        self.seen = self.seen.split_off(&first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: i64) -> ChangeRow {
        ChangeRow {
            number,
            id: format!("item {}", number % 3),
        }
    }

    #[test]
    fn a_row_of_the_overlap_is_new_once() {
        let mut position = Position::new(10, 4);
        let new = |position: &Position| {
            (0..15)
                .filter(|number| position.is_new(&row(*number)))
                .collect::<Vec<_>>()
        };
        assert_eq!(position.read_after(), 6);
        // A new reader has seen none of the overlap.
        assert_eq!(new(&position), [7, 8, 9, 10, 11, 12, 13, 14]);
        position.advance(vec![row(7), row(9), row(10)]);
        assert_eq!((position.at, new(&position)), (10, vec![8, 11, 12, 13, 14]));
        position.advance(vec![row(12)]);
        assert_eq!((position.at, new(&position)), (12, vec![11, 13, 14]));
        // Nothing is kept of what is never read again.
        assert_eq!(
            position.seen.iter().map(|row| row.number).collect::<Vec<_>>(),
            [9, 10, 12]
        );
        position.advance(vec![row(11)]);
        assert_eq!((position.at, new(&position)), (12, vec![13, 14]));
    }

    #[test]
    fn without_an_overlap_only_later_rows_are_new() {
        let mut position = Position::new(5, 0);
        assert_eq!(position.read_after(), 4);
        assert!(!position.is_new(&row(5)) && position.is_new(&row(6)));
        position.advance(vec![row(6), row(7)]);
        assert!(position.seen.is_empty() && position.at == 7);
        assert_eq!(Position::new(BEGINNING, 100).read_after(), BEGINNING);
        assert!(Position::new(BEGINNING, 100).is_new(&row(0)));
    }
}
