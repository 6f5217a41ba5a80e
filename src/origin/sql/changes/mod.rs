//! The two ways in which a database tells of changes.

mod changelog;
mod outbox;
mod pool;

use std::{sync::Arc, time::Duration};

pub use self::{
    changelog::Changelog,
    outbox::{OUTBOX_ROWS_MAX, Outbox},
    pool::{ChangeRow, OutboxListener},
};
use crate::{config::ChangesConfig, origin::OriginError};

/// A source of changes in a database.
#[derive(Clone)]
pub enum ChangeFeed {
    /// A table whose rows are deleted.
    Outbox(Arc<Outbox>),
    /// A table of another program.
    Changelog(Arc<Changelog>),
}

impl ChangeFeed {
    /// The source that a configuration has, if there is one, in the database of a URL. Nothing is connected yet. Needs a runtime.
    pub fn open(url: &str, config: &ChangesConfig, timeout: Duration) -> Result<Option<Self>, OriginError> {
        let url = config.url.as_ref().map_or(url, |url| url.expose());
        Ok(match (&config.outbox, &config.changelog) {
            (Some(outbox), _) => Some(Self::Outbox(Arc::new(Outbox::open(url, outbox, timeout)?))),
            (None, Some(changelog)) => Some(Self::Changelog(Arc::new(Changelog::open(url, changelog, timeout)?))),
            (None, None) => None,
        })
    }

    /// Whether it is the same one, and not only alike.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Outbox(one), Self::Outbox(other)) => Arc::ptr_eq(one, other),
            (Self::Changelog(one), Self::Changelog(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Its kind in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Outbox(_) => "outbox",
            Self::Changelog(_) => "changelog",
        }
    }

    /// How often it is looked into.
    pub fn every(&self) -> Duration {
        match self {
            Self::Outbox(outbox) => outbox.every(),
            Self::Changelog(changelog) => changelog.every(),
        }
    }
}
