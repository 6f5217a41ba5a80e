//! Origins: where items come from, the truth.
//!
//! One trait, because what follows it does not care whether a database or a file answered. An origin yields items in
//! any order with the values that the sorts need, or in the order of one stream; [`ordering`] makes the one into the other.
//! A read that does not come to its end ends in an error, never early: half a listing must not look like a whole one.

mod batches;
mod cells;
mod collation;
mod contract;
mod decimal;
mod file;
mod finishing;
mod hidden;
mod http;
mod members;
mod names_bound;
mod names_file;
mod number;
mod object;
pub mod ordering;
mod sample;
mod selection;
pub mod sort_key;
mod sql;
mod unmet;
mod unpacked;

use std::{collections::HashMap, sync::Arc, time::Duration};

use self::sql::Formless;
pub use self::{
    cells::CellReader,
    contract::{
        ITEM_BYTES_MAX, Items, NAMES_BYTES_MAX, NAMES_MAX, Origin, OriginError, OriginItem, ROWS_MAX, Read, ReadOrder,
        Reading, SortValue,
    },
    file::FileOrigin,
    http::HttpOrigin,
    names_file::names_in_file,
    sample::SampleCatalogue,
    sql::{ChangeFeed, ChangeRow, Changelog, OUTBOX_ROWS_MAX, Outbox, OutboxListener, SqlLimits, SqlOrigin},
    unmet::Unmet,
    unpacked::Unpacked,
};
use crate::{
    config::{OriginBounds, OriginConfig, OriginKind},
    telemetry::{Counter, Metrics},
};

/// The configured origins by name.
#[derive(Clone, Default)]
pub struct Origins {
    by_name: HashMap<Box<str>, Opened>,
    /// Counts the values that became null.
    nulled: Counter,
}

/// An origin, and what it was opened from, where that was a configuration.
#[derive(Clone)]
struct Opened {
    origin: Arc<dyn Origin>,
    config: Option<OriginConfig>,
    changes: Option<ChangeFeed>,
}

impl Origins {
    /// The origins of a configuration. Nothing is asked of them yet, so one that cannot be reached now is no error. Needs a runtime.
    pub fn open(configured: &[OriginConfig]) -> Result<Self, OriginError> {
        Self::default().reopen(configured)
    }

    /// None yet, whose successors count in the metrics.
    pub fn counted_in(metrics: &Metrics) -> Self {
        Self {
            nulled: metrics.nulled_values.clone(),
            ..Self::default()
        }
    }

    /// The origins of another configuration. Those that are configured as they were stay, with their connections.
    pub fn reopen(&self, configured: &[OriginConfig]) -> Result<Self, OriginError> {
        let mut origins = Self {
            nulled: self.nulled.clone(),
            ..Self::default()
        };
        for config in configured {
            let name = &config.name;
            let before = self.by_name.get(name);
            if let Some(same) = before.filter(|before| before.config.as_ref() == Some(config)) {
                origins.by_name.insert(name.clone(), same.clone());
                continue;
            }
            let origin: Result<Arc<dyn Origin>, _> = match &config.kind {
                OriginKind::Sql {
                    url,
                    max_transaction_time,
                    strict,
                } => {
                    let mut limits = SqlLimits::new(config.timeout);
                    limits.max_transaction_time = max_transaction_time.unwrap_or(limits.max_transaction_time);
                    let formless = Formless::new(name, *strict, self.nulled.clone());
                    SqlOrigin::open_with(url.expose(), limits)
                        .map(|origin| Arc::new(origin.with_formless(formless)) as _)
                }
                OriginKind::File {
                    path,
                    watch,
                    csv,
                    decimal_comma,
                } => FileOrigin::open(path, config.timeout).map(|mut origin| {
                    origin.watched = *watch;
                    origin.csv = *csv;
                    origin.decimal_comma = *decimal_comma;
                    Arc::new(origin) as _
                }),
                OriginKind::Http(api) => HttpOrigin::open(api, config.timeout).map(|origin| Arc::new(origin) as _),
            };
            let origin = origin.map_err(|error| of_origin(name, error))?;
            let changes = match &config.kind {
                OriginKind::Sql { url, .. } => ChangeFeed::open(url.expose(), &config.changes, config.timeout)
                    .map_err(|error| of_origin(name, error))?,
                OriginKind::File { .. } | OriginKind::Http(_) => None,
            };
            let opened = Opened {
                origin,
                config: Some(config.clone()),
                changes,
            };
            origins.by_name.insert(name.clone(), opened);
        }
        Ok(origins)
    }

    /// Adds an origin; a later one of the same name replaces it.
    pub fn insert(&mut self, name: &str, origin: Arc<dyn Origin>) {
        let opened = Opened {
            origin,
            config: None,
            changes: None,
        };
        self.by_name.insert(name.into(), opened);
    }

    /// The origin of a name. The configuration has checked that every definition's origin is there.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Origin>> {
        self.by_name.get(name).map(|opened| opened.origin.clone())
    }

    /// The databases that tell of changes, each with the name of its origin.
    pub fn change_feeds(&self) -> impl Iterator<Item = (&str, &ChangeFeed)> {
        let opened = self.by_name.iter();
        opened.filter_map(|(name, opened)| Some((&**name, opened.changes.as_ref()?)))
    }

    /// How long after a change the rows of an origin may still show the state before.
    pub fn changes_lag(&self, name: &str) -> Duration {
        let config = self.by_name.get(name).and_then(|opened| opened.config.as_ref());
        config.map(|config| config.changes.lag).unwrap_or_default()
    }

    /// The limits for the refreshes of an origin.
    pub fn bounds(&self, name: &str) -> OriginBounds {
        let config = self.by_name.get(name).and_then(|opened| opened.config.as_ref());
        config.map(|config| config.bounds.clone()).unwrap_or_default()
    }
}

/// Names the origin of which the configuration is wrong.
fn of_origin(name: &str, error: OriginError) -> OriginError {
    match error {
        OriginError::Misdeclared(reason) => OriginError::Misdeclared(format!("origin `{name}`: {reason}")),
        other => other,
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
