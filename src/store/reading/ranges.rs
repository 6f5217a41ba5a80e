//! Several ranges of a generation's chunks, in one turn: the matches of filters lie apart.

use std::ops::Range;

use super::{
    decoding::decoded,
    pages::{Lying, PageReads},
};
use crate::{
    listing::{Chunk, Delta, Generation, ListingKey},
    store::{
        error::StoreError,
        wire::{commands::Commands, connections::ReplySize},
    },
};

impl PageReads {
    /// The chunks of each range: fewer where fewer are there, none where the generation is gone.
    pub async fn ranges(
        &self,
        key: &ListingKey,
        generation: Generation,
        delta: Option<&Delta>,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Vec<Chunk>>, StoreError> {
        let lying = |range: &Range<u64>| Lying::of(&self.0.keys, key, generation, delta, range.clone());
        let lying: Vec<Lying<'_>> = ranges.iter().map(lying).collect();
        let mut turn = Commands::default();
        lying.iter().for_each(|lying| lying.read(&mut turn));
        let size = ReplySize::of_chunks(lying.iter().map(Lying::size).sum());
        let replies = self.0.redis.read_raw(size, "read chunks", turn).await?;
        decoded(&self.0, key.name(), &replies, |replies, dictionaries| {
            let mut chunks = Vec::with_capacity(lying.len());
            for lying in &lying {
                chunks.push(lying.decode(replies, dictionaries)?);
            }
            Ok(chunks)
        })
        .await
    }
}
