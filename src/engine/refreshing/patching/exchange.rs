//! The exchange of items in one stream: a generation over another one, in which only some chunks are made anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{rows::KeyedRow, swap::Swap};
use crate::{
    listing::{
        Generation, Head, Item, ItemId, ListingKey, Policy,
        exchange::{Exchange, Source},
        sidecar::{Keyed, StreamColumns},
    },
    store::{Base, FinishedGeneration, Store, StoreError},
};

/// Chunks that are made between two reads of old ones.
const CHUNKS_AT_ONCE: u64 = 64;

/// The outcome of an exchange.
pub(crate) enum Exchanged {
    /// All is as it was.
    Unchanged,
    /// The stream's columns are not there: it must be read in full.
    Impossible,
    /// Written aside, to be published.
    Written(Box<FinishedGeneration>),
}

/// Items to exchange in a stream.
pub(crate) struct StreamExchange<'a> {
    pub store: &'a Store,
    pub policy: &'a Policy,
    pub listing: &'a ListingKey,
    /// All rows of these leave.
    pub ids: &'a BTreeSet<ItemId>,
    /// In the stream's order.
    pub rows: &'a [KeyedRow],
}

impl StreamExchange<'_> {
    /// Exchanges items of the current generation.
    pub(crate) async fn over(&self, head: &Head, generation: Generation) -> Result<Exchanged, StoreError> {
        let base = self.store.writes.base(self.listing, head, self.policy).await?;
        self.make(head, base, generation, false).await
    }

    /// The same in a generation that stands by itself, and is a new one even where nothing changes.
    pub(crate) async fn whole(&self, head: &Head, generation: Generation) -> Result<Exchanged, StoreError> {
        self.make(head, None, generation, true).await
    }

    /// Exchanges items of a generation that is not published; with `renew` there is a new one even where nothing changes.
    pub(crate) async fn over_finished(
        &self,
        finished: &FinishedGeneration,
        generation: Generation,
        renew: bool,
    ) -> Result<Exchanged, StoreError> {
        let base = self.store.writes.base_of_finished(finished).await?;
        self.make(&finished.head(), base, generation, renew).await
    }

    async fn make(
        &self,
        head: &Head,
        base: Option<Base>,
        generation: Generation,
        renew: bool,
    ) -> Result<Exchanged, StoreError> {
        let columns = self
            .store
            .pages
            .columns(self.listing, head, head.definition != 0)
            .await?;
        let Some(columns) = columns.filter(|columns| columns.has_keys() || self.rows.is_empty()) else {
            return Ok(Exchanged::Impossible);
        };
        let mut old = OldItems {
            exchange: self,
            head,
            chunks: BTreeMap::new(),
            moved: 0,
        };
        let swap = Swap {
            ids: self.ids,
            rows: self.rows,
        };
        let (candidates, chunk_len) = (swap.candidates(&columns), u64::from(head.chunk_len.get()));
        if !old.load(candidates.iter().map(|position| position / chunk_len)).await? {
            return Ok(Exchanged::Impossible);
        }
        let removed = swap.leaving(candidates, |position| old.get(position));
        if !renew && swap.is_unchanged(&columns, &removed, |position| old.get(position)) {
            return Ok(Exchanged::Unchanged);
        }
        let exchange = swap.exchange(&columns, head.chunk_len, &removed);
        // An item moves by no more places than rows leave or come.
        old.moved = removed.len().max(self.rows.len()) as u64 / u64::from(head.chunk_len.get()) + 2;
        self.write(head, base, generation, &columns, &exchange, old).await
    }

    async fn write(
        &self,
        head: &Head,
        base: Option<Base>,
        generation: Generation,
        columns: &StreamColumns,
        exchange: &Exchange,
        mut old: OldItems<'_>,
    ) -> Result<Exchanged, StoreError> {
        let writes = &self.store.writes;
        let begun = writes.begin(self.listing, generation, head.as_of, head.definition, self.policy);
        let lent = base.clone();
        let mut writer = begun.over_known(base);
        let is_lent =
            |chunk: u64| exchange.keeps(chunk) && lent.as_ref().is_some_and(|base| base.lends(chunk).is_some());
        let chunk_len = u64::from(head.chunk_len.get());
        let chunks = exchange.chunks();
        let mut from = 0;
        while from < chunks {
            let made = from..(from + CHUNKS_AT_ONCE).min(chunks);
            from = made.end;
            let sources = made
                .clone()
                .filter(|chunk| !is_lent(*chunk))
                .flat_map(|chunk| exchange.items(chunk));
            let needed = sources.filter_map(|source| match source {
                Source::Old(position) => Some(position / chunk_len),
                Source::New(_) => None,
            });
            if !old.load(needed).await? {
                writer.abandon().await;
                return Ok(Exchanged::Impossible);
            }
            for chunk in made {
                let items = exchange.items(chunk);
                if is_lent(chunk) {
                    let columns = items.filter_map(|source| match source {
                        Source::Old(position) => columns.get(position),
                        Source::New(_) => None,
                    });
                    writer.append_lent(columns.collect::<Vec<_>>()).await?;
                    continue;
                }
                for source in items {
                    let keyed = match source {
                        Source::New(number) => self.rows.get(number).map(|(key, item)| (item.clone(), Some(&key[..]))),
                        Source::Old(position) => old
                            .get(position)
                            .cloned()
                            .zip(columns.get(position).map(|(_, key)| key)),
                    };
                    let Some((item, key)) = keyed else {
                        writer.abandon().await;
                        return Ok(Exchanged::Impossible);
                    };
                    writer.append(Keyed { item, key }).await?;
                }
            }
            old.forget_before(from);
        }
        Ok(Exchanged::Written(writer.finish().await?.into()))
    }
}

/// Items of the old stream, read when they are needed.
struct OldItems<'a> {
    exchange: &'a StreamExchange<'a>,
    head: &'a Head,
    chunks: BTreeMap<u64, Vec<Item>>,
    /// By how many chunks an item may move.
    moved: u64,
}

impl OldItems<'_> {
    /// Reads chunks that are not here yet; false where some are lost.
    async fn load(&mut self, chunks: impl Iterator<Item = u64>) -> Result<bool, StoreError> {
        let missing: BTreeSet<u64> = chunks.filter(|chunk| !self.chunks.contains_key(chunk)).collect();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for chunk in missing {
            match ranges.last_mut() {
                Some(last) if last.end == chunk => last.end += 1,
                _ => ranges.push(chunk..chunk + 1),
            }
        }
        let StreamExchange { store, listing, .. } = self.exchange;
        let (generation, delta) = (self.head.generation, self.head.delta.as_deref());
        let Some(read) = store.pages.items(listing, generation, delta, &ranges).await? else {
            return Ok(false);
        };
        self.chunks.extend(ranges.into_iter().flatten().zip(read));
        Ok(true)
    }

    fn get(&self, position: u64) -> Option<&Item> {
        let chunk_len = u64::from(self.head.chunk_len.get());
        let chunk = self.chunks.get(&(position / chunk_len))?;
        chunk.get(usize::try_from(position % chunk_len).ok()?)
    }

    /// Memory stays bounded, however long the stream.
    fn forget_before(&mut self, chunk: u64) {
        self.chunks = self.chunks.split_off(&chunk.saturating_sub(self.moved));
    }
}
