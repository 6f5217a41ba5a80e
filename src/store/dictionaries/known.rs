//! Dictionaries by hash: those that readers of this process have needed.

use std::sync::Arc;

use foldhash::quality::RandomState;
use moka::{policy::EvictionPolicy, sync::Cache};

use super::dictionary::{Dictionary, DictionaryHash};

/// Dictionaries by hash, a bounded number. The least recently used goes. Clones share them.
#[derive(Clone)]
pub(super) struct Known(Cache<DictionaryHash, Arc<Dictionary>, RandomState>);

impl Known {
    /// A cache of at most this many dictionaries.
    pub(super) fn new(dictionaries_max: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(dictionaries_max)
            // A new one is needed now. The usual policy may refuse it for others that were popular once.
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(RandomState::default());
        Self(cache)
    }

    /// The dictionary of this name.
    pub(super) fn get(&self, hash: DictionaryHash) -> Option<Arc<Dictionary>> {
        self.0.get(&hash)
    }

    /// Keeps a dictionary. The one that is there already, if any, stays and is returned: its prepared forms are shared.
    pub(super) fn keep(&self, dictionary: Arc<Dictionary>) -> Arc<Dictionary> {
        self.0.get_with(dictionary.hash(), || dictionary)
    }

    /// How many there are, when those beyond the bound have gone.
    #[cfg(test)]
    pub(super) fn count(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }
}
