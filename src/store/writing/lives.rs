//! Generations as scripts take them: `scripts/lives.lua` says how they live and end.

use redis::Cmd;

use crate::{
    listing::{Generation, Head, ListingKey},
    store::layout::{
        head_codec::{KeptGeneration, StoredHead},
        keys::Keys,
    },
};

/// Keys that stand for a generation: stream, sidecar, holders.
const KEYS_EACH: usize = 3;

/// Some generations of a listing, to be named to a script.
pub(crate) struct Named {
    named: Vec<KeptGeneration>,
    /// All whose keys are needed: those named, then the bases that are not among them.
    with_keys: Vec<Generation>,
}

impl Named {
    /// These, in this order.
    pub(crate) fn new(named: impl IntoIterator<Item = KeptGeneration>) -> Self {
        let named: Vec<KeptGeneration> = named.into_iter().collect();
        let mut with_keys: Vec<Generation> = named.iter().map(|one| one.generation).collect();
        for base in named.iter().filter_map(|one| one.base) {
            if !with_keys.contains(&base) {
                with_keys.push(base);
            }
        }
        Self { named, with_keys }
    }

    /// How many are named.
    pub(crate) fn count(&self) -> usize {
        self.named.len()
    }

    /// Adds their keys behind those that a script takes besides.
    pub(crate) fn add_keys(&self, to: &mut Vec<String>, keys: &Keys, listing: &ListingKey) {
        for generation in &self.with_keys {
            to.push(keys.stream(listing, *generation).into());
            to.push(keys.sidecar(listing, *generation).into());
            to.push(keys.holders(listing, *generation));
        }
    }

    /// Adds their arguments; their keys come behind `keys_before` others.
    pub(crate) fn add_arguments(&self, call: &mut Cmd, keys_before: usize) {
        for KeptGeneration { generation, base } in &self.named {
            call.arg(generation.to_string());
            let base = base.and_then(|base| self.with_keys.iter().position(|one| *one == base));
            match base {
                None => call.arg(""),
                // Lua counts from one.
                Some(at) => call.arg(keys_before + KEYS_EACH * at + 1),
            };
        }
    }
}

/// The generation that a head names.
pub(crate) fn current_of(head: &Head) -> KeptGeneration {
    KeptGeneration {
        generation: head.generation,
        base: head.delta.as_ref().map(|delta| delta.base),
    }
}

/// The generations that a head speaks for, newest first.
pub(crate) fn generations_of(head: &StoredHead) -> Vec<KeptGeneration> {
    let current = head.state.live().map(current_of);
    current.into_iter().chain(head.kept.iter().copied()).collect()
}
