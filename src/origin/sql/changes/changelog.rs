//! Changelogs of other programs: rows with a version that grows, and the id of a changed item. They are read behind a position, and never deleted.

use std::time::Duration;

use super::pool::{ChangePool, ChangeRow};
use crate::{
    config::ChangelogConfig,
    origin::{
        OriginError,
        sql::placeholders::{CutQuery, QueryPiece},
    },
};

/// Rows that are read at once, however many the query yields.
const ROWS_MAX: usize = 10_000;
/// The value of the query.
const AFTER: &str = "after";

/// A changelog.
pub struct Changelog {
    pool: ChangePool,
    /// The query. `None` stands for the version after which it reads.
    query: Vec<Option<Box<str>>>,
    config: ChangelogConfig,
}

impl Changelog {
    /// A changelog in the database of a URL. Nothing is connected yet. Needs a runtime.
    pub fn open(url: &str, config: &ChangelogConfig, timeout: Duration) -> Result<Self, OriginError> {
        let pool = ChangePool::open(url, timeout, true)?;
        let misdeclared = |reason: String| OriginError::Misdeclared(format!("changes.query: {reason}"));
        let cut = CutQuery::parse(pool.dialect().lexis, &config.query);
        let cut = cut.map_err(|error| misdeclared(error.to_string()))?;
        let pieces = cut.pieces.into_iter().map(|piece| match piece {
            QueryPiece::Sql(sql) => Ok(Some(sql.into())),
            QueryPiece::Value(AFTER) => Ok(None),
            QueryPiece::Value(other) => Err(misdeclared(format!("there is no value `:{other}`, only `:{AFTER}`"))),
            QueryPiece::Identifier(other) => Err(misdeclared(format!("there is no `{{{other}}}`"))),
        });
        let query: Vec<Option<Box<str>>> = pieces.collect::<Result<_, _>>()?;
        if query.iter().all(Option::is_some) {
            return Err(misdeclared(format!("it does not name `:{AFTER}`")));
        }
        Ok(Self {
            pool,
            query,
            config: config.clone(),
        })
    }

    /// How often it is looked into.
    pub fn every(&self) -> Duration {
        self.config.every
    }

    /// So many versions before the position are read again each time: transactions may commit in another order than they drew their versions.
    pub fn overlap(&self) -> i64 {
        self.config.overlap
    }

    /// The rows after a version, by ascending versions: as many as the query yields.
    pub async fn read(&self, after: i64) -> Result<Vec<ChangeRow>, OriginError> {
        let rows = ChangeRow::all(self.pool.rows(self.sql(after), ROWS_MAX).await?);
        let rows = rows.ok_or_else(|| {
            OriginError::Misdeclared(
                "the rows of changes.query must begin with a version, a whole number, and an id, a whole number or a text, \
                 neither of them null: cast others"
                    .to_owned(),
            )
        })?;
        match rows.is_sorted_by_key(|row| row.number) {
            true => Ok(rows),
            false => Err(OriginError::Misdeclared(
                "the rows of changes.query do not come by ascending versions: add `order by 1`".to_owned(),
            )),
        }
    }

    /// Up to which version rows may be used: how far the shop's own indexer is, where it must be waited for.
    pub async fn up_to(&self) -> Result<i64, OriginError> {
        let Some(query) = &self.config.upto else {
            return Ok(i64::MAX);
        };
        let rows: Vec<[Option<String>; 1]> = self.pool.rows(query.clone(), 1).await?;
        let number = rows.into_iter().next().and_then(|[cell]| cell?.parse().ok());
        number.ok_or_else(|| OriginError::Misdeclared("changes.upto yields no whole number".to_owned()))
    }

    /// The greatest version after another one; `None` where there is none. The query yields only the first rows after a version, so the greatest is
    /// searched for: by steps that grow until one is too wide, and then by halves of it.
    pub async fn greatest(&self, after: i64) -> Result<Option<i64>, OriginError> {
        let Some(mut found) = self.last(after).await? else {
            return Ok(None);
        };
        let (mut step, mut grows) = (1_i64, true);
        loop {
            match self.last(found.saturating_add(step)).await? {
                Some(last) => found = last,
                None => grows = false,
            }
            step = match (grows, step) {
                (_, 0) => return Ok(Some(found)),
                (true, step) => step.saturating_mul(2),
                (false, step) => step / 2,
            };
        }
    }

    async fn last(&self, after: i64) -> Result<Option<i64>, OriginError> {
        Ok(self.read(after).await?.last().map(|row| row.number))
    }

    fn sql(&self, after: i64) -> String {
        // A number of our own: nothing of what a client has written stands in the statement.
        let after = format!("({after})");
        self.query
            .iter()
            .map(|piece| piece.as_deref().unwrap_or(&after))
            .collect()
    }
}
