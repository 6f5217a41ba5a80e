//! Generations as scripts take them: `scripts/lives.lua` says how they live and end.

use redis::Cmd;

use crate::{
    listing::ListingKey,
    store::layout::{
        head_codec::StoredHead,
        kept_codec::{KeptGeneration, Placed},
        keys::Keys,
    },
};

/// Some generations of a listing, to be named to a script.
#[derive(Default)]
pub(crate) struct Named {
    keys: Vec<String>,
    /// Name, key of the sidecar, first key of the group, key of the dictionary; keys by their number, from one on.
    generations: Vec<(String, Option<usize>, usize, Option<usize>)>,
}

impl Named {
    /// These, in this order; their keys come behind so many others.
    pub(crate) fn new<'a>(
        keys: &Keys,
        listing: &ListingKey,
        generations: impl IntoIterator<Item = &'a Placed>,
        keys_before: usize,
    ) -> Self {
        let mut named = Self::default();
        for placed in generations {
            let (base, of) = (placed.base(), placed.base_listing(listing));
            // Lua counts from one.
            let sidecar = placed.base.is_some().then(|| {
                named.keys.push(keys.sidecar(listing, placed.generation).into());
                keys_before + named.keys.len()
            });
            let stream: String = keys.stream(of, base).into();
            let known = named.keys.iter().position(|key| *key == stream);
            let group = known.unwrap_or(named.keys.len());
            if known.is_none() {
                named.keys.extend([
                    stream,
                    keys.sidecar(of, base).into(),
                    keys.deltas(of, base).into(),
                    keys.holders(of, base),
                ]);
            }
            let dictionary = placed.dictionary.map(|hash| {
                named
                    .keys
                    .push(keys.dictionary(listing.name(), format_args!("{hash:016x}")));
                keys_before + named.keys.len()
            });
            let (name, group) = (placed.generation.to_string(), keys_before + group + 1);
            named.generations.push((name, sidecar, group, dictionary));
        }
        named
    }

    /// How many are named.
    pub(crate) fn count(&self) -> usize {
        self.generations.len()
    }

    /// Their keys.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Adds their arguments.
    pub(crate) fn add_arguments(&self, call: &mut Cmd) {
        let number = |key: &Option<usize>| key.map_or_else(String::new, |key| key.to_string());
        for (name, sidecar, group, dictionary) in &self.generations {
            call.arg(name).arg(number(sidecar)).arg(*group).arg(number(dictionary));
        }
    }
}

/// The current generation, and the kept ones that were read with the head.
pub(crate) fn generations_of(head: &StoredHead) -> Vec<Placed> {
    let current = head.state.live().map(Placed::of);
    let kept = head
        .kept
        .read
        .iter()
        .map(|KeptGeneration { placed, .. }| placed.clone());
    current.into_iter().chain(kept).collect()
}
