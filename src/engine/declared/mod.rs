//! What the configuration declares: definitions, the origins that fill them, the names that they enumerate.
//!
//! It is one value, replaced as a whole when the configuration is read again. Whoever answers a request or refreshes a
//! family takes it once and goes by it to the end; what was kept under an older one is recognised by its definition's hash.

pub(super) mod budget;
pub(super) mod filters;
pub(super) mod names;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use moka::sync::Cache;
use tokio::{runtime::Handle, sync::watch};

use self::{budget::Budget, filters::KnownFilters, names::KnownNames};
use super::{Engine, EngineLimits, operations::read_counts};
use crate::{
    listing::{Definitions, Generation, ListingName, Policy, definition::Resolved},
    origin::Origins,
};

/// What is declared.
pub(crate) struct Declared {
    /// What fills listings.
    pub definitions: Definitions,
    /// Where items come from.
    pub origins: Origins,
    /// Which names exist.
    pub names: KnownNames,
    /// Which values filters may have.
    pub filters: KnownFilters,
    /// See [`read_counts::renewed`].
    pub renewed: Cache<Generation, ()>,
    budgets: HashMap<Box<str>, Arc<Budget>>,
}

impl Declared {
    /// What does not differ from `before` goes on as it is: names that were read, budgets that are in use.
    pub(crate) fn new(
        definitions: Definitions,
        origins: Origins,
        limits: &EngineLimits,
        runtime: Handle,
        before: Option<&Self>,
    ) -> Self {
        let budget = |name: &str| {
            let mut bounds = origins.bounds(name);
            bounds.refreshes_at_once = limits.refreshes_at_once.unwrap_or(bounds.refreshes_at_once);
            let kept = before.and_then(|before| before.budgets.get(name));
            match kept.filter(|kept| *kept.bounds() == bounds) {
                Some(kept) => kept.clone(),
                None => Arc::new(Budget::new(bounds)),
            }
        };
        let of_definitions = definitions.defined.iter().map(|definition| &definition.origin);
        let budgets = of_definitions.map(|name| (name.clone(), budget(name))).collect();
        let known = before.map(|before| &before.names);
        Self {
            names: KnownNames::new(&definitions, origins.clone(), limits.fill_wait, runtime.clone(), known),
            filters: KnownFilters::new(origins.clone(), runtime),
            renewed: read_counts::renewed(&definitions.pushed.policy),
            budgets,
            definitions,
            origins,
        }
    }

    /// The budget of a definition's origin.
    pub(crate) fn budget(&self, origin: &str) -> Option<&Arc<Budget>> {
        self.budgets.get(origin)
    }
}

/// What is declared now; shared by all who go by it.
pub(super) struct Declaration {
    current: ArcSwap<Declared>,
    /// How often it was replaced.
    edition: AtomicU64,
    replaced: watch::Sender<()>,
}

impl Declaration {
    /// The first one.
    pub(super) fn new(declared: Declared) -> Self {
        Self {
            current: ArcSwap::from_pointee(declared),
            edition: AtomicU64::default(),
            replaced: watch::Sender::default(),
        }
    }

    /// To look at now.
    pub(super) fn get(&self) -> Guard<Arc<Declared>> {
        self.current.load()
    }

    /// To keep while something is done by it.
    pub(super) fn take(&self) -> Arc<Declared> {
        self.current.load_full()
    }

    /// Tells when it is replaced.
    pub(super) fn replacements(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    fn replace(&self, declared: Declared) {
        self.current.store(Arc::new(declared));
        // After it: who has read this number reads by this declaration, or a later one.
        self.edition.fetch_add(1, Ordering::Release);
        self.replaced.send_replace(());
    }
}

impl Engine {
    /// What is declared now.
    pub(crate) fn declared(&self) -> Guard<Arc<Declared>> {
        self.declaration.get()
    }

    /// Changes whenever what is declared is replaced. What was worked out after one was read holds while it stays the same.
    pub fn edition(&self) -> u64 {
        self.declaration.edition.load(Ordering::Acquire)
    }

    /// What stands behind a name: what [`DeclaredParameters`](super::DeclaredParameters) and [`Engine::select_from`] go by.
    pub fn resolve(&self, name: &ListingName) -> Resolved {
        self.declared().definitions.resolve(name)
    }

    /// How pushed listings live.
    pub(crate) fn pushed_policy(&self) -> Arc<Policy> {
        self.declared().definitions.pushed.policy.clone()
    }

    /// How long a request waits for a listing that is not there yet.
    pub(crate) fn fill_wait(&self, policy: &Policy) -> Duration {
        policy.fill_wait.unwrap_or(self.limits.fill_wait)
    }

    /// Declares other listings and origins. Requests and refreshes under way end by what was declared before; a listing
    /// that another definition has shaped is stale from now on. To be called by one at a time.
    pub fn declare(&self, definitions: Definitions, origins: Origins) {
        let before = self.declaration.take();
        let declared = Declared::new(definitions, origins, &self.limits, self.runtime.clone(), Some(&before));
        self.declaration.replace(declared);
    }

    /// The definitions, for who compares them with others.
    pub fn definitions(&self) -> Definitions {
        self.declared().definitions.clone()
    }

    /// The origins, for what is asked of them beside the engine, and for those that stay.
    pub fn origins(&self) -> Origins {
        self.declared().origins.clone()
    }
}
