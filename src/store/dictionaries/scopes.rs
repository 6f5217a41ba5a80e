//! The table of scopes: at most so many, with at most so many bytes of samples together.

use std::{collections::HashMap, sync::Arc};

use foldhash::quality::RandomState;

use super::{
    dictionary::Dictionary,
    samples::Samples,
    scope::{DictionaryScope, Packing, Scope},
};

/// Scopes by their number. Beyond its bounds, the least recently used scope is forgotten, or its samples.
pub(super) struct Scopes {
    scopes_max: usize,
    sample_bytes_max: usize,
    scopes: HashMap<DictionaryScope, Used, RandomState>,
    /// Of all scopes.
    sample_bytes: usize,
    /// Counts uses.
    uses: u64,
    /// Whether a training is under way: one at a time, so that a start with many scopes does not take all processors.
    is_training: bool,
}

struct Used {
    scope: Scope,
    /// When it was used last, as counted by `uses`.
    at: u64,
}

/// What is needed to train a scope's dictionary.
pub(super) struct ToTrain {
    pub(super) samples: Samples,
    /// The dictionary in use.
    pub(super) current: Option<Arc<Dictionary>>,
}

impl Scopes {
    /// Without scopes.
    pub(super) fn new(scopes_max: usize, sample_bytes_max: usize) -> Self {
        Self {
            scopes_max,
            sample_bytes_max,
            scopes: HashMap::default(),
            sample_bytes: 0,
            uses: 0,
            is_training: false,
        }
    }

    /// The dictionary to write with.
    pub(super) fn dictionary(&mut self, scope: DictionaryScope) -> Option<Arc<Dictionary>> {
        self.uses += 1;
        let used = self.scopes.get_mut(&scope)?;
        used.at = self.uses;
        used.scope.dictionary().cloned()
    }

    /// Gives a scope a dictionary, if it has none. Says whether it took it.
    pub(super) fn adopt(&mut self, scope: DictionaryScope, dictionary: Arc<Dictionary>) -> bool {
        self.change(scope, |scope| scope.adopt(dictionary))
    }

    /// Counts a chunk. Gives what is to be trained, where it is time and nothing else is trained.
    pub(super) fn record(&mut self, scope: DictionaryScope, chunk: &Packing<'_>) -> Option<ToTrain> {
        let may_train = !self.is_training;
        let to_train = self.change(scope, |scope| {
            scope.record(chunk);
            let samples = if may_train { scope.begin_training() } else { None }?;
            let current = scope.dictionary().cloned();
            Some(ToTrain { samples, current })
        });
        self.is_training |= to_train.is_some();
        to_train
    }

    /// Takes what a training brought. Says whether the scope still waited for it.
    pub(super) fn end_training(&mut self, scope: DictionaryScope, trained: Option<Arc<Dictionary>>) -> bool {
        self.is_training = false;
        // A scope that was forgotten meanwhile does not come back.
        self.scopes.contains_key(&scope) && self.change(scope, |scope| scope.end_training(trained))
    }

    /// Takes the samples of a training back that was given up.
    pub(super) fn give_back(&mut self, scope: DictionaryScope, samples: Samples) {
        self.is_training = false;
        if self.scopes.contains_key(&scope) {
            self.change(scope, |scope| scope.give_back(samples));
        }
    }

    /// Changes a scope, which is made where it is new, and keeps within the bounds.
    fn change<T>(&mut self, scope: DictionaryScope, change: impl FnOnce(&mut Scope) -> T) -> T {
        self.uses += 1;
        if !self.scopes.contains_key(&scope) && self.scopes.len() >= self.scopes_max {
            self.forget_scope();
        }
        let at = self.uses;
        let used = self.scopes.entry(scope).or_insert_with(|| Used {
            scope: Scope::new(),
            at,
        });
        used.at = at;
        let before = used.scope.sample_bytes();
        let changed = change(&mut used.scope);
        self.sample_bytes = self.sample_bytes - before + used.scope.sample_bytes();
        while self.sample_bytes > self.sample_bytes_max {
            self.forget_samples();
        }
        changed
    }

    fn forget_scope(&mut self) {
        let oldest = self.scopes.iter().min_by_key(|(_, used)| used.at);
        if let Some(scope) = oldest.map(|(scope, _)| *scope)
            && let Some(used) = self.scopes.remove(&scope)
        {
            self.sample_bytes -= used.scope.sample_bytes();
        }
    }

    fn forget_samples(&mut self) {
        let with_samples = self.scopes.values_mut().filter(|used| used.scope.sample_bytes() > 0);
        match with_samples.min_by_key(|used| used.at) {
            Some(used) => {
                self.sample_bytes -= used.scope.sample_bytes();
                used.scope.forget_samples();
            }
            None => self.sample_bytes = 0,
        }
    }

    /// Scopes, and bytes of their samples.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.scopes.len(), self.sample_bytes)
    }
}
