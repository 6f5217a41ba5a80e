//! The configuration's declarations: definitions, the origins that fill them, and the names that they enumerate.
//!
//! - [`Declared`] is one value, replaced as a whole when the configuration is read again. A request or a run takes it once and goes by
//!   it to the end. A generation that was shaped by an older one is recognised by its definition's hash.
//! - [`Declaration`] holds the present one, and answers for it: the source of a name's items, the lives of its listings.
//! - [`names`]: which names exist, by the [`enumeration`] of each definition. [`budget`]: how hard an origin may be used.
//!
//! Parts that do not differ from the declaration before live on: origins with their pools and watched files, names that were read,
//! budgets in use.

pub(super) mod budget;
mod enumeration;
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
use tokio::{runtime::Handle, sync::watch};

use self::{budget::Budget, names::KnownNames};
use crate::{
    engine::{error::EngineError, limits::EngineLimits},
    listing::{Definitions, ListingName, Policy, definition::Resolved},
    origin::Origins,
};

/// The declared parts.
pub(crate) struct Declared {
    /// The definitions.
    pub definitions: Definitions,
    /// Where items come from.
    pub origins: Origins,
    /// Which names exist.
    pub names: KnownNames,
    budgets: HashMap<Box<str>, Arc<Budget>>,
}

impl Declared {
    /// Parts that do not differ from `before` go on as they are: names that were read, budgets that are in use.
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
            match kept.filter(|kept| kept.bounds == bounds) {
                Some(kept) => kept.clone(),
                None => Arc::new(Budget::new(bounds)),
            }
        };
        let of_definitions = definitions.defined.iter().map(|definition| &definition.origin);
        let budgets = of_definitions.map(|name| (name.clone(), budget(name))).collect();
        let known = before.map(|before| &before.names);
        Self {
            names: KnownNames::new(&definitions, origins.clone(), limits.fill_wait, runtime, known),
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

/// The current declaration. All parts of the engine share it.
pub struct Declaration {
    current: ArcSwap<Declared>,
    /// How often it was replaced.
    edition: AtomicU64,
    replaced: watch::Sender<()>,
    limits: EngineLimits,
    runtime: Handle,
}

impl Declaration {
    /// The first one. Names are read on `runtime`.
    pub(crate) fn new(definitions: Definitions, origins: Origins, limits: EngineLimits, runtime: Handle) -> Self {
        let declared = Declared::new(definitions, origins, &limits, runtime.clone(), None);
        Self {
            current: ArcSwap::from_pointee(declared),
            edition: AtomicU64::default(),
            replaced: watch::Sender::default(),
            limits,
            runtime,
        }
    }

    /// To look at now.
    pub(crate) fn get(&self) -> Guard<Arc<Declared>> {
        self.current.load()
    }

    /// To keep while something is done by it.
    pub(crate) fn take(&self) -> Arc<Declared> {
        self.current.load_full()
    }

    /// Tells when it is replaced.
    pub(crate) fn replacements(&self) -> watch::Receiver<()> {
        self.replaced.subscribe()
    }

    /// Declares other listings and origins. Requests and refreshes under way end by the old declaration. A listing
    /// that another definition has shaped is stale from now on. Only one caller at a time may replace it.
    pub fn replace(&self, definitions: Definitions, origins: Origins) {
        let before = self.take();
        let declared = Declared::new(definitions, origins, &self.limits, self.runtime.clone(), Some(&before));
        self.current.store(Arc::new(declared));
        // After it: a reader of this number reads by this declaration, or a later one.
        self.edition.fetch_add(1, Ordering::Release);
        self.replaced.send_replace(());
    }

    /// Changes with each replacement. A result that was worked out after an edition was read holds while the edition stays the same.
    pub fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// The source of a name's items.
    pub fn resolve(&self, name: &ListingName) -> Resolved {
        self.get().definitions.resolve(name)
    }

    /// How pushed listings live.
    pub(crate) fn pushed_policy(&self) -> Arc<Policy> {
        self.get().definitions.pushed.policy.clone()
    }

    /// How a name's listings live. A name that nothing declares lives as pushed ones do.
    pub(crate) fn policy(&self, name: &ListingName) -> Arc<Policy> {
        match self.resolve(name) {
            Resolved::Defined(defined) => defined.definition.policy.clone(),
            Resolved::Pushed(_) | Resolved::Unknown => self.pushed_policy(),
        }
    }

    /// How long a request waits for a listing that is not there yet.
    pub(crate) fn fill_wait(&self, policy: &Policy) -> Duration {
        policy.fill_wait.unwrap_or(self.limits.fill_wait)
    }

    /// Every name that the definitions enumerate, for warming up.
    ///
    /// # Errors
    /// [`EngineError::NothingYet`] where an enumeration could not be read.
    pub async fn enumerate(&self) -> Result<Vec<ListingName>, EngineError> {
        let mut names = Vec::new();
        let declared = self.take();
        for definition in &declared.definitions.defined {
            let all = declared.names.all(definition).await.ok_or(EngineError::NothingYet {
                reason: "the names could not be read",
                retry_after: Duration::from_secs(1),
            })?;
            names.extend(all);
        }
        Ok(names)
    }

    /// The definitions, to compare them with others.
    pub fn definitions(&self) -> Definitions {
        self.get().definitions.clone()
    }

    /// The origins: those that stay are handed to the next declaration.
    pub fn origins(&self) -> Origins {
        self.get().origins.clone()
    }
}
