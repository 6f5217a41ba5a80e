//! A training: makes a dictionary of a scope's samples, outside the registry's lock.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    dictionary::Dictionary,
    known::Known,
    samples::Samples,
    scope::DictionaryScope,
    scopes::{Scopes, ToTrain},
};

/// A scope's dictionary to be trained. Run it by `spawn_blocking`; dropped, its samples are kept and another training begins later.
#[must_use = "no scope is trained while this one is neither run nor dropped"]
pub(crate) struct Training {
    scope: DictionaryScope,
    /// `None` once it has run.
    samples: Option<Samples>,
    current: Option<Arc<Dictionary>>,
    scopes: Arc<Mutex<Scopes>>,
    known: Known,
}

impl Training {
    pub(super) fn new(scope: DictionaryScope, to_train: ToTrain, scopes: Arc<Mutex<Scopes>>, known: Known) -> Self {
        Self {
            scope,
            samples: Some(to_train.samples),
            current: to_train.current,
            scopes,
            known,
        }
    }

    /// Trains, which takes some 100 ms of a processor. Returns the dictionary that the scope writes with from now on, if it is a
    /// new one: it has to be in Redis before a chunk that was packed with it is published.
    ///
    /// `None` where the samples give no dictionary, or none that is better than the one in use: then all stays as it is. No error stops a writer.
    pub(crate) fn run(mut self) -> Option<Arc<Dictionary>> {
        let trained = self.samples.as_ref().and_then(|samples| {
            let trained = samples.train()?;
            let with = samples.packed_bytes(Some(&trained));
            let before = samples.packed_bytes(self.current.as_deref());
            // A twentieth at least: each dictionary has to be kept, in Redis and by all nodes.
            (20 * with <= 19 * before).then(|| self.known.keep(Arc::new(trained)))
        });
        self.samples = None;
        let is_used = self.scopes.lock().end_training(self.scope, trained.clone());
        trained.filter(|_| is_used)
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        if let Some(samples) = self.samples.take() {
            self.scopes.lock().give_back(self.scope, samples);
        }
    }
}
