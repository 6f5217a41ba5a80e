//! Which names exist: the definitions' enumerations, read from the origin or a file now and then, and asked of memory on
//! each request.
//!
//! A name outside the enumeration is 404 at once, so a scanner of random names costs neither Redis nor the origin anything.
//!
//! An enumeration that loses too many names is doubted, as items are ([`belief`](crate::engine::refreshing::belief)): a table that is being rebuilt
//! must not make a shop's pages 404. Meanwhile the names before exist, with those that came to them, and any other name that has
//! a live head. The doubt ends when a read gives enough names again; when few names were left and a read `fresh_for` later
//! finds none either; when the names before are `keep_for` old; or when somebody accepts it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::enumeration::{Enumeration, NameSet, name_of};
use crate::{
    engine::loads::coalesce::Coalescer,
    listing::{
        Definition, Definitions, ListingName,
        definition::{Defined, Names},
    },
    origin::Origins,
};

/// How long work that no request waits for waits for an enumeration; the origin's own time-out is shorter, most likely.
const ENUMERATED_WITHIN: Duration = Duration::from_secs(3600);

/// Whether a name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    /// Its definition enumerates it.
    Enumerated,
    /// Its definition enumerates names, and this is none of them.
    Outside,
    /// Its definition enumerates nothing: a name exists when it has items.
    ByItems,
    /// It is none of the names, but these may be wrong, or do not count now: it exists if it has a live head, and is not filled.
    ByHead,
    /// The enumeration could not be read yet, or the first one is empty.
    Unknown,
}

/// The enumerations of all definitions.
pub(crate) struct KnownNames {
    origins: Origins,
    by_pattern: HashMap<Box<str>, Arc<Enumeration>>,
    loads: Coalescer<Box<str>, bool>,
    wait_max: Duration,
}

impl KnownNames {
    /// Lists are known at once; queries are asked, and files read, when first needed.
    ///
    /// A request waits at most `wait_max` for an enumeration that was never read.
    /// Names that were read `before` are known if their enumeration did not change.
    pub(crate) fn new(
        definitions: &Definitions,
        origins: Origins,
        wait_max: Duration,
        runtime: Handle,
        before: Option<&Self>,
    ) -> Self {
        let enumeration = |definition: &Arc<Definition>| {
            let pattern = definition.pattern.as_str();
            let read = before.and_then(|before| before.by_pattern.get(pattern));
            let enumeration = match read.filter(|read| read.is_of(definition)) {
                Some(read) => read.clone(),
                None => Arc::new(Enumeration::new(definition)),
            };
            (pattern.into(), enumeration)
        };
        Self {
            origins,
            by_pattern: definitions.defined.iter().map(enumeration).collect(),
            loads: Coalescer::new(runtime),
            wait_max,
        }
    }

    /// Whether a name of a definition exists.
    pub(crate) async fn existence(&self, defined: &Defined, name: &ListingName) -> Existence {
        let definition = &defined.definition;
        if definition.names.is_none() {
            return if definition.enumerates() {
                Existence::Enumerated
            } else {
                Existence::ByItems
            };
        }
        match self.names_of(definition).await {
            None => Existence::Unknown,
            Some(names) if names.set.contains(name) => Existence::Enumerated,
            Some(_) if self.is_doubted(definition) => Existence::ByHead,
            Some(_) => Existence::Outside,
        }
    }

    fn is_doubted(&self, definition: &Definition) -> bool {
        let enumeration = self.by_pattern.get(definition.pattern.as_str());
        enumeration.is_some_and(|enumeration| enumeration.is_doubted())
    }

    /// Believes the next reading of a definition's names that are doubted, whatever it gives, and begins it.
    pub(crate) async fn accept(&self, definition: &Arc<Definition>) {
        if let Some(enumeration) = self.by_pattern.get(definition.pattern.as_str()) {
            enumeration.accept();
            self.names_of(definition).await;
        }
    }

    /// The patterns whose names are doubted, at most `limit`.
    pub(crate) fn doubted(&self, limit: usize) -> Vec<Box<str>> {
        let doubted = self
            .by_pattern
            .iter()
            .filter(|(_, enumeration)| enumeration.is_doubted());
        doubted.map(|(pattern, _)| pattern.clone()).take(limit).collect()
    }

    /// The patterns whose last read of names failed, at most `limit`.
    pub(crate) fn unread(&self, limit: usize) -> Vec<Box<str>> {
        let unread = self
            .by_pattern
            .iter()
            .filter(|(_, enumeration)| enumeration.failure().is_some());
        unread.map(|(pattern, _)| pattern.clone()).take(limit).collect()
    }

    /// Why a definition's names could not be read last.
    pub(crate) fn failure(&self, definition: &Definition) -> Option<Arc<str>> {
        self.by_pattern.get(definition.pattern.as_str())?.failure()
    }

    /// Every name of a definition, in the enumeration's order; empty where it enumerates none.
    pub(crate) async fn all(&self, definition: &Arc<Definition>) -> Option<Vec<ListingName>> {
        if definition.names.is_none() {
            return Some(name_of::<&str>(definition, &[]).into_iter().collect());
        }
        let names = self.names_within(definition, ENUMERATED_WITHIN).await;
        names.map(|names| names.names.clone())
    }

    async fn names_of(&self, definition: &Arc<Definition>) -> Option<Arc<NameSet>> {
        self.names_within(definition, self.wait_max).await
    }

    /// Waits at most so long where they were never read.
    async fn names_within(&self, definition: &Arc<Definition>, wait_max: Duration) -> Option<Arc<NameSet>> {
        let enumeration = self.by_pattern.get(definition.pattern.as_str())?;
        let source = definition.names.as_ref()?;
        if matches!(source, Names::List(_)) {
            return enumeration.names.load_full();
        }
        let known = enumeration.names.load_full();
        if !enumeration.is_due(definition.policy.fresh_for) {
            return known;
        }
        let load = || {
            let origin = self.origins.get(&definition.origin);
            let (enumeration, definition, source) = (enumeration.clone(), definition.clone(), source.clone());
            async move { enumeration.read(&definition, &source, origin).await }
        };
        let key = Box::from(definition.pattern.as_str());
        let joined = self.loads.join(&key, load);
        match known {
            // Those known are good enough while they are read again: the load is spawned by the first poll.
            Some(known) => {
                let _ = futures_util::poll!(std::pin::pin!(joined));
                Some(known)
            }
            None => {
                // Past the time the name's existence is unknown; the load goes on.
                let _ = tokio::time::timeout(wait_max, joined).await;
                enumeration.names.load_full()
            }
        }
    }
}
