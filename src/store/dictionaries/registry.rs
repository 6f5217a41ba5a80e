//! All dictionaries of the process: by hash for readers, by scope for writers.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    dictionary::{Dictionary, DictionaryHash},
    known::Known,
    scope::{DictionaryScope, Packing},
    scopes::Scopes,
    training::Training,
};

/// The most dictionaries that are kept for readers: some 36 MB.
const DICTIONARIES_MAX: u64 = 1024;
/// Scopes whose dictionary or samples are kept.
const SCOPES_MAX: usize = 1024;
/// Bytes of the samples of all scopes together. A scope has 1 MB at most.
const SAMPLE_BYTES_MAX: usize = 32 << 20;

/// The dictionaries of a process. Clones share them.
#[derive(Clone)]
pub(crate) struct Dictionaries {
    known: Known,
    scopes: Arc<Mutex<Scopes>>,
}

impl Dictionaries {
    /// Without dictionaries.
    pub(crate) fn new() -> Self {
        Self::bounded(DICTIONARIES_MAX, SCOPES_MAX, SAMPLE_BYTES_MAX)
    }

    /// With other bounds than usual.
    pub(super) fn bounded(dictionaries_max: u64, scopes_max: usize, sample_bytes_max: usize) -> Self {
        Self {
            known: Known::new(dictionaries_max),
            scopes: Arc::new(Mutex::new(Scopes::new(scopes_max, sample_bytes_max))),
        }
    }

    /// The dictionary that a chunk names. `None` where it is to be read from Redis, then given to [`keep`](Self::keep).
    pub(crate) fn get(&self, hash: DictionaryHash) -> Option<Arc<Dictionary>> {
        self.known.get(hash)
    }

    /// Keeps a dictionary that was read from Redis under this name. `Err` with the reason where the bytes are not those that it names, or no
    /// dictionary.
    pub(crate) fn keep(&self, hash: DictionaryHash, bytes: Bytes) -> Result<Arc<Dictionary>, &'static str> {
        let dictionary = Dictionary::named(hash, bytes)?;
        Ok(self.known.keep(Arc::new(dictionary)))
    }

    /// The dictionary that chunks of a scope are packed with. A generation asks once, when it begins: it needs one dictionary beside it, not
    /// several.
    pub(crate) fn for_writing(&self, scope: DictionaryScope) -> Option<Arc<Dictionary>> {
        self.scopes.lock().dictionary(scope)
    }

    /// Takes another node's dictionary for a scope that has none here. Says whether it did.
    ///
    /// Without it each node would train its own, and readers would need all of them.
    pub(crate) fn adopt(&self, scope: DictionaryScope, dictionary: &Arc<Dictionary>) -> bool {
        let dictionary = self.known.keep(dictionary.clone());
        self.scopes.lock().adopt(scope, dictionary)
    }

    /// Counts how well a chunk packed, and may keep it as a sample. A writer calls it for each chunk.
    ///
    /// Returns a training when it is time for one. At most one is under way in the process; another scope's begins with a later chunk.
    pub(crate) fn record(&self, scope: DictionaryScope, chunk: &Packing<'_>) -> Option<Training> {
        let to_train = self.scopes.lock().record(scope, chunk)?;
        Some(Training::new(scope, to_train, self.scopes.clone(), self.known.clone()))
    }

    /// Dictionaries, scopes, and bytes of samples.
    #[cfg(test)]
    pub(super) fn size(&self) -> (u64, usize, usize) {
        let (scopes, sample_bytes) = self.scopes.lock().size();
        (self.known.count(), scopes, sample_bytes)
    }
}
